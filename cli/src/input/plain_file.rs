//! Opening a plain file. A named pipe in its place is an error at once, where an ordinary open waits for a writer.

use std::fs::{File, FileType, OpenOptions};
use std::io;
use std::path::Path;

/// Opens a plain file for reading, and never waits.
///
/// # Errors
/// Those of the system; for anything but a plain file an error that names what it is.
pub(crate) fn open(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options.custom_flags(rustix::fs::OFlags::NONBLOCK.bits() as i32);
    }
    let file = options.open(path)?;
    let kind = file.metadata()?.file_type();
    if kind.is_file() {
        return Ok(file);
    }
    Err(io::Error::new(
        io::ErrorKind::InvalidInput,
        format!("it is {}, expected a plain file", name_of(kind)),
    ))
}

/// The name of a type of file in messages.
fn name_of(kind: FileType) -> &'static str {
    #[cfg(unix)]
    {
        use std::os::unix::fs::FileTypeExt;
        if kind.is_fifo() {
            return "a named pipe";
        }
        if kind.is_char_device() || kind.is_block_device() {
            return "a device";
        }
        if kind.is_socket() {
            return "a socket";
        }
    }
    if kind.is_dir() { "a folder" } else { "not a file" }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    /// A named pipe in the place of a file of an export made the command wait in `open` for ever.
    #[test]
    fn only_a_plain_file_is_opened_and_anything_else_is_named() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = |name: &str| folder.path().join(name);
        std::fs::write(path("file"), "x").expect("written");
        std::os::unix::fs::symlink("file", path("link")).expect("a link");
        let made = std::process::Command::new("mkfifo").arg(path("pipe")).status();
        assert!(made.is_ok_and(|status| status.success()), "a pipe");
        let _socket = std::os::unix::net::UnixListener::bind(path("socket")).expect("a socket");
        assert!(open(&path("file")).is_ok() && open(&path("link")).is_ok());
        for (path, name) in [
            (path("pipe"), "it is a named pipe, expected a plain file"),
            (folder.path().to_path_buf(), "it is a folder, expected a plain file"),
            ("/dev/null".into(), "it is a device, expected a plain file"),
        ] {
            assert_eq!(open(&path).expect_err("refused").to_string(), name);
        }
        assert!(open(&path("socket")).is_err());
    }
}

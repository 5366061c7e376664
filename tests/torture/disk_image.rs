//! A file system on a loop device, with a simulated power cut.
//!
//! Three file systems are nested. Each one is a file on the next one, behind a loop device:
//!
//! ```text
//! store, on the file system under test
//!    on `device`, a file on the second one: its content has reached the device
//!       on `holder`, a file on the third one: its content was also flushed by the device
//! ```
//!
//! A frozen file system (fsfreeze) writes nothing more to its file, and writers wait. A copy of the file made then is the
//! state of one moment, which may be in the middle of a write.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The sizes of the three file systems. The first one is under test.
const MEGABYTES: [u64; 3] = [256, 320, 384];
/// All tables are initialized at once, since a kernel thread would otherwise write to the device later.
const MKFS_OPTIONS: &str = "lazy_itable_init=0,lazy_journal_init=0,nodiscard";

/// The fate of data that the device has received but not flushed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cache {
    Kept,
    Lost,
}

/// A mounted device. Fields are dropped in order, so the innermost file system is unmounted first.
pub(crate) struct DiskImage {
    inner: Mount,
    device: Mount,
    holder: Mount,
}

impl DiskImage {
    /// A new file system in a folder.
    ///
    /// # Errors
    /// The reason why images cannot be mounted: not root, a missing program, or no loop device.
    pub(crate) fn create(folder: &Path, name: &str) -> Result<Self, String> {
        if !is_root() {
            return Err("mounting an image takes root".to_owned());
        }
        let device = folder.join(format!("{name}.device"));
        make(&device, MEGABYTES[0])?;
        Self::mount_copy(folder, name, &device)
    }

    /// Copies a device file into two new file systems, and mounts it there.
    fn mount_copy(folder: &Path, name: &str, device: &Path) -> Result<Self, String> {
        let bottom = folder.join(format!("{name}.bottom"));
        make(&bottom, MEGABYTES[2])?;
        let holder = Mount::new(bottom)?;
        make(&holder.at.join("holder"), MEGABYTES[1])?;
        let second = Mount::new(holder.at.join("holder"))?;
        let device_file = second.at.join("device");
        copy(device, &device_file)?;
        run(Command::new("sync").arg(&device_file))?;
        fs::remove_file(device).map_err(|error| format!("cannot remove {}: {error}", device.display()))?;
        Ok(Self { inner: Mount::new(device_file)?, device: second, holder })
    }

    /// The mount point of the file system under test.
    pub(crate) fn path(&self) -> &Path {
        &self.inner.at
    }

    /// Cuts the power, and mounts a copy of the device's state for the restart.
    ///
    /// `kill` is called while writers still wait, so that no interrupted write continues. The second value is `true` if the
    /// device was in the middle of a write.
    pub(crate) fn cut(&self, cache: Cache, folder: &Path, name: &str, kill: impl FnOnce()) -> (Self, bool) {
        let device = folder.join(format!("{name}.device"));
        let half = folder.join(format!("{name}.holder"));
        let (at, file, to) = match cache {
            Cache::Kept => (&self.device.at, &self.inner.file, &device),
            Cache::Lost => (&self.holder.at, &self.device.file, &half),
        };
        let frozen = Frozen::new(at);
        let copied = copy(file, to);
        let at_work = self.inner.requests() > 0;
        kill();
        drop(frozen);
        copied.expect("a copy of the frozen file");
        if cache == Cache::Lost {
            let holder = Mount::new(half).expect("a copy can be mounted as the first was");
            copy(&holder.at.join("device"), &device).expect("the device is in its holder");
        }
        (Self::mount_copy(folder, name, &device).expect("a copy can be mounted as the first was"), at_work)
    }
}

/// A mounted file, which is unmounted and removed when dropped.
struct Mount {
    file: PathBuf,
    at: PathBuf,
}

impl Mount {
    fn new(file: PathBuf) -> Result<Self, String> {
        // The mount points are in the system's temporary folder, never in another mounted file system.
        let at = tempfile::Builder::new().prefix("hedgerow-mount-").tempdir();
        let at = at.map_err(|error| format!("cannot create a folder: {error}"))?.keep();
        let mounted = run(Command::new("mount").args(["-o", "loop"]).args([&file, &at]));
        if mounted.is_err() {
            drop(fs::remove_dir(&at));
        }
        mounted.map(|()| Self { file, at })
    }

    /// The number of unfinished requests of the loop device.
    fn requests(&self) -> u64 {
        let count = || -> Option<u64> {
            let mounts = fs::read_to_string("/proc/mounts").ok()?;
            let line = mounts.lines().find(|line| line.split(' ').nth(1) == self.at.to_str())?;
            let device = line.split(' ').next()?.strip_prefix("/dev/")?;
            let counts = fs::read_to_string(Path::new("/sys/block").join(device).join("inflight")).ok()?;
            counts.split_whitespace().map(|count| count.parse::<u64>().ok()).sum()
        };
        count().unwrap_or(0)
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        // If files are still open, a lazy unmount ends when the last one is closed.
        if run(Command::new("umount").arg(&self.at)).is_err() {
            drop(run(Command::new("umount").arg("-l").arg(&self.at)));
        }
        // Errors are ignored, since both paths are in temporary folders.
        drop(fs::remove_dir(&self.at));
        drop(fs::remove_file(&self.file));
    }
}

/// A frozen file system, which is thawed when this is dropped.
struct Frozen<'a>(&'a Path);

impl<'a> Frozen<'a> {
    fn new(at: &'a Path) -> Self {
        run(Command::new("fsfreeze").arg("-f").arg(at)).expect("a file system of ours can be frozen");
        Self(at)
    }
}

impl Drop for Frozen<'_> {
    fn drop(&mut self) {
        // Without a thaw all writers would wait forever, so a failure ends the test.
        run(Command::new("fsfreeze").arg("-u").arg(self.0)).expect("what was frozen can be thawed");
    }
}

/// Copies a sparse file.
fn copy(from: &Path, to: &Path) -> Result<(), String> {
    run(Command::new("cp").arg("--sparse=always").args([from, to]))
}

/// Creates a file with an ext4 file system.
fn make(file: &Path, megabytes: u64) -> Result<(), String> {
    let made = fs::File::create(file).and_then(|made| made.set_len(megabytes << 20));
    made.map_err(|error| format!("cannot create {}: {error}", file.display()))?;
    run(Command::new("mkfs.ext4").args(["-q", "-b", "4096", "-E", MKFS_OPTIONS]).arg(file))
}

fn is_root() -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ids = status.lines().find_map(|line| line.strip_prefix("Uid:"));
    ids.and_then(|ids| ids.split_whitespace().nth(1)) == Some("0")
}

fn run(command: &mut Command) -> Result<(), String> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command.output().map_err(|error| format!("cannot run {program}: {error}"))?;
    let message = String::from_utf8_lossy(&output.stderr);
    if output.status.success() { Ok(()) } else { Err(format!("{program}: {}", message.trim())) }
}

//! A file system on a device that is a file, and the device as a power cut leaves it.
//!
//! The file lies on a second file system, and that on a third, all in files behind loop devices:
//!
//! ```text
//! store, on the file system under test
//!    on `device`, a file on the second one: what is in it reached the device
//!       on `holder`, a file on the third one: what is in it was flushed by the device, too
//! ```
//!
//! A file system can be frozen: from that moment on nothing more reaches the file on it, and whatever was at work waits. A copy
//! made then is of one moment, also in the middle of a write.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Of the three file systems, from the one under test on.
const MEGABYTES: [u64; 3] = [256, 320, 384];
/// Nothing is left for a kernel thread to initialise, which would keep a device busy.
const SETTLED: &str = "lazy_itable_init=0,lazy_journal_init=0,nodiscard";

/// What a device does with what it has taken and was not asked to flush.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cache {
    Kept,
    Lost,
}

/// A mounted device. Fields are dropped in order: what is inside is unmounted first.
pub(crate) struct Image {
    inner: Mount,
    device: Mount,
    holder: Mount,
}

impl Image {
    /// A new file system in a folder.
    ///
    /// # Errors
    /// Why there can be none here: not root, no tool, no loop device.
    pub(crate) fn create(folder: &Path, name: &str) -> Result<Self, String> {
        if !is_root() {
            return Err("mounting an image takes root".to_owned());
        }
        let device = folder.join(format!("{name}.device"));
        make(&device, MEGABYTES[0])?;
        Self::place(folder, name, &device)
    }

    /// Puts a device where it can be cut off, and mounts it.
    fn place(folder: &Path, name: &str, device: &Path) -> Result<Self, String> {
        let bottom = folder.join(format!("{name}.bottom"));
        make(&bottom, MEGABYTES[2])?;
        let holder = Mount::new(bottom)?;
        make(&holder.at.join("holder"), MEGABYTES[1])?;
        let second = Mount::new(holder.at.join("holder"))?;
        let placed = second.at.join("device");
        copy(device, &placed)?;
        run(Command::new("sync").arg(&placed))?;
        fs::remove_file(device).map_err(|error| format!("cannot remove {}: {error}", device.display()))?;
        Ok(Self { inner: Mount::new(placed)?, device: second, holder })
    }

    /// Where the store may lie.
    pub(crate) fn path(&self) -> &Path {
        &self.inner.at
    }

    /// Cuts the power: what the device has by now, mounted for whoever starts again. `stop` is called before anything may go on
    /// that the cut interrupted. Returns also whether that was a write.
    pub(crate) fn cut(&self, cache: Cache, folder: &Path, name: &str, stop: impl FnOnce()) -> (Self, bool) {
        let device = folder.join(format!("{name}.device"));
        let half = folder.join(format!("{name}.holder"));
        let (at, file, to) = match cache {
            Cache::Kept => (&self.device.at, &self.inner.file, &device),
            Cache::Lost => (&self.holder.at, &self.device.file, &half),
        };
        let frozen = Frozen::new(at);
        let copied = copy(file, to);
        let at_work = self.inner.requests() > 0;
        stop();
        drop(frozen);
        copied.expect("a copy of what was frozen");
        if cache == Cache::Lost {
            let holder = Mount::new(half).expect("a copy can be mounted as the first was");
            copy(&holder.at.join("device"), &device).expect("the device is in its holder");
        }
        (Self::place(folder, name, &device).expect("a copy can be mounted as the first was"), at_work)
    }
}

/// A mounted file; unmounted and removed when dropped, whatever happens.
struct Mount {
    file: PathBuf,
    at: PathBuf,
}

impl Mount {
    fn new(file: PathBuf) -> Result<Self, String> {
        // Beside what is mounted already, so that nothing lies in what is mounted later.
        let at = tempfile::Builder::new().prefix("hedgerow-mount-").tempdir();
        let at = at.map_err(|error| format!("cannot create a folder: {error}"))?.keep();
        let mounted = run(Command::new("mount").args(["-o", "loop"]).args([&file, &at]));
        if mounted.is_err() {
            drop(fs::remove_dir(&at));
        }
        mounted.map(|()| Self { file, at })
    }

    /// Requests that the loop device is at.
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
        // Where somebody still has it open, it goes with the last of them.
        if run(Command::new("umount").arg(&self.at)).is_err() {
            drop(run(Command::new("umount").arg("-l").arg(&self.at)));
        }
        // Not worth failing for: both lie in temporary folders.
        drop(fs::remove_dir(&self.at));
        drop(fs::remove_file(&self.file));
    }
}

/// A file system to which nothing is written, until this is dropped.
struct Frozen<'a>(&'a Path);

impl<'a> Frozen<'a> {
    fn new(at: &'a Path) -> Self {
        run(Command::new("fsfreeze").arg("-f").arg(at)).expect("a file system of ours can be frozen");
        Self(at)
    }
}

impl Drop for Frozen<'_> {
    fn drop(&mut self) {
        // Whatever waits for it would wait for ever, so there is nothing to go on with.
        run(Command::new("fsfreeze").arg("-u").arg(self.0)).expect("what was frozen can be thawed");
    }
}

/// Holes stay holes.
fn copy(from: &Path, to: &Path) -> Result<(), String> {
    run(Command::new("cp").arg("--sparse=always").args([from, to]))
}

fn make(file: &Path, megabytes: u64) -> Result<(), String> {
    let made = fs::File::create(file).and_then(|made| made.set_len(megabytes << 20));
    made.map_err(|error| format!("cannot create {}: {error}", file.display()))?;
    run(Command::new("mkfs.ext4").args(["-q", "-b", "4096", "-E", SETTLED]).arg(file))
}

fn is_root() -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ids = status.lines().find_map(|line| line.strip_prefix("Uid:"));
    ids.and_then(|ids| ids.split_whitespace().nth(1)) == Some("0")
}

fn run(command: &mut Command) -> Result<(), String> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command.output().map_err(|error| format!("cannot run {program}: {error}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    if output.status.success() { Ok(()) } else { Err(format!("{program}: {}", said.trim())) }
}

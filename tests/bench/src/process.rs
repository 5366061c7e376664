//! A process of this program: its time, its largest memory, and the bytes that it writes.

use std::ffi::OsStr;
use std::fs;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use hedgerow::CancelToken;

use crate::measure::Failure;

/// The time between two looks at a process.
const POLL: Duration = Duration::from_micros(500);

/// The costs of a process. Memory and written bytes are as of the last look before its end, where the system tells them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Process {
    pub(crate) seconds: f64,
    /// The largest resident memory, in bytes.
    pub(crate) memory: Option<f64>,
    /// Bytes written to files.
    pub(crate) written: Option<f64>,
}

/// Runs this program with these words.
pub(crate) fn run<'a>(
    words: impl Iterator<Item = &'a OsStr>,
    cancel: &CancelToken,
) -> Result<Process, Failure> {
    let own = std::env::current_exe()?;
    let since = Instant::now();
    let mut command = Command::new(&own);
    command.args(words).arg("--quiet").stdin(Stdio::null()).stdout(Stdio::null());
    let mut child = command.spawn()?;
    let (mut memory, mut written) = (None, None);
    let status = loop {
        let fact = |file: &str, name: &str| fact(&format!("/proc/{}/{file}", child.id()), name);
        memory = fact("status", "VmHWM:").map(|kilobytes| kilobytes * 1024.0).or(memory);
        written = fact("io", "write_bytes:").or(written);
        if let Some(status) = child.try_wait()? {
            break status;
        }
        if cancel.is_cancelled() {
            child.kill().and_then(|()| child.wait())?;
            cancel.check()?;
        }
        thread::sleep(POLL);
    };
    if !status.success() {
        return Err(format!("{command:?} ended with {status}").into());
    }
    Ok(Process { seconds: since.elapsed().as_secs_f64(), memory, written })
}

/// The number that a line of a file begins with, after its name.
fn fact(file: &str, name: &str) -> Option<f64> {
    let text = fs::read_to_string(file).ok()?;
    text.lines().find_map(|line| line.strip_prefix(name))?.split_whitespace().next()?.parse().ok()
}

//! The memory that this process can have: the free memory of the machine, or what its control groups leave.

use std::fs;
use std::path::{Path, PathBuf};

/// The bytes that this process can have; `None` where the system does not tell.
pub(crate) fn available() -> Option<u64> {
    let free = fs::read_to_string("/proc/meminfo").ok().as_deref().and_then(free_of);
    let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    groups_of(&groups).iter().filter_map(|group| left_in(group)).chain(free).min()
}

/// The folders of the control groups in the text of `/proc/self/cgroup` that may limit memory, and of those around them.
fn groups_of(text: &str) -> Vec<PathBuf> {
    let folders = text.lines().filter_map(|line| {
        let mut fields = line.splitn(3, ':');
        let (number, controllers, path) = (fields.next()?, fields.next()?, fields.next()?);
        let root = match number {
            "0" => "/sys/fs/cgroup",
            _ if controllers.split(',').any(|name| name == "memory") => "/sys/fs/cgroup/memory",
            _ => return None,
        };
        Some((root, path.to_owned()))
    });
    let inner = |root: &str, path: &Path| Path::new(root).join(path.strip_prefix("/").unwrap_or(path));
    folders
        .flat_map(|(root, path)| {
            Path::new(&path).ancestors().map(|path| inner(root, path)).collect::<Vec<_>>()
        })
        .collect()
}

/// The memory that a control group of version 2 or 1 leaves; `None` without a limit.
fn left_in(group: &Path) -> Option<u64> {
    let files = [("memory.max", "memory.current"), ("memory.limit_in_bytes", "memory.usage_in_bytes")];
    files.iter().find_map(|(limit, used)| {
        let limit = number_in(&group.join(limit))?;
        Some(limit.saturating_sub(number_in(&group.join(used)).unwrap_or(0)))
    })
}

/// The available memory in the text of `/proc/meminfo`, in bytes.
fn free_of(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kilobytes.checked_mul(1024)
}

/// The number in a file. A group without a limit has the text `max`, or a number above all memory.
fn number_in(path: &Path) -> Option<u64> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_groups_of_both_versions_and_those_around_them_are_found() {
        let text = "12:cpu,cpuacct:/a\n5:memory:/b\n0::/c/d\n";
        let expected = [
            "/sys/fs/cgroup/memory/b",
            "/sys/fs/cgroup/memory/",
            "/sys/fs/cgroup/c/d",
            "/sys/fs/cgroup/c",
            "/sys/fs/cgroup/",
        ];
        assert_eq!(groups_of(text), expected.map(PathBuf::from));
    }

    #[test]
    fn the_available_memory_is_read_in_bytes() {
        let text = "MemTotal:       24000000 kB\nMemFree: 1 kB\nMemAvailable:   22000000 kB\n";
        assert_eq!(free_of(text), Some(22_000_000 * 1024));
        assert_eq!(free_of("MemTotal: 1 kB\n"), None);
        assert!(!cfg!(target_os = "linux") || available().is_some_and(|bytes| bytes > 1 << 20));
    }
}

//! Creating the folder of a store, durably.

use std::fs;
use std::io;
use std::path::Path;

use crate::fs::disk::Disk;
use crate::types::error::Error;

/// Creates the folder of a disk and all that are missing above it. Each is durable before the next is made.
///
/// # Errors
/// Errors of the system; folders that were made by then stay.
pub(crate) fn create(disk: &Disk) -> Result<(), Error> {
    let path = std::path::absolute(disk.folder()).map_err(|e| Error::io(disk.folder(), "create", e))?;
    let mut missing: Vec<&Path> = path.ancestors().take_while(|folder| !folder.is_dir()).collect();
    while let Some(folder) = missing.pop() {
        match fs::create_dir(folder) {
            // Another process may have made it meanwhile.
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists && folder.is_dir() => {}
            // The folder itself is named as the caller names it.
            made => {
                let named = if folder == path { disk.folder() } else { folder };
                made.map_err(|e| Error::io(named, "create", e))?;
            }
        }
        if let Some(parent) = folder.parent() {
            disk.sync_folder(parent).map_err(|e| Error::io(parent, "sync", e))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::fs::disk::{Event, Verdict, Watch};

    #[derive(Debug, Default)]
    struct Syncs(AtomicUsize);

    impl Watch for Syncs {
        fn before(&self, event: Event<'_>) -> Verdict {
            if matches!(event, Event::SyncFolder) {
                self.0.fetch_add(1, Ordering::Relaxed);
            }
            Verdict::Proceed
        }
    }

    /// A store was created in `a/b/c`, and only `a/b` was synced. After a power cut `a` was gone, and with it every
    /// acknowledged commit. The name of each new folder must be durable in the folder above.
    #[test]
    fn every_new_folder_is_made_durable_in_the_one_above() {
        let folder = tempfile::tempdir().expect("a folder");
        let syncs = |path: &str| {
            let watch = Arc::new(Syncs::default());
            create(&Disk::watched(&folder.path().join(path), watch.clone()))
                .map(|()| watch.0.load(Ordering::Relaxed))
        };
        assert_eq!(syncs("a/b/c").expect("created"), 3);
        assert_eq!(syncs("a/b/d").expect("created"), 1);
        assert_eq!(syncs("a/b/d").expect("there"), 0);
        fs::write(folder.path().join("file"), "x").expect("written");
        assert!(matches!(syncs("file"), Err(Error::Io { action: "create", .. })));
        assert!(matches!(syncs("file/a"), Err(Error::Io { action: "create", .. })));
    }
}

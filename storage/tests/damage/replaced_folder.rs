//! A folder that is moved, replaced or restored while a writer has it open.

use std::fs;
use std::path::Path;

use hedgerow_storage::{Batch, CancelToken, Edge, Error, Generation, NodeRef, Publish, Store};

use crate::embeddings;

fn link(store: &Store, pin: &str) -> Result<(), Error> {
    let mut batch = Batch::new();
    let (pin, board) = (NodeRef { kind: "pin", key: pin }, NodeRef { kind: "board", key: "1" });
    batch.link(pin, board, Edge::default())?;
    store.commit(&batch).map(drop)
}

fn holds(path: &Path, pin: &str) -> bool {
    let store = Store::options().open(path).expect("opens");
    assert_eq!(store.damage(), []);
    store.snapshot().require(NodeRef { kind: "pin", key: pin }).is_ok()
}

/// The ways to write into a store.
const WRITES: [&str; 4] = ["commit", "checkpoint", "publish", "sidecar"];

fn write(store: &Store, way: &str) -> Result<(), Error> {
    let refreshed = store.snapshot().epoch();
    match way {
        "commit" => link(store, "late"),
        "checkpoint" => store.checkpoint(&CancelToken::new()),
        "publish" => {
            let files = vec![("embeddings", Some(embeddings(1.0)))];
            store.publish(Publish { generation: Generation::new(1), refreshed, files }, &CancelToken::new())
        }
        _ => store.write_sidecar("job", &embeddings(1.0)),
    }
}

/// A restore while the old daemon runs: the folder was moved and a backup put in its place, and the daemon's next
/// refresh wrote its manifest into the new folder by path. A commit of the new writer was gone, and a check said sound.
#[test]
fn a_writer_of_a_replaced_folder_stops_and_harms_neither() {
    let folder = tempfile::tempdir().expect("a folder");
    let (path, moved, backup) =
        (folder.path().join("store"), folder.path().join("moved"), folder.path().join("backup"));
    for way in WRITES {
        let old = Store::options().create(true).open(&path).expect("created");
        link(&old, "before").expect("committed");
        old.backup(&backup, &CancelToken::new()).expect("copied");
        link(&old, "after-backup").expect("committed");
        fs::rename(&path, &moved).expect("moved");
        fs::rename(&backup, &path).expect("restored");
        let new = Store::options().open(&path).expect("another writer");
        link(&new, "new").expect("committed");
        // The first write is refused for its reason, and nothing is written from then on.
        let refused = write(&old, way);
        assert!(
            matches!(&refused, Err(Error::Replaced { path: named }) if *named == path),
            "{way}: {refused:?}"
        );
        for later in WRITES {
            let refused = write(&old, later);
            assert!(
                matches!(&refused, Err(Error::Replaced { .. } | Error::Broken { .. })),
                "{later} after {way}: {refused:?}"
            );
        }
        drop((old, new));
        assert!(holds(&path, "before") && holds(&path, "new") && !holds(&path, "after-backup"));
        assert!(holds(&moved, "before") && holds(&moved, "after-backup") && !holds(&moved, "new"));
        assert!(!holds(&path, "late") && !holds(&moved, "late"));
        fs::remove_dir_all(&path).expect("removed");
        fs::remove_dir_all(&moved).expect("removed");
    }
}

/// The same by copying the files of a backup over those of the open store: lock and folder stay, the manifest does not.
#[test]
fn a_writer_whose_files_were_overwritten_stops() {
    let folder = tempfile::tempdir().expect("a folder");
    let (path, backup) = (folder.path().join("store"), folder.path().join("backup"));
    let store = Store::options().create(true).open(&path).expect("created");
    link(&store, "before").expect("committed");
    store.backup(&backup, &CancelToken::new()).expect("copied");
    link(&store, "after-backup").expect("committed");
    store.checkpoint(&CancelToken::new()).expect("written");
    let restored = fs::read(backup.join("MANIFEST")).expect("readable");
    fs::write(path.join("MANIFEST"), &restored).expect("restored");
    link(&store, "later").expect("the log is the same");
    assert!(matches!(store.checkpoint(&CancelToken::new()), Err(Error::Replaced { .. })));
    assert_eq!(fs::read(path.join("MANIFEST")).expect("readable"), restored);
}

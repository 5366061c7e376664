//! A log, or its end, of another store with the same number of commits, and a log that is lost as a whole.
//! The files of the checkpoint hold every batch, so nothing that was acknowledged depends on the log.

use std::fs;
use std::path::Path;

use hedgerow_storage::{Batch, CancelToken, Edge, Epoch, Error, Generation, NodeRef, Publish, Store};

use crate::{content, embeddings, silence};

const FOREIGN: &str = "it is of another store or another time";

fn link(store: &Store, pin: &str) -> Epoch {
    let mut batch = Batch::new();
    let (pin, board) = (NodeRef { kind: "pin", key: pin }, NodeRef { kind: "board", key: "1" });
    batch.link(pin, board, Edge::default()).expect("valid");
    store.commit(&batch).expect("committed").epoch
}

/// A store whose last checkpoint has every batch; the embeddings do not reflect the last one.
fn sample(path: &Path, name: &str) -> String {
    let store = Store::options().create(true).open(path).expect("created");
    link(&store, &format!("{name}-1"));
    let publish = Publish {
        generation: Generation::new(1),
        refreshed: link(&store, &format!("{name}-2")),
        files: vec![("embeddings", Some(embeddings(1.0)))],
    };
    store.publish(publish, &CancelToken::new()).expect("published");
    link(&store, &format!("{name}-3"));
    store.checkpoint(&CancelToken::new()).expect("written");
    content(&store.snapshot())
}

/// Takes the name of a file of the log from another store, or removes it where that store is `None`.
fn replace(path: &Path, other: Option<&Path>, names: &[&str]) {
    for name in names {
        match other {
            Some(other) => drop(fs::copy(other.join(name), path.join(name)).expect("copied")),
            None => fs::remove_file(path.join(name)).expect("removed"),
        }
    }
}

/// Commits, and opens the store again: it has the batch.
fn goes_on(path: &Path, store: Store, expected: &str) {
    assert_eq!(content(&store.snapshot()), expected);
    let epoch = link(&store, "later");
    let later = content(&store.snapshot());
    drop(store);
    let store = Store::options().open(path).expect("opens");
    assert_eq!((store.snapshot().epoch(), content(&store.snapshot())), (epoch, later));
}

#[test]
fn the_end_of_another_log_is_refused_and_given_up_by_a_repair() {
    silence();
    let folder = tempfile::tempdir().expect("a folder");
    let (path, other) = (folder.path().join("store"), folder.path().join("other"));
    let expected = sample(&path, "a");
    sample(&other, "b");
    replace(&path, Some(&other), &["LOG.END"]);
    match Store::options().open(&path) {
        Err(Error::Damaged { path: named, what, .. }) => {
            assert_eq!(named, path.join("LOG.END"));
            assert!(what.contains(FOREIGN), "{what}");
        }
        other => panic!("{other:?}"),
    }
    let store = Store::options().repair(true).open(&path).expect("repaired");
    assert!(store.damage().iter().any(|damage| damage.path == path.join("LOG.END")));
    goes_on(&path, store, &expected);
}

#[test]
fn another_log_that_ends_where_the_files_end_is_never_trusted() {
    silence();
    let folder = tempfile::tempdir().expect("a folder");
    let (path, other) = (folder.path().join("store"), folder.path().join("other"));
    let expected = sample(&path, "a");
    sample(&other, "b");
    replace(&path, Some(&other), &["log/db", "log/conf"]);
    replace(&path, None, &["JOURNAL", "LOG.END"]);
    let store = Store::options().open(&path).expect("the files have every batch");
    assert!(!store.damage().is_empty());
    goes_on(&path, store, &expected);
}

/// The changes since the embeddings were made are counted at each checkpoint. Without their records the store could not
/// be opened any more, not even by a repair, though its files have the whole graph.
#[test]
fn commits_after_the_loss_of_a_whole_log_are_kept() {
    silence();
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("store");
    let expected = sample(&path, "a");
    fs::remove_dir_all(path.join("log")).expect("removed");
    replace(&path, None, &["JOURNAL", "LOG.END"]);
    let store = Store::options().open(&path).expect("the files have every batch");
    assert!(!store.damage().is_empty());
    goes_on(&path, store, &expected);
}

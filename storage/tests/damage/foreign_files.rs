//! Sound files in the wrong place: of another store, of another time, or no files at all.
//! Every checksum in them matches, so only the manifest can say that they do not belong there.

use std::fs;
use std::path::{Path, PathBuf};

use hedgerow_storage::{CancelToken, CheckOptions, Damage, Error, Store};
use hedgerow_test_support::Random;

use crate::{content, copy, embeddings, files, in_time, sample, silence};

/// The records of a store without the files of its checkpoints.
const LOG: [&str; 4] = ["log/db", "log/conf", "JOURNAL", "LOG.END"];

fn names(store: &Path) -> Vec<PathBuf> {
    let inside = |file: &PathBuf| file.strip_prefix(store).expect("inside").to_path_buf();
    files(store).iter().map(inside).collect()
}

/// True for a file that is replaced by a newer one in the current checkpoint.
fn is_of_old(store: &Path, name: &Path) -> bool {
    let numbered = |name: &Path| {
        let name = name.to_str()?.strip_suffix(".hg")?;
        let (stem, number) = name.rsplit_once('.')?;
        Some((stem.to_owned(), number.parse::<u64>().ok()?))
    };
    let Some((stem, number)) = numbered(name) else { return false };
    // A checkpoint has no records, and puts no newer file in their place.
    if stem == "records" {
        let store = Store::options().read_only(true).open(store).expect("intact");
        return store.derived().is_none_or(|derived| !derived.has("records"));
    }
    let others = names(store);
    let mut others = others.iter().filter_map(|other| numbered(other));
    others.any(|(other, newer)| other == stem && newer > number)
}

fn problems(store: &Path) -> Result<Vec<Damage>, Error> {
    Store::check(store, CheckOptions::default(), &CancelToken::new()).map(|report| report.problems)
}

/// Opens the store: its own graph and its own embeddings, or an error that names a file of it. Returns the damage.
fn open(store: &Path, expected: &str, what: &str) -> Result<Vec<Damage>, Error> {
    let path = store.to_path_buf();
    let opened = in_time(what, move || {
        let store = Store::options().open(&path)?;
        let derived = store.derived().expect("it was published");
        if let Ok(file) = derived.file("embeddings") {
            let value = file.section_f32(*b"rows\0\0\0\0").expect("there")[0];
            assert!([1.0, 2.0].contains(&value), "embeddings of another store");
        }
        Ok((content(&store.snapshot()), store.damage().to_vec()))
    });
    match opened {
        Ok((text, damage)) => {
            assert_eq!(text, expected, "{what}: another graph");
            Ok(damage)
        }
        Err(error) => {
            let named = matches!(&error, Error::Damaged { path, .. } if path.starts_with(store));
            assert!(named, "{what}: {error}");
            Err(error)
        }
    }
}

/// `topology`, `features`, `model` or `embeddings` of another store were trusted: their checksums match, and the answers
/// were those of the other store. A file must be the one that the manifest names.
#[test]
fn a_file_of_another_store_is_never_trusted() {
    silence();
    let folder = tempfile::tempdir().expect("a folder");
    let (home, other, path) =
        (folder.path().join("home"), folder.path().join("other"), folder.path().join("store"));
    let (mut one, mut two) = (Random::new(1), Random::new(2));
    let expected = sample(&home, &mut one);
    assert_ne!(expected, sample(&other, &mut two), "the stores differ");
    // Every file alone, then the whole log, then all manifests.
    let mut groups: Vec<Vec<PathBuf>> = names(&home).into_iter().map(|name| vec![name]).collect();
    groups.push(LOG.map(PathBuf::from).to_vec());
    groups.push(["MANIFEST", "MANIFEST.copy", "MANIFEST.previous"].map(PathBuf::from).to_vec());
    for group in groups {
        let what = format!("{group:?} of another store");
        copy(&home, &path);
        let mut is_changed = false;
        for name in group.iter().filter(|name| other.join(name).exists()) {
            is_changed |= fs::read(home.join(name)).ok() != fs::read(other.join(name)).ok();
            fs::copy(other.join(name), path.join(name)).expect("copied");
        }
        // These hold nothing that the store needs now: the engine has all records, and none of another log is taken.
        let is_harmless =
            ["LOCK", "CHECKED", "JOURNAL", "log/conf"].iter().any(|name| group == [PathBuf::from(name)]);
        if !is_changed || is_harmless {
            open(&path, &expected, &what).expect("as before");
            continue;
        }
        // A check does not open the engine. Where the journal has every record, it finds nothing to miss.
        let told = problems(&path).map_or(true, |problems| !problems.is_empty());
        assert!(told || group == [PathBuf::from("log/db")], "{what}: a check finds nothing");
        if let Ok(damage) = open(&path, &expected, &what) {
            // Files that only the previous checkpoint needs are not opened.
            let is_old =
                group.iter().all(|name| name.ends_with("MANIFEST.previous") || is_of_old(&home, name));
            assert!(!damage.is_empty() || is_old, "{what}: nothing is told");
        }
    }
}

/// `embeddings.1.hg` under the name of the next ones was trusted: a file of another time is sound as well.
#[test]
fn a_file_of_another_time_is_never_trusted() {
    silence();
    let folder = tempfile::tempdir().expect("a folder");
    let (home, path) = (folder.path().join("home"), folder.path().join("store"));
    let expected = sample(&home, &mut Random::new(1));
    let all = names(&home);
    let stem = |name: &Path| name.to_str().and_then(|name| name.split('.').next()).map(str::to_owned);
    let mut tried = 0;
    for (name, of_other_time) in all.iter().flat_map(|one| all.iter().map(move |other| (one, other))) {
        if name == of_other_time
            || !name.to_string_lossy().ends_with(".hg")
            || stem(name) != stem(of_other_time)
        {
            continue;
        }
        copy(&home, &path);
        fs::copy(home.join(of_other_time), path.join(name)).expect("copied");
        let what = format!("{} as {}", of_other_time.display(), name.display());
        assert!(!problems(&path).expect("checked").is_empty(), "{what}: a check finds nothing");
        let damage = open(&path, &expected, &what).expect("another copy has it");
        assert!(!damage.is_empty() || is_of_old(&home, name), "{what}: nothing is told");
        tried += 1;
    }
    assert!(tried >= 4, "only {tried} files have a file of another time");
}

/// An older, whole `MANIFEST` won over its newer copy, and the next writer deleted model and embeddings that only the
/// copy named. The higher number must win, and the difference is damage.
#[test]
fn an_older_manifest_loses_against_its_newer_copy() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("store");
    let store = Store::options().create(true).open(&path).expect("created");
    let before = fs::read(path.join("MANIFEST")).expect("readable");
    let publish = hedgerow_storage::Publish {
        generation: hedgerow_storage::Generation::new(1),
        refreshed: store.snapshot().epoch(),
        files: vec![("embeddings", Some(embeddings(1.0)))],
    };
    store.publish(publish, &CancelToken::new()).expect("published");
    drop(store);
    fs::write(path.join("MANIFEST"), before).expect("written");
    let manifest = path.join("MANIFEST");
    let told = problems(&path).expect("checked");
    assert!(told.iter().any(|damage| damage.what.contains("its number is")), "{told:?}");
    // A reader does not guess.
    let read = Store::options().read_only(true).open(&path);
    assert!(matches!(read, Err(Error::Damaged { path, .. }) if path == manifest));
    for round in 0..2 {
        let store = Store::options().open(&path).expect("opens");
        assert_eq!(store.damage().iter().any(|damage| damage.path == manifest), round == 0);
        assert!(store.derived().expect("it was published").file("embeddings").is_ok());
    }
    assert_eq!(problems(&path).expect("checked"), []);
}

/// A crash between the last two renames of a swap leaves an older copy. That is no damage, and the next writer replaces
/// it, so that there are two copies again.
#[test]
fn an_older_copy_is_replaced_without_a_word() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("store");
    sample(&path, &mut Random::new(1));
    fs::copy(path.join("MANIFEST.previous"), path.join("MANIFEST.copy")).expect("copied");
    assert_eq!(problems(&path).expect("checked"), []);
    assert_eq!(Store::options().open(&path).expect("opens").damage(), []);
    let read = |name: &str| fs::read(path.join(name)).expect("readable");
    assert!(read("MANIFEST") == read("MANIFEST.copy"));
}

/// A pipe in place of a file made the opening wait forever.
#[cfg(unix)]
#[test]
fn a_pipe_in_place_of_a_file_is_refused_without_waiting() {
    silence();
    let folder = tempfile::tempdir().expect("a folder");
    let (home, path) = (folder.path().join("home"), folder.path().join("store"));
    let expected = sample(&home, &mut Random::new(1));
    for name in names(&home) {
        copy(&home, &path);
        fs::remove_file(path.join(&name)).expect("removed");
        let made = std::process::Command::new("mkfifo").arg(path.join(&name)).status().expect("mkfifo runs");
        assert!(made.success());
        let (what, store) = (format!("{} is a pipe", name.display()), path.clone());
        // Each way of looking at the store ends, with its content or a typed error.
        in_time(&what, move || {
            let _ = problems(&store);
            let _ = Store::options().read_only(true).open(&store);
            let _ = Store::options().read_only(true).low_memory(true).open(&store);
        });
        let store = path.clone();
        let opened =
            in_time(&what, move || Store::options().open(&store).map(|store| content(&store.snapshot())));
        match opened {
            Ok(text) => assert_eq!(text, expected, "{what}"),
            Err(Error::Damaged { .. } | Error::Io { .. }) => {}
            Err(other) => panic!("{what}: {other}"),
        }
    }
}

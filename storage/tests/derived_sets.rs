//! Several derived sets in one store: each has its own files, epoch and dirty nodes, and the log reaches back to all.

use hedgerow_storage::{
    Batch, CancelToken, CheckOptions, Edge, Epoch, Error, Generation, NodeRef, Publish, SectionWriter, Store,
};

fn node(text: &str) -> NodeRef<'_> {
    NodeRef::parse(text).expect("valid")
}

fn link(store: &Store, pin: &str) -> Epoch {
    let mut batch = Batch::new();
    batch.link(node(pin), node("board:1"), Edge::default()).expect("valid");
    store.commit(&batch).expect("committed").epoch
}

fn open(folder: &tempfile::TempDir) -> Store {
    Store::options().create(true).open(folder.path()).expect("it opens")
}

fn reader(folder: &tempfile::TempDir) -> Store {
    Store::options().read_only(true).open(folder.path()).expect("it opens")
}

/// Publishes a file that holds a number, current at the present epoch.
fn publish(store: &Store, set: &str, number: u32) -> Result<(), Error> {
    let mut file = SectionWriter::new(*b"TEST", 1);
    file.section(*b"number\0\0", vec![number]);
    let (generation, refreshed) = (Generation::new(number.into()), store.snapshot().epoch());
    let publish = Publish { generation, refreshed, files: vec![("embeddings", Some(file))] };
    store.derived_set(set).publish(publish, &CancelToken::new())
}

fn number_in(store: &Store, set: &str) -> u32 {
    let file = store.derived_set(set).derived().expect("published").file("embeddings").expect("intact");
    file.section_u32(*b"number\0\0").expect("there")[0]
}

fn problems(folder: &tempfile::TempDir) -> Vec<String> {
    let options = CheckOptions { deep: true, read_only: false };
    let report = Store::check(folder.path(), options, &CancelToken::new()).expect("checked");
    report.problems.iter().map(ToString::to_string).collect()
}

/// `main` is at epoch 1 and `tonight` at epoch 3. The log must have the changes since epoch 1, whatever `tonight` reflects.
#[test]
fn the_log_reaches_back_to_the_set_that_is_furthest_behind() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open(&folder);
    link(&store, "pin:1");
    publish(&store, "main", 1).expect("published");
    link(&store, "pin:2");
    link(&store, "pin:3");
    publish(&store, "tonight", 2).expect("published");
    for round in 0..3 {
        store.checkpoint(&CancelToken::new()).expect("written");
        publish(&store, "tonight", 3 + round).expect("published");
    }
    link(&store, "pin:4");
    drop(store);
    assert_eq!(problems(&folder), Vec::<String>::new());
    let store = open(&folder);
    let dirty = |store: &Store| ["main", "tonight"].map(|set| store.derived_set(set).dirty_nodes());
    assert_eq!(dirty(&store), [4, 2], "three pins and the board, one pin and the board");
    let now = store.snapshot();
    let changes = store.changes(Epoch::new(1), &now, &CancelToken::new()).expect("kept for main");
    assert_eq!(changes.nodes.len(), 3);
    // A reader sees the graph of `tonight`, in which `main` lacks two pins.
    assert_eq!((reader(&folder).snapshot().epoch(), dirty(&reader(&folder))), (Epoch::new(3), [3, 0]));
    // Once `main` is gone, the older records are too.
    store.derived_set("main").discard().expect("discarded");
    drop((now, changes));
    store.checkpoint(&CancelToken::new()).expect("written");
    drop(store);
    let store = open(&folder);
    assert!(store.changes(Epoch::new(1), &store.snapshot(), &CancelToken::new()).is_err());
    assert_eq!((dirty(&store), number_in(&store, "tonight")), ([0, 2], 5));
}

/// The file of `main` has the name that it had before there were others.
#[test]
fn the_first_set_is_the_default_until_another_is_made_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open(&folder);
    link(&store, "pin:1");
    assert_eq!((store.default_set(), store.derived_sets()), ("main".to_owned(), Vec::new()));
    publish(&store, "tonight", 1).expect("published");
    publish(&store, "main", 2).expect("published");
    assert_eq!(
        (store.default_set(), store.derived_sets().join(" ")),
        ("tonight".to_owned(), "main tonight".to_owned())
    );
    let is_file = |name: &str| folder.path().join(name).is_file();
    assert!(is_file("tonight-embeddings.1.hg") && is_file("embeddings.2.hg"));
    let sizes = store.sizes().files;
    assert!(sizes.contains_key("tonight-embeddings") && sizes.contains_key("embeddings"));
    store.derived_set("main").make_default().expect("made");
    assert!(matches!(store.derived_set("other").make_default(), Err(Error::Invalid { .. })));
    drop(store);
    let store = open(&folder);
    for store in [&store, &reader(&folder)] {
        assert_eq!((store.default_set(), number_in(store, "main")), ("main".to_owned(), 2));
        assert_eq!(store.derived().expect("published").generation, Generation::new(2));
    }
    // An open file outlives its set, also for a reader.
    let reading = reader(&folder);
    let held = store.derived_set("main").derived().expect("published");
    store.derived_set("main").discard().expect("discarded");
    assert_eq!(number_in(&reading, "main"), 2);
    assert!(held.file("embeddings").is_ok() && !is_file("embeddings.2.hg"));
    assert_eq!(
        (store.default_set(), store.derived_sets()),
        ("tonight".to_owned(), vec!["tonight".to_owned()])
    );
    drop(store);
    assert_eq!(problems(&folder), Vec::<String>::new());
    assert_eq!(number_in(&open(&folder), "tonight"), 1);
}

#[test]
fn the_files_of_a_damaged_set_come_from_the_publish_before_and_others_stay() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open(&folder);
    link(&store, "pin:1");
    publish(&store, "main", 1).expect("published");
    publish(&store, "tonight", 7).expect("published");
    link(&store, "pin:2");
    let mut file = SectionWriter::new(*b"TEST", 1);
    file.section(*b"number\0\0", vec![8]);
    let files = vec![("embeddings", Some(file))];
    let again = Publish { generation: Generation::new(7), refreshed: store.snapshot().epoch(), files };
    store.derived_set("tonight").publish(again, &CancelToken::new()).expect("published");
    drop(store);
    let path = folder.path().join("tonight-embeddings.3.hg");
    let mut torn = std::fs::read(&path).expect("the newest");
    let last = torn.len() - 1;
    torn[last] ^= 1;
    std::fs::write(&path, torn).expect("written");
    let store = open(&folder);
    assert_eq!(store.damage().len(), 1);
    assert_eq!((number_in(&store, "main"), number_in(&store, "tonight")), (1, 7));
    assert_eq!(store.derived_set("tonight").dirty_nodes(), 2);
}

#[test]
fn a_set_has_a_short_name_of_lowercase_letters_digits_and_hyphens() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open(&folder);
    link(&store, "pin:1");
    let longest = "a".repeat(32);
    for (name, is_valid) in
        [("", false), ("To", false), ("a b", false), ("a.b", false), ("a-2", true), (&longest, true)]
    {
        assert_eq!(store.derived_set(name).check_name().is_ok(), is_valid, "{name}");
        assert_eq!(publish(&store, name, 1).is_ok(), is_valid, "{name}");
    }
    assert!(publish(&store, &format!("{longest}a"), 1).is_err());
}

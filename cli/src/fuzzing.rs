//! Readers of the command under arbitrary bytes: the functions of the fuzz targets, which tests call too.
//! Compiled for tests and fuzzing only, so it is no part of the interface. A function returns, whatever the bytes: a panic, a
//! hang, or memory that the input does not account for is a defect. An error of an input names its place.

use std::fs;
use std::io::Cursor;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use hedgerow::{Batch, CancelToken, Edge, Engine, Filter, NodeRef, Store, TimeUnit};

use crate::core::failure::Failure;
use crate::input::delimited::{Delimited, Dialect};
use crate::input::jsonl::JsonLine;
use crate::input::lines::Lines;
use crate::input::npy::Matrix;
use crate::input::pairs::words;
use crate::input::rows::RowReader;
use crate::input::source::Source;
use crate::input::timestamp::FileTimes;
use crate::repl::fuzzing::ConsoleLines;
use crate::transfer::manifest::{MANIFEST, Manifest};
use crate::transfer::model_file;
use crate::verbs::apply::change::{ChangeRules, Changes};

/// The readers of the command, with a folder for the files that they read.
pub struct Readers {
    folder: PathBuf,
    console: Mutex<ConsoleLines>,
    /// A small store, into which models are installed.
    engine: Engine,
}

impl Readers {
    /// Readers of files in an empty folder.
    ///
    /// # Panics
    /// If the folder cannot be written.
    pub fn new(folder: &Path) -> Self {
        let store = Store::options().create(true).open(folder.join("store")).expect("created");
        let mut batch = Batch::new();
        let (pin, board) = (NodeRef { kind: "pin", key: "1" }, NodeRef { kind: "board", key: "1" });
        batch.link(pin, board, Edge::default()).expect("valid");
        store.commit(&batch).expect("committed");
        let engine = Engine::open(Arc::new(store)).expect("opened");
        Self { folder: folder.to_path_buf(), console: Mutex::new(ConsoleLines::new()), engine }
    }

    /// Records of separated fields, such as csv.
    ///
    /// # Panics
    /// On a defect.
    pub fn delimited(&self, bytes: &[u8]) {
        let mut records = match Delimited::open(lines(bytes), &Dialect { blanks: true, ..Dialect::default() })
        {
            Ok(records) => records,
            Err(failure) => return expect_place(&failure, bytes),
        };
        if let Err(bad) = records.header() {
            expect_place(&bad.into(), bytes);
        }
        let mut times = FileTimes::new(None, TimeUnit::Microseconds);
        loop {
            for field in 0..=records.len() {
                let read = (records.text(field), records.weight(field), records.time(field, &mut times));
                for bad in [read.0.err(), read.1.err(), read.2.err()].into_iter().flatten() {
                    expect_place(&bad.into(), bytes);
                }
            }
            match records.advance() {
                Ok(true) => {}
                Ok(false) => return,
                Err(failure) => {
                    expect_place(&failure, bytes);
                    if !is_recoverable(&failure) {
                        return;
                    }
                }
            }
        }
    }

    /// Lines: of words, of JSON objects, and of changes.
    ///
    /// # Panics
    /// On a defect.
    pub fn lines(&self, bytes: &[u8]) {
        let mut each = lines(bytes);
        while each.advance().expect("memory can be read") {
            if let Err(failure) = words(&each) {
                expect_place(&failure, bytes);
            }
            match JsonLine::parse(&each) {
                Ok(object) => read_object(&object, bytes),
                Err(bad) => expect_place(&bad.into(), bytes),
            }
        }
        let mut batch = Batch::new();
        let mut changes = match Changes::open(lines(bytes), ChangeRules::plain()) {
            Ok(changes) => changes,
            Err(failure) => return expect_place(&failure, bytes),
        };
        loop {
            match changes.next(&mut batch) {
                Ok(Some(_)) => {}
                Ok(None) => return,
                Err(failure) => {
                    expect_place(&failure, bytes);
                    if !is_recoverable(&failure) {
                        return;
                    }
                }
            }
        }
    }

    /// A numpy array.
    ///
    /// # Panics
    /// On a defect.
    pub fn matrix(&self, bytes: &[u8]) {
        let path = self.file("matrix.npy", bytes);
        match Matrix::open(&path) {
            Err(failure) => assert!(matches!(failure, Failure::Input(_)), "{failure} in {bytes:?}"),
            Ok(mut matrix) => {
                for _ in 0..matrix.rows.min(1000) {
                    assert_eq!(matrix.next_row().expect("as long as it says").len(), matrix.width);
                }
            }
        }
    }

    /// A file that may be compressed or Parquet.
    ///
    /// # Panics
    /// On a defect.
    pub fn source(&self, bytes: &[u8]) {
        let path = self.file("source", bytes);
        let Ok(source) = Source::open(&path) else { return };
        let mut lines = Lines::new(source);
        // Some bytes give as many lines as nobody waits for.
        for _ in 0..1000 {
            match lines.advance() {
                Ok(true) => drop(JsonLine::parse(&lines)),
                Ok(false) | Err(_) => return,
            }
        }
    }

    /// A line of the console.
    ///
    /// # Panics
    /// On a defect.
    pub fn console_line(&self, bytes: &[u8]) {
        let mut console = self.console.lock().expect("an earlier panic ended the process");
        console.read(&String::from_utf8_lossy(bytes));
    }

    /// A filter of answers.
    ///
    /// # Panics
    /// On a defect.
    pub fn filter(&self, bytes: &[u8]) {
        let Ok(text) = std::str::from_utf8(bytes) else { return };
        if let Ok(filter) = text.parse::<Filter>() {
            assert_eq!(filter.to_string().parse::<Filter>().ok(), Some(filter));
        }
    }

    /// The manifest of an export.
    ///
    /// # Panics
    /// On a defect.
    pub fn export_manifest(&self, bytes: &[u8]) {
        self.file(MANIFEST, bytes);
        if let Ok(manifest) = Manifest::open(&self.folder) {
            // Any outcome.
            let _ = manifest.verify(&self.folder, &CancelToken::new(), &mut |_| {});
        }
    }

    /// An exported model, which is installed if it is one.
    ///
    /// # Panics
    /// On a defect.
    pub fn exported_model(&self, bytes: &[u8]) {
        let path = self.file(model_file::MODEL, bytes);
        if let Ok(model) = model_file::read(&path) {
            // Any outcome.
            let _ = self.engine.install(&model, &CancelToken::new());
        }
    }

    fn file(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.folder.join(name);
        fs::write(&path, bytes).expect("a file");
        path
    }
}

fn read_object(object: &JsonLine<'_>, bytes: &[u8]) {
    let mut times = FileTimes::new(None, TimeUnit::Microseconds);
    for field in ["src", "dst", "weight", "time"] {
        let read = [
            object.expect_only(&["src", "dst", "weight", "time"]).err(),
            object.required(field).err(),
            object.text(field, "a node").err(),
            object.optional_text(field).err(),
            object.key(field).err(),
            object.texts(field).err(),
            object.numbers(field).err(),
            object.weight(field).err(),
            object.time(field, &mut times).err(),
        ];
        for bad in read.into_iter().flatten() {
            expect_place(&bad.into(), bytes);
        }
    }
}

fn lines(bytes: &[u8]) -> Lines {
    Lines::resume(Cursor::new(bytes.to_vec()), "corrupt", 0)
}

/// Small intact inputs of [`Readers::delimited`].
#[cfg(test)]
pub(crate) const TEXTS: [(&str, &str); 4] = [
    ("csv", "\u{feff}board,pin,weight,time\r\n\"a, \"\"b\"\"\nc\",1,2.5,1970-01-02\r\n\r\nx;y,\u{e9},,\n"),
    ("tsv", "a\tb\n\"1\"\t\"99\" - Acoustic\n\t\n"),
    ("blanks", "# of\na  b\n 1\t2 \n1 \"2\n"),
    ("colons", "a::b::c\n1::2::3:4\n"),
];
/// Small intact inputs of [`Readers::lines`].
#[cfg(test)]
pub(crate) const ADJACENCY: &str = "1 2 3\n\n  4\t5 \u{e9}\u{1f600}\n6\n";
#[cfg(test)]
pub(crate) const JSON_LINES: &str = "{\"src\":\"board:1\",\"dst\":\"pin:2\",\"weight\":1e0,\"time\":\"1970-01-02\"}\n{\"src\":\"a:\\u00e9\",\"dst\":\"b:2\"}\n";

/// A matrix of three rows of two numbers.
#[cfg(test)]
pub(crate) fn matrix() -> Vec<u8> {
    let header = "{'descr': '<f4', 'fortran_order': False, 'shape': (3, 2), }          \n";
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((header.len() as u16).to_le_bytes());
    bytes.extend(header.as_bytes());
    bytes.extend((0..6_u8).flat_map(|at| f32::from(at).to_le_bytes()));
    bytes
}

/// Checks that a failure has a place in the input.
fn expect_place(failure: &Failure, bytes: &[u8]) {
    let Failure::Input(bad) = failure else { panic!("{failure} in {bytes:?}") };
    let within = bytes.split(|&byte| byte == b'\n').count() as u64 + 1;
    assert!((1..=within).contains(&bad.place.line), "{bad} in {bytes:?}");
    assert!((1..=bytes.len() as u64 + 1).contains(&bad.place.column), "{bad} in {bytes:?}");
}

/// True where reading can continue behind a failure.
fn is_recoverable(failure: &Failure) -> bool {
    matches!(failure, Failure::Input(bad) if !bad.fatal)
}

#[cfg(test)]
mod tests {
    use hedgerow_test_support::{for_each_seed, write_seed};

    use super::*;

    /// Seeds were made by [`seeds_of_all_targets`], or once failed.
    #[test]
    fn no_seed_does_harm() {
        let folder = tempfile::tempdir().expect("a folder");
        let readers = Readers::new(folder.path());
        for_each_seed("delimited", |bytes| readers.delimited(bytes));
        for_each_seed("lines", |bytes| readers.lines(bytes));
        for_each_seed("matrix", |bytes| readers.matrix(bytes));
        for_each_seed("source", |bytes| readers.source(bytes));
        for_each_seed("filter", |bytes| readers.filter(bytes));
        for_each_seed("export_manifest", |bytes| readers.export_manifest(bytes));
        for_each_seed("exported_model", |bytes| readers.exported_model(bytes));
        for_each_seed("console_line", |bytes| readers.console_line(bytes));
    }

    /// `cargo test -p hedgerow-cli --features parquet --lib seeds_of_all_targets -- --ignored` after a change of a format.
    #[test]
    #[ignore = "it writes into the source tree"]
    fn seeds_of_all_targets() {
        for (name, text) in TEXTS {
            write_seed("delimited", name, text.as_bytes());
        }
        for (name, text) in [
            ("words", ADJACENCY),
            ("objects", JSON_LINES),
            ("changes", "+,pin:1,board:2,0.5,1970-01-02\n-,pin:1,board:2\n"),
            ("change_objects", "{\"op\":\"add\",\"src\":\"pin:1\",\"dst\":\"board:2\",\"weight\":2}\n"),
        ] {
            write_seed("lines", name, text.as_bytes());
        }
        write_seed("matrix", "rows", &matrix());
        for (at, line) in [
            "similar 'pin:a b' -k 3 --where \"a and b\" &",
            "train --target pin,board --ids=o",
            "link pin:1 $'board:\\x1b\\u{9b}' --relation a # why",
            ".help .mode",
        ]
        .iter()
        .enumerate()
        {
            write_seed("console_line", &at.to_string(), line.as_bytes());
        }
        write_seed("filter", "all", br#"genre=jazz and not (live or "recorded \"live\" \\")"#);
        write_seed(
            "filter",
            "comparisons",
            br#"price<=-4.5 and title ~ "a b" or not (in_stock and "t" != x=y)"#,
        );
        write_exports();
    }

    /// An export of a small store, of which the manifest, the model and the compressed files are seeds.
    fn write_exports() {
        let folder = tempfile::tempdir().expect("a folder");
        let at = |name: &str| folder.path().join(name).to_str().expect("UTF-8").to_owned();
        fs::write(folder.path().join("edges.csv"), "pin,board\n1,1\n2,1\n").expect("a file");
        let (store, edges) = (at("store"), at("edges.csv"));
        let run = |words: &[&str]| {
            let words = ["hedgerow"].iter().chain(words).map(Into::into);
            assert_eq!(crate::run(words), std::process::ExitCode::SUCCESS);
        };
        run(&["import", &store, "--edges", &edges]);
        run(&["train", &store, "--target", "pin", "--dim", "2", "--layers", "1", "--epochs", "0"]);
        for format in ["csv", "safetensors"] {
            run(&["export", &store, &at(format), "--format", format]);
        }
        let read = |name: &str| fs::read(folder.path().join(name)).expect("there");
        write_seed("export_manifest", "csv", &read("csv/manifest.json"));
        // A manifest of schema 2, which has properties.
        fs::write(folder.path().join("nodes.csv"), "film,title,year\n1,A,1999\n").expect("a file");
        let (films, nodes) = (at("films"), at("nodes.csv"));
        let props = ["--props", "title,year", "--label", "title"];
        run(&[&["import", &films, "--nodes", &nodes, "--kind", "film"][..], &props].concat());
        run(&["export", &films, &at("films_csv")]);
        write_seed("export_manifest", "properties", &read("films_csv/manifest.json"));
        write_seed("exported_model", "light", &read("safetensors/model.safetensors"));
        write_seed("source", "zstd", &zstd::encode_all(JSON_LINES.as_bytes(), 1).expect("compressed"));
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        std::io::Write::write_all(&mut gzip, JSON_LINES.as_bytes()).expect("compressed");
        write_seed("source", "gzip", &gzip.finish().expect("compressed"));
        #[cfg(feature = "parquet")]
        {
            run(&["export", &store, &at("parquet"), "--format", "parquet"]);
            let mut edges = fs::read_dir(folder.path().join("parquet/edges")).expect("a folder");
            let edges = edges.next().expect("a file").expect("readable").path();
            write_seed("source", "parquet", &fs::read(edges).expect("there"));
        }
    }
}

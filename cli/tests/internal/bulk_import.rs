//! Random files imported in bulk and in batches: the same store, the same rejects, the same message.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::path::Path;

use clap::Parser;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use hedgerow::Store;

use crate::command::{Cli, Verb};
use crate::input::lines::Lines;
use crate::input::source::Source;
use crate::output::printer::{Mode, Output};
use crate::output::progress::Progress;
use crate::session::context::Context;
use crate::transfer::import::batch_import::BatchImport;
use crate::transfer::import::bulk_import::{BulkImport, is_possible};
use crate::transfer::import::edges::EdgeFile;
use crate::transfer::import::rejects::Rejects;
use crate::transfer::import::{Format, Totals, guess};

/// The result of an import: its totals or its message, the files of the store, and the rejects.
#[derive(Debug, PartialEq, Eq)]
struct Outcome {
    result: Result<[u64; 6], String>,
    files: BTreeMap<String, Vec<u8>>,
    rejects: Option<Vec<u8>>,
}

/// Imports in blocks of so many bytes, or in batches where `block` is none.
fn import(folder: &Path, words: &[&str], block: Option<usize>) -> Outcome {
    let words = ["hedgerow", "import", "s"].iter().chain(words);
    let Verb::Import(mut args) = Cli::try_parse_from(words).expect("understood").verb else {
        panic!("an import")
    };
    let file = folder.join(args.edges.take().expect("edges"));
    let store = tempfile::tempdir_in(folder).expect("a folder");
    let rejects = args.rejects.take().map(|_| folder.join("rejects"));
    let ctx = Context::new(Output::to_screen(Mode::Json, true), false, false);
    let result = (|| {
        let source = Source::open(&file)?;
        let progress = Progress::reading(source.size, &source.position, "edges", ctx.out);
        let format = args.format.unwrap_or_else(|| guess(&file));
        let edges = EdgeFile::open(&args, format, Lines::new(source), ctx.out)?;
        let set = rejects.as_ref().map(|path| Rejects::create(path, args.max_errors, true)).transpose()?;
        let store = Store::options().create(true).open(store.path())?;
        let state = args.state(&store);
        if let Some(block) = block {
            return BulkImport::new(&ctx, &store, progress, set, state).run(edges, block);
        }
        let mut import = BatchImport::new(&ctx, &store, ("edges", 90), progress, set, state);
        let read = import.read_edges(edges);
        import.finish(read)
    })();
    let result = result.map(|totals: Totals| {
        let Totals { nodes, edges, repeats, rejected, dislikes, skipped, .. } = totals;
        [nodes, edges, repeats, rejected, dislikes, skipped]
    });
    let mut files = BTreeMap::new();
    for what in ["topology", "nodes", "keys"] {
        let entries = fs::read_dir(store.path()).expect("there").map(|entry| entry.expect("readable").path());
        let newest = entries.filter(|path| path.to_string_lossy().contains(&format!("{what}."))).max();
        // The header has the identity of the store.
        let content = |path| fs::read(path).expect("readable").split_off(64);
        files.insert(what.to_owned(), newest.map_or(Vec::new(), content));
    }
    let rejects = rejects.map(|path| fs::read(path).expect("readable"));
    Outcome { result: result.map_err(|failure| failure.to_string()), files, rejects }
}

/// The variable parts of a random file.
#[derive(Clone, Copy)]
struct Traits {
    form: usize,
    separator: char,
    quoted: f64,
    bad: f64,
    is_weighted: bool,
    is_timed: bool,
    end: &'static str,
}

fn key(rng: &mut StdRng) -> String {
    let stem = ["", "a", "\u{e9}", "some longer key ", "https://example.org/"][rng.random_range(0..5)];
    format!("{stem}{}", rng.random_range(0..40).min(rng.random_range(0..40)))
}

fn field(rng: &mut StdRng, text: String, traits: Traits) -> String {
    if !rng.random_bool(traits.quoted) {
        return text;
    }
    // In a tab-separated file a quoted field ends in its line and has no tab.
    let inners = ["", "\"\"", "x", ",", "\n", "\r\n", "\t"];
    let inner = inners[rng.random_range(0..if traits.separator == '\t' { 4 } else { 7 })];
    format!("\"{text}{inner}\"")
}

fn weight(rng: &mut StdRng) -> &'static str {
    ["", "1", "0.5", " 2 ", "1e-3"][rng.random_range(0..5)]
}

fn time(rng: &mut StdRng) -> &'static str {
    ["", "0", "-7", "2024-03-01", "1970-01-01T01:00:00Z", "1500000000000"][rng.random_range(0..6)]
}

fn record(rng: &mut StdRng, traits: Traits) -> String {
    let (src, dst) = (key(rng), key(rng));
    let mut fields = vec![field(rng, src, traits), field(rng, dst, traits)];
    fields.push(["ignored", "loved", "hated", "none"][rng.random_range(0..4)].to_owned());
    if traits.is_weighted {
        let weight = weight(rng).to_owned();
        fields.push(field(rng, weight, Traits { quoted: 0.0, ..traits }));
    }
    if traits.is_timed {
        fields.push(time(rng).to_owned());
    }
    if rng.random_bool(traits.bad) {
        match rng.random_range(0..5) {
            0 => fields[1].clear(),
            1 => drop(fields.pop()),
            2 => fields.push("more".to_owned()),
            3 => fields[0] = "k".repeat(513),
            _ => fields[1] = "\"a\"b".to_owned(),
        }
    }
    fields.join(&traits.separator.to_string())
}

fn adjacency(rng: &mut StdRng, traits: Traits) -> String {
    let word = |rng: &mut StdRng| key(rng).replace(' ', "_");
    let mut line = word(rng);
    for _ in 0..rng.random_range(0..6) {
        write!(line, "{}{}", [" ", "\t", "  "][rng.random_range(0..3)], word(rng)).expect("text");
    }
    if rng.random_bool(traits.bad) {
        write!(line, " {}", "k".repeat(513)).expect("text");
    }
    line
}

/// A record of a relation and two nodes written `kind:key`.
fn written(rng: &mut StdRng, traits: Traits) -> String {
    let name = |rng: &mut StdRng| format!("{}:{}", ["pin", "board"][rng.random_range(0..2)], key(rng));
    let relation = ["near", "", "far"][rng.random_range(0..3)].to_owned();
    let (src, dst) = (name(rng), name(rng));
    let mut fields = vec![relation, field(rng, src, traits), field(rng, dst, traits)];
    if rng.random_bool(traits.bad) {
        match rng.random_range(0..3) {
            0 => fields[0] = "a b".to_owned(),
            1 => fields[1] = "no kind".to_owned(),
            _ => drop(fields.pop()),
        }
    }
    fields.join(&traits.separator.to_string())
}

/// A record separated by blanks or colons, or a comment.
fn bare(rng: &mut StdRng, traits: Traits) -> String {
    if rng.random_bool(0.05) {
        return "# a comment".to_owned();
    }
    let word = |rng: &mut StdRng| key(rng).replace(' ', "_");
    let gap = if traits.separator == ' ' { [" ", "\t", "  "][rng.random_range(0..3)] } else { "::" };
    let edge = if traits.separator == ' ' { ["", " ", "\t"][rng.random_range(0..3)] } else { "" };
    let mut fields = vec![word(rng), word(rng), ["1", "0.5"][rng.random_range(0..2)].to_owned()];
    if rng.random_bool(traits.bad) {
        match rng.random_range(0..3) {
            0 => fields[2] = "heavy".to_owned(),
            1 => drop(fields.pop()),
            _ => fields[0] = "k".repeat(513),
        }
    }
    format!("{edge}{}{edge}", fields.join(gap))
}

fn object(rng: &mut StdRng, traits: Traits) -> String {
    let name =
        |rng: &mut StdRng| format!("{}:{}", ["pin", "board", "user"][rng.random_range(0..3)], key(rng));
    let src = name(rng);
    // Every tenth links a node with itself.
    let dst = if rng.random_bool(0.1) { src.clone() } else { name(rng) };
    let mut line = format!("{{\"src\":{},\"dst\":{}", serde_json::json!(src), serde_json::json!(dst));
    if traits.is_weighted && rng.random_bool(0.8) {
        line += [",\"weight\":2", ",\"weight\":0.25", ",\"weight\":null"][rng.random_range(0..3)];
    }
    if traits.is_timed && rng.random_bool(0.8) {
        line += [",\"time\":5", ",\"time\":\"2024-03-01\"", ",\"time\":null"][rng.random_range(0..3)];
    }
    line += ["", ",\"relation\":\"near\"", ",\"relation\":null,\"src_id\":\"0\",\"dst_id\":7"]
        [rng.random_range(0..3)];
    if rng.random_bool(traits.bad) {
        line += [",\"weight\":0", ",\"x\":1", "]", ",\"time\":1.5"][rng.random_range(0..4)];
    }
    line + "}"
}

/// A file, and the flags of its import.
fn random_file(rng: &mut StdRng, bad: f64) -> (Vec<u8>, Vec<&'static str>) {
    let form = rng.random_range(0..7);
    let traits = Traits {
        form,
        separator: if form == 5 {
            [' ', ':'][rng.random_range(0..2)]
        } else {
            [',', ';', '\t'][rng.random_range(0..3)]
        },
        quoted: [0.0, 0.0, 0.01, 0.4][rng.random_range(0..4)],
        bad,
        is_weighted: rng.random(),
        is_timed: rng.random(),
        end: ["\n", "\r\n"][rng.random_range(0..2)],
    };
    let mut lines = Vec::new();
    // The header and the form of the rows.
    let (row, mut words): (fn(&mut StdRng, Traits) -> String, _) = match traits.form {
        0 | 1 => {
            let mut header = vec!["board", ["pin", "board"][rng.random_range(0..2)], "note"];
            header.extend(traits.is_weighted.then_some("weight"));
            header.extend(traits.is_timed.then_some("time"));
            lines.push(header.join(&traits.separator.to_string()));
            (record, vec!["--edges", "e.csv", "--format", "csv"])
        }
        4 => {
            lines.push(["relation", "a", "b"].join(&traits.separator.to_string()));
            (written, vec!["--edges", "e.csv", "--format", "csv", "--src", "*=a", "--dst", "*=b"])
        }
        5 => {
            let names = ["--columns", "board,pin,weight", "--comment", "#"];
            let separator = ["--separator", if traits.separator == ' ' { "blanks" } else { "::" }];
            (bare, [&["--edges", "e.csv", "--format", "csv"][..], &names, &separator].concat())
        }
        2 => (adjacency, vec!["--edges", "e.csv", "--format", "adjacency", "--src", "user", "--dst", "item"]),
        _ => (object, vec!["--edges", "e.csv", "--format", "jsonl"]),
    };
    // Their meaning. Of a like and a dislike of one pair a bulk import keeps both, unless the last one counts.
    let repeat = ["last", "sum", "max", "count"][rng.random_range(0..4)];
    words.extend(["--repeat", repeat]);
    if traits.form < 2 && rng.random() {
        let with_dislikes = ["--weight-map", "note = loved: 3, note = hated: dislike, note = none: skip"];
        let without = ["--weight-map", "note != loved: 0.1, note = none: skip"];
        words.extend(if repeat == "last" { without } else { with_dislikes });
    }
    // Rows, among them blank lines, and a byte order mark, line ends or an invalid byte around them.
    for _ in 0..rng.random_range(1..400) {
        lines.push(if rng.random_bool(0.03) { String::new() } else { row(rng, traits) });
    }
    let mark = if rng.random() { "\u{feff}" } else { "" };
    let last = if rng.random() { traits.end } else { "" };
    let mut bytes = format!("{mark}{}{last}", lines.join(traits.end)).into_bytes();
    if bad > 0.0 && rng.random_bool(0.2) {
        let at = rng.random_range(bytes.len() / 2..bytes.len());
        bytes[at] = 0xff;
    }
    (bytes, words)
}

fn in_every_way(folder: &Path, words: &[&str], rng: &mut StdRng, mut judge: impl FnMut(Outcome, &str)) {
    for threads in [1, 2, 7] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("threads");
        let block = [1, 30, 500, 1 << 20][rng.random_range(0..4)];
        let left = pool.install(|| import(folder, words, Some(block)));
        judge(left, &format!("{threads} threads, blocks of {block}"));
    }
}

#[test]
fn a_bulk_import_leaves_the_files_that_commits_and_a_checkpoint_leave() {
    let folder = tempfile::tempdir().expect("a folder");
    for seed in 0..50 {
        let rng = &mut StdRng::seed_from_u64(seed);
        let (bytes, words) = random_file(rng, 0.0);
        fs::write(folder.path().join("e.csv"), &bytes).expect("written");
        let expected = import(folder.path(), &words, None);
        assert!(expected.result.is_ok(), "seed {seed}: {:?}", expected.result);
        in_every_way(folder.path(), &words, rng, |left, how| {
            assert!(left == expected, "seed {seed}, {how}: {:?}, {:?}", left.result, expected.result);
        });
    }
}

#[test]
fn skipped_rows_are_the_same_in_bulk() {
    let folder = tempfile::tempdir().expect("a folder");
    for seed in 0..40 {
        let rng = &mut StdRng::seed_from_u64(seed);
        let (bytes, words) = random_file(rng, 0.03);
        fs::write(folder.path().join("e.csv"), &bytes).expect("written");
        let words = [&words[..], &["--on-error", "skip", "--rejects", "rejects"]].concat();
        let expected = import(folder.path(), &words, None);
        in_every_way(folder.path(), &words, rng, |left, how| {
            assert!(left == expected, "seed {seed}, {how}: {:?}, {:?}", left.result, expected.result);
        });
    }
}

/// The message is that of an import in batches, and the store is that of a file that ends before the named line.
#[test]
fn everything_before_a_bad_row_stays_and_the_line_to_go_on_from_is_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut stopped = 0;
    for seed in 0..50 {
        let rng = &mut StdRng::seed_from_u64(seed);
        let (bytes, words) = random_file(rng, 0.02);
        let file = folder.path().join("e.csv");
        fs::write(&file, &bytes).expect("written");
        let Err(message) = import(folder.path(), &words, None).result else { continue };
        let mut outcomes = Vec::new();
        in_every_way(folder.path(), &words, rng, |left, how| {
            let found = left.result.as_ref().expect_err("a bad row");
            let problem = |text: &str| text.split("; ").next().map(str::to_owned);
            assert_eq!(problem(found), problem(&message), "seed {seed}, {how}");
            outcomes.push(left);
        });
        assert!(outcomes.iter().all(|left| *left == outcomes[0]), "seed {seed}");
        let outcome = outcomes[0].result.as_ref().expect_err("a bad row");
        let line = outcome.rsplit(' ').next().and_then(|line| line.parse::<usize>().ok());
        let line = line.unwrap_or_else(|| panic!("seed {seed}: {outcome}"));
        let before: Vec<&[u8]> = bytes.split_inclusive(|&byte| byte == b'\n').take(line - 1).collect();
        fs::write(&file, before.concat()).expect("written");
        let left = import(folder.path(), &words, None);
        match left.result {
            Ok(_) => assert_eq!(left.files, outcomes[0].files, "seed {seed}"),
            Err(empty) => assert!(empty.contains("is empty"), "seed {seed}: {empty}"),
        }
        stopped += 1;
    }
    assert!(stopped > 10, "{stopped}");
}

#[test]
fn what_could_be_decompressed_of_a_damaged_file_stays() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut text = "0 1 2\n".repeat(5000);
    text += &(0..5000).map(|at| at.to_string()).collect::<Vec<_>>().join(" 7\n");
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::none());
    std::io::Write::write_all(&mut gzip, text.as_bytes()).expect("memory");
    let packed = gzip.finish().expect("memory");
    fs::write(folder.path().join("e.gz"), &packed[..packed.len() - 6000]).expect("written");
    let words = ["--edges", "e.gz", "--format", "adjacency", "--src", "user", "--dst", "item"];
    let message = import(folder.path(), &words, None).result.expect_err("damaged");
    assert!(message.contains(":1: cannot be decompressed"), "{message}");
    let message = message.split_once("; ").map_or(&*message, |(problem, _)| problem);
    in_every_way(folder.path(), &words, &mut StdRng::seed_from_u64(1), |left, how| {
        let found = left.result.expect_err("damaged");
        let outcome = found.strip_prefix(message).unwrap_or_else(|| panic!("{how}: {found}"));
        let numbers: Vec<u64> = outcome.split_whitespace().filter_map(|word| word.parse().ok()).collect();
        let [edges, line] = numbers[..] else { panic!("{how}: {found}") };
        // The first 5000 lines have two edges each, the others one.
        assert_eq!(edges, 10_000 + line - 5001, "{how}: {found}");
    });
}

#[test]
fn with_a_ctrl_c_an_import_ends_between_rows() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("e.csv");
    fs::write(&file, "board,pin\n1,2\n").expect("written");
    let words = ["hedgerow", "import", "s", "--edges", "e.csv"];
    let Verb::Import(args) = Cli::try_parse_from(words).expect("understood").verb else {
        panic!("an import")
    };
    let ctx = Context::new(Output::to_screen(Mode::Json, true), false, false);
    let source = Source::open(&file).expect("there");
    let progress = Progress::reading(source.size, &source.position, "edges", ctx.out);
    let lines = Lines::new(source);
    let edges = EdgeFile::open(&args, Format::Csv, lines, ctx.out).expect("a header");
    let store = Store::options().create(true).open(folder.path().join("s")).expect("created");
    ctx.cancel().cancel();
    let state = args.state(&store);
    let stopped =
        BulkImport::new(&ctx, &store, progress, None, state).run(edges, 1 << 20).expect_err("interrupted");
    let message = "interrupted; 0 edges before it were committed, go on from line 2";
    assert_eq!(stopped.to_string(), message);
    assert!(is_possible(&store));
}

//! `import` of the forms of files that occur in practice, and the file, line and column of every bad row.

use std::io::Write;

use serde_json::{Value, json};

use super::{Cli, Holder};
use crate::fixtures::npy::matrix;

fn nodes_and_edges(cli: &Cli) -> (Value, Value) {
    let stats = cli.json(&["stats", "s"]);
    (stats["nodes"].clone(), stats["edges"].clone())
}

#[test]
fn a_csv_names_the_kinds_in_its_header() {
    let cli = Cli::new();
    cli.write("e.csv", "board,pin\n1,2\n1,3\n");
    let imported = cli.json(&["import", "s", "--edges", "e.csv"]);
    assert_eq!(
        (&imported["nodes"], &imported["edges"], &imported["rejected"]),
        (&json!(3), &json!(2), &json!(0))
    );
    assert!(imported["seconds"].is_number());
    assert_eq!(nodes_and_edges(&cli), (json!({"board": 1, "pin": 2}), json!({"board-pin": 2})));
}

#[test]
fn separators_quotes_byte_order_mark_and_crlf_are_understood() {
    for separator in [",", ";", "\t", "|"] {
        let cli = Cli::new();
        let text = "\u{feff}board,pin,weight\r\n\"a \"\"b\"\"\",2,\r\nc,3,0.5\r\n".replace(',', separator);
        cli.write("e.csv", text);
        cli.ok(&["import", "s", "--edges", "e.csv"]);
        assert_eq!(
            cli.json(&["neighbors", "s", "pin:2"])[0]["node"],
            json!("board:a \"b\""),
            "{separator:?}"
        );
        assert_eq!(cli.json(&["neighbors", "s", "pin:3"])[0]["weight"], json!(0.5), "{separator:?}");
    }
}

#[test]
fn ratings_come_with_other_kinds_and_with_times() {
    let cli = Cli::new();
    cli.write("r.csv", "userId,Id,rating,timestamp\n1,7,4.5,964982703\n");
    let ran = cli.run(&["import", "s", "--edges", "r.csv", "--src", "user", "--dst", "movie"]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(ran.err.contains("columns not imported: rating"), "{}", ran.err);
    let row = &cli.json(&["neighbors", "s", "user:1"])[0];
    assert_eq!(
        (&row["node"], &row["weight"], &row["time"]),
        (&json!("movie:7"), &json!(1.0), &json!(964_982_703_000_000_u64))
    );
    let weighted =
        ["import", "s", "--edges", "r.csv", "--src", "user", "--dst", "movie", "--weight-column", "rating"];
    cli.ok(&weighted);
    assert_eq!(cli.json(&["neighbors", "s", "user:1"])[0]["weight"], json!(4.5));
}

#[test]
fn adjacency_lines_link_one_node_to_many() {
    let cli = Cli::new();
    cli.write("a.txt", "0 5 6 7\n1 5\n2\n");
    cli.ok(&["import", "s", "--edges", "a.txt", "--format", "adjacency", "--src", "user", "--dst", "item"]);
    assert_eq!(nodes_and_edges(&cli), (json!({"item": 3, "user": 3}), json!({"item-user": 4})));
}

#[test]
fn json_lines_name_both_ends() {
    let cli = Cli::new();
    cli.write("e.jsonl", "{\"src\":\"board:1\",\"dst\":\"pin:2\",\"weight\":2,\"time\":\"1970-01-02\"}\n\n");
    cli.ok(&["import", "s", "--edges", "e.jsonl"]);
    let row = &cli.json(&["neighbors", "s", "pin:2"])[0];
    assert_eq!((&row["weight"], &row["time"]), (&json!(2.0), &json!(86_400_000_000_u64)));
}

#[test]
fn compressed_files_and_standard_input_are_read_directly() {
    let text = b"board,pin\n1,2\n";
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(text).expect("memory");
    let cli = Cli::new();
    cli.write("e.csv.gz", gzip.finish().expect("memory"));
    cli.write("e.csv.zst", zstd::encode_all(&text[..], 1).expect("memory"));
    for (store, file) in [("g", "e.csv.gz"), ("z", "e.csv.zst")] {
        assert_eq!(cli.json(&["import", store, "--edges", file])["edges"], json!(1), "{file}");
    }
    let ran = cli.run_with_input(&["import", "i", "--edges", "-", "--output", "json"], "board,pin\n1,2\n");
    assert!(ran.out.contains("\"edges\":1"), "{} {}", ran.out, ran.err);
}

#[test]
fn nodes_come_with_tokens_and_dense_rows() {
    let cli = Cli::new();
    cli.write("n.csv", "Id,title,genres\n1,Toy  Story,Adventure|Film Noir\n2,Heat,\n");
    let npy = matrix(&[[1.0, 2.0], [3.0, 4.0]]);
    cli.write("look.npy", &npy);
    let words = ["import", "s", "--nodes", "n.csv", "--kind", "movie"];
    let features = ["--tokens", "title,genres", "--dense", "look=look.npy"];
    let imported = cli.json(&[&words[..], &features[..]].concat());
    assert_eq!((&imported["nodes"], &imported["edges"]), (&json!(2), &json!(0)));

    cli.write("bad.csv", "Id,title\n1,Heat\n");
    let before = cli.stats();
    let bad = ["import", "s", "--nodes", "bad.csv", "--kind", "movie", "--dense", "look=look.npy"];
    cli.fails(&bad, 5, "look.npy:1:1: the matrix has 2 rows, expected 1, one for each line of bad.csv");
    let bad = ["import", "s", "--nodes", "bad.csv", "--kind", "movie", "--tokens", "genre"];
    cli.fails(&bad, 5, "bad.csv:1:1: the header has no column \"genre\", it has Id, title");
    cli.write("cut.npy", &npy[..npy.len() - 1]);
    let bad = ["import", "s", "--nodes", "n.csv", "--kind", "movie", "--dense", "look=cut.npy"];
    cli.fails(&bad, 5, "cut.npy:1:1:");
    assert_eq!(cli.stats(), before);
}

/// A dense number of 3.4e38 was imported, and a training published a model with NaN and exit code 0. A number out of the
/// range must be refused with its place, its value and the range, before anything of the batch is written.
#[test]
fn dense_numbers_out_of_their_range_are_refused_with_their_place() {
    let cli = Cli::new();
    cli.write("n.csv", "key\na\nb\n");
    let import = ["import", "s", "--nodes", "n.csv", "--kind", "movie", "--dense", "look=look.npy"];
    for (bad, shown) in [(3.4e38, "3.4e38"), (-1_000_001.0, "-1000001.0"), (f32::NAN, "NaN")] {
        cli.write("look.npy", matrix(&[[1.0, 2.0], [1e6, bad]]));
        let range = "expected a number from -1000000 to 1000000";
        cli.fails(&import, 5, &format!("n.csv:3:1: value 2 of its row in look is {shown}, {range}"));
        assert_eq!(cli.stats()["nodes"], json!({}), "{bad}");
    }
    cli.write("look.npy", matrix(&[[1.0, -1e6], [1e6, 0.0]]));
    cli.ok(&import);
}

/// A bad file, the flags of its import, and the start of the message.
const BAD: &[(&str, &[u8], &[&str], &str)] = &[
    ("empty.csv", b"", &[], ":1:1: the file is empty"),
    ("one.csv", b"board\n", &[], ":1:1: found \"board\", expected a header of at least two columns"),
    ("bare.csv", b"1,2\n3,4\n", &[], ":1:1: found \"1,2\", expected a header line that names the two kinds"),
    ("kind.csv", b"board,p n\n1,2\n", &[], ":1:7: invalid kind"),
    ("weight.csv", b"board,pin,weight\n1,2,1\n1,3,heavy\n", &[], ":3:5: found \"heavy\", expected a weight"),
    (
        "zero.csv",
        b"board,pin,weight\n1,2,0\n",
        &[],
        ":2:5: found \"0\", expected a weight: a finite number above 0",
    ),
    ("nan.csv", b"board,pin,weight\n1,2,NaN\n", &[], ":2:5: found \"NaN\", expected a weight"),
    ("time.csv", b"board,pin,time\n1,2,noon\n", &[], ":2:5: found \"noon\", expected a time"),
    ("short.csv", b"board,pin,weight\n1,2,1\n1\n", &[], ":3:2: found 1 fields, expected 3"),
    ("long.csv", b"board,pin\n1,2,3\n", &[], ":2:5: found 3 fields, expected 2"),
    ("key.csv", b"board,pin\n1,\n", &[], ":2:3: invalid key"),
    ("utf8.csv", b"board,pin\n1,ab\xffc\n", &[], ":2:5: found \"\\xffc\", expected UTF-8 text"),
    ("quote.csv", b"board,pin\n1,\"2\n3,4\n", &[], ":2:3: the quote that opens here is not closed"),
    (
        "after.csv",
        b"board,pin\n1,\"2\"x\n",
        &[],
        ":2:6: found \"x\", expected a comma or the end of the line",
    ),
    ("escape.csv", b"board,pin,weight\n1,2,\x1b[2J\n", &[], ":2:5: found \"\\x1b[2J\""),
    ("bytes.txt", b"0 1 2\n1 \xc3(\n", &["--format", "adjacency", "--src", "u", "--dst", "i"], ":2:3: found"),
    (
        "empty.txt",
        b"\n\n",
        &["--format", "adjacency", "--src", "u", "--dst", "i"],
        "the file is empty, expected edges",
    ),
    (
        "json.jsonl",
        b"{\"src\":\"b:1\",\"dst\":\"p:2\"}\n{\"src\":}\n",
        &[],
        ":2:8: not a JSON object: expected value",
    ),
    ("list.jsonl", b"[1]\n", &[], ":1:1: found \"[1]\", expected a JSON object"),
    ("missing.jsonl", b"{\"src\":\"b:1\"}\n", &[], ":1:1: the field \"dst\" is missing"),
    ("colon.jsonl", b"{\"src\":\"b:1\",\"dst\":\"p2\"}\n", &[], ":1:14: invalid node: found 'p2'"),
    (
        "field.jsonl",
        b"{\"src\":\"b:1\",\"dst\":\"p:2\",\"wieght\":2}\n",
        &[],
        ":1:26: found \"wieght\", expected one of",
    ),
    ("gzip.csv", b"\x1f\x8b\x08\x00broken", &[], ":1:1: cannot be decompressed"),
];

#[test]
fn a_bad_row_is_named_with_its_place_and_nothing_stays() {
    let cli = Cli::with_lamps();
    let before = cli.stats();
    for (name, bytes, flags, message) in BAD {
        cli.write(name, bytes);
        let words = [&["import", "s", "--edges", name], *flags].concat();
        let message = format!("{name}{message}");
        let message = if message.contains(":1") || message.contains(":2") || message.contains(":3") {
            message
        } else {
            message.trim_start_matches(name).to_owned()
        };
        cli.fails(&words, 5, &message);
        assert_eq!(cli.stats(), before, "{name}");
    }
}

#[test]
fn a_bad_file_does_not_create_a_store() {
    let cli = Cli::new();
    cli.write("e.csv", "");
    cli.fails(&["import", "s", "--edges", "e.csv"], 5, "the file is empty");
    assert!(!cli.path("s").exists());
}

#[test]
fn a_failure_in_json_has_file_line_and_column() {
    let cli = Cli::with_lamps();
    cli.write("e.csv", "board,pin,weight\n1,2,x\n");
    let ran = cli.fails(&["import", "s", "--edges", "e.csv", "--output", "json"], 5, "expected a weight");
    let failure: Value = serde_json::from_str(ran.err.trim()).expect("one JSON object");
    assert_eq!((&failure["kind"], &failure["file"]), (&json!("invalid"), &json!("e.csv")));
    assert_eq!((&failure["line"], &failure["column"]), (&json!(2), &json!(5)));
    assert_eq!(ran.out, "");
}

/// A file of `count` good rows and a bad one.
fn rows_and_a_bad_one(count: usize) -> String {
    let rows: Vec<String> = (0..count).map(|row| format!("{},{row}", row % 7)).collect();
    format!("board,pin\n{}\n1,\n", rows.join("\n"))
}

#[test]
fn in_a_new_store_all_rows_before_a_bad_one_stay_and_the_message_says_where_to_go_on() {
    let cli = Cli::new();
    cli.write("e.csv", rows_and_a_bad_one(10_005));
    let message = "e.csv:10007:3: invalid key: found '', expected 1 to 512 bytes; \
        10005 edges before it were committed, go on from line 10007";
    cli.fails(&["import", "s", "--edges", "e.csv"], 5, message);
    assert_eq!(cli.json(&["stats", "s"])["edges"], json!({"board-pin": 10_005}));
}

#[test]
fn in_a_store_that_held_something_whole_batches_before_a_bad_row_stay() {
    let cli = Cli::with_lamps();
    cli.write("e.csv", rows_and_a_bad_one(100_005));
    let message = "e.csv:100007:3: invalid key: found '', expected 1 to 512 bytes; \
        100000 edges before it were committed, go on from line 100002";
    cli.fails(&["import", "s", "--edges", "e.csv"], 5, message);
    assert_eq!(cli.json(&["stats", "s"])["edges"], json!({"board-pin": 100_000, "lamp-room": 4}));
}

/// While an open pipe sends nothing, a Ctrl-C still stops the import, and the rows that came before it are kept.
#[cfg(unix)]
#[test]
fn a_ctrl_c_while_standard_input_is_silent_keeps_what_came() {
    let cli = Cli::new();
    let mut command = cli.command(&["import", "s", "--edges", "-"]);
    command.stdin(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
    let mut child = command.stdout(std::process::Stdio::null()).spawn().expect("it starts");
    let mut pipe = child.stdin.take().expect("a pipe");
    let rows: Vec<String> = (0..300_000).map(|row| format!("{},{row}", row % 1000)).collect();
    let text = format!("board,pin\n{}\n", rows.join("\n"));
    pipe.write_all(text.as_bytes()).expect("it reads");
    let told = std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status();
    assert!(told.expect("there is a kill command").success());
    let output = child.wait_with_output().expect("it ends");
    drop(pipe);
    let said = String::from_utf8(output.stderr).expect("text");
    assert_eq!(output.status.code(), Some(130), "{said}");
    let counts: Vec<u64> = said.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    let [edges, line] = counts[..] else { panic!("not two numbers: {said}") };
    assert_eq!(line, edges + 2, "{said}");
    if edges > 0 {
        assert_eq!(cli.json(&["stats", "s"])["edges"], json!({ "board-pin": edges }));
    }
}

#[test]
fn skipped_rows_are_set_aside_as_they_are() {
    let cli = Cli::new();
    cli.write("e.csv", "board,pin,weight\n1,2,\n1,3,heavy\n2,\n2,4,1\n");
    let words = ["import", "s", "--edges", "e.csv", "--on-error", "skip", "--rejects", "bad.csv"];
    let imported = cli.json(&words);
    assert_eq!((&imported["edges"], &imported["rejected"]), (&json!(2), &json!(2)));
    assert_eq!(cli.read("bad.csv"), "board,pin,weight\n1,3,heavy\n2,\n");
    cli.fails(&words, 1, "bad.csv is there already");
    let ran = cli.fails(&[&words[..], &["--max-errors", "1", "--force"]].concat(), 5, "more than 1 bad rows");
    assert!(ran.err.contains("e.csv:4:"), "{}", ran.err);
    cli.fails(&["import", "s", "--edges", "e.csv", "--on-error", "skip"], 2, "--rejects");
}

/// A refused import once left a file of rejects, which made the next import refuse too.
#[test]
fn an_import_into_a_store_that_does_not_open_leaves_no_file_of_rejects() {
    let cli = Cli::with_lamps();
    cli.write("e.csv", "room,lamp\nhall,z\nhall,\n");
    let words = ["import", "s", "--edges", "e.csv", "--on-error", "skip", "--rejects", "bad.csv"];
    let holder = Holder::of(&cli);
    cli.fails(&words, 3, "is open for writing");
    assert!(!cli.path("bad.csv").exists());
    holder.leave();
    assert_eq!(cli.json(&words)["rejected"], json!(1));
}

#[test]
fn an_overlong_line_is_refused_in_bounded_memory() {
    let cli = Cli::new();
    cli.write("e.csv", [b"board,pin\n1,", &vec![b'x'; 17 << 20][..]].concat());
    cli.fails(&["import", "s", "--edges", "e.csv"], 5, "longer than 16 MiB");
}

//! Promise: every verb gives the right answer on a graph that is small enough to know it.

use serde_json::{Value, json};

use super::{Cli, Holder};
use crate::fixtures::npy::matrix;

#[test]
fn link_creates_the_store_the_nodes_and_the_edge() {
    let cli = Cli::new();
    let linked = cli.json(&["link", "s", "lamp:a", "room:hall", "--weight", "2.5", "--time", "1970-01-02"]);
    assert_eq!(linked, json!({"nodes": 2, "edges": 1, "changed": 0, "epoch": 1}));
    let found = cli.json(&["neighbors", "s", "lamp:a"]);
    assert_eq!(
        found,
        json!([{"node": "room:hall", "weight": 2.5, "time": 86_400_000_000_u64, "relation": "lamp-room"}])
    );
}

#[test]
fn linking_again_replaces_the_weight() {
    let cli = Cli::with_lamps();
    let linked = cli.json(&["link", "s", "room:hall", "lamp:a", "--weight", "3"]);
    assert_eq!((&linked["edges"], &linked["changed"]), (&json!(0), &json!(1)));
    assert_eq!(cli.json(&["neighbors", "s", "lamp:a"])[0]["weight"], json!(3.0));
}

#[test]
fn neighbors_are_sorted_by_weight_and_then_by_name() {
    let cli = Cli::with_lamps();
    let found = cli.json(&["neighbors", "s", "room:hall"]);
    let names: Vec<&Value> = found.as_array().expect("rows").iter().map(|row| &row["node"]).collect();
    assert_eq!(names, ["lamp:b", "lamp:a"]);
}

#[test]
fn unlink_removes_an_edge_and_says_when_there_was_none() {
    let cli = Cli::with_lamps();
    assert_eq!(cli.json(&["unlink", "s", "room:hall", "lamp:a"])["edges"], json!(1));
    let ran = cli.run(&["unlink", "s", "room:hall", "lamp:a", "--output", "json"]);
    assert_eq!(ran.code, 0);
    assert!(ran.out.contains("\"absent\":1") && ran.err.contains("no such edge"), "{} {}", ran.out, ran.err);
}

#[test]
fn remove_takes_the_edges_along() {
    let cli = Cli::with_lamps();
    let removed = cli.json(&["remove", "s", "lamp:b"]);
    assert_eq!((&removed["nodes"], &removed["edges"]), (&json!(1), &json!(2)));
    let stats = cli.json(&["stats", "s"]);
    assert_eq!(stats["nodes"], json!({"lamp": 2, "room": 2}));
    assert_eq!(stats["edges"], json!({"lamp-room": 2}));
}

#[test]
fn stats_count_nodes_edges_degrees_and_bytes() {
    let cli = Cli::with_lamps();
    let stats = cli.json(&["stats", "s"]);
    assert_eq!(stats["nodes"], json!({"lamp": 3, "room": 2}));
    assert_eq!(stats["edges"], json!({"lamp-room": 4}));
    assert_eq!(stats["degrees"]["lamp"], json!({"max": 2, "mean": 1.33}));
    assert_eq!((&stats["epoch"], &stats["generation"]), (&json!(1), &Value::Null));
    assert_eq!(stats["dirty_nodes"], json!(0));
    assert!(stats["bytes"].as_object().is_some_and(|bytes| !bytes.is_empty()), "{stats}");
}

#[test]
fn a_pipe_gets_plain_tab_separated_values() {
    let cli = Cli::with_lamps();
    assert_eq!(
        cli.ok(&["neighbors", "s", "room:attic"]),
        "lamp:b\t1.0\t\tlamp-room\nlamp:c\t1.0\t86400000000\tlamp-room\n"
    );
    let csv = cli.ok(&["neighbors", "s", "lamp:a", "--output", "csv"]);
    assert_eq!(csv, "node,weight,time,relation\nroom:hall,1.0,,lamp-room\n");
    let table = cli.ok(&["neighbors", "s", "lamp:a", "--output", "table"]);
    assert!(table.contains("room:hall") && table.contains("relation"), "{table}");
}

#[test]
fn a_name_with_terminal_escapes_is_printed_escaped() {
    let cli = Cli::new();
    cli.ok(&["link", "s", "lamp:a", "room:\u{1b}[2Jx\ty"]);
    assert!(cli.ok(&["neighbors", "s", "lamp:a"]).starts_with("room:\\x1b[2Jx\\ty\t"));
    let table = cli.ok(&["neighbors", "s", "lamp:a", "--output", "table"]);
    assert!(!table.contains('\u{1b}'), "{table:?}");
    let json = cli.json(&["neighbors", "s", "lamp:a"]);
    assert_eq!(json[0]["node"], json!("room:\u{1b}[2Jx\ty"), "a program gets the true name");
}

#[test]
fn generate_gives_the_same_store_every_time() {
    let cli = Cli::new();
    let size = ["--items", "50", "--boards", "20", "--edges", "200", "--topics", "3", "--seed", "9"];
    for store in ["s", "t"] {
        let generated = cli.json(&[&["generate", store], &size[..]].concat());
        assert_eq!((&generated["nodes"], &generated["edges"]), (&json!(70), &json!(200)));
    }
    for pin in 0..50 {
        let pin = format!("pin:{pin}");
        assert_eq!(cli.ok(&["neighbors", "s", &pin]), cli.ok(&["neighbors", "t", &pin]));
    }
}

#[test]
fn train_prints_a_line_per_epoch_and_a_last_one() {
    let cli = Cli::trained();
    let words = ["train", "s", "--target", "pin", "--epochs", "2", "--dim", "8", "--metrics", "m.jsonl"];
    let lines = cli.jsonl(&words);
    assert_eq!(lines.len(), 3, "{lines:?}");
    for (nth, line) in lines[..2].iter().enumerate() {
        assert_eq!(line["epoch"], json!(nth + 1));
        for field in ["loss", "recall", "pairs_per_second", "mean_cosine", "seconds"] {
            assert!(line.get(field).is_some(), "{field} is missing in {line}");
        }
    }
    assert_eq!((&lines[2]["generation"], &lines[2]["embedded"]), (&json!(2), &json!(120)));
    assert_eq!(cli.read("m.jsonl").lines().count(), 5, "the fit comes first, the parts come last but one");
}

#[test]
fn a_refresh_after_an_edge_gives_the_digest_of_a_rebuild() {
    let cli = Cli::trained();
    let before = cli.json(&["digest", "s"]);
    assert_eq!(before["nodes"], json!(120));
    cli.ok(&["link", "s", "pin:3", "board:5", "--weight", "4"]);
    assert_eq!(cli.json(&["stats", "s"])["dirty_nodes"], json!(2));
    let refreshed = cli.json(&["refresh", "s"]);
    for field in ["epoch", "dirty_nodes", "sources", "neighborhoods", "rows", "full", "ms", "seconds"] {
        assert!(refreshed.get(field).is_some(), "{field} is missing in {refreshed}");
    }
    let after = cli.json(&["digest", "s"]);
    assert_ne!(before["digest"], after["digest"]);
    assert_eq!(cli.json(&["stats", "s"])["dirty_nodes"], json!(0));
    assert_eq!(cli.digest_of_copy(), after["digest"]);
    let rebuilt = cli.json(&["refresh", "s", "--full"]);
    assert_eq!((&rebuilt["full"], &rebuilt["differed"]), (&json!(true), &json!(false)));
    assert_eq!(cli.json(&["digest", "s"])["digest"], after["digest"]);
}

#[test]
fn embed_now_gives_the_embedding_of_the_next_refresh_which_explains_it() {
    let cli = Cli::trained();
    let before = cli.json(&["embed", "s", "pin:3"]);
    cli.ok(&["link", "s", "pin:3", "board:5", "--weight", "4"]);
    let now = cli.json(&["embed", "s", "pin:3", "--now"]);
    assert_eq!(now["epoch"], json!(before["epoch"].as_u64().expect("an epoch") + 1));
    assert_ne!(now["vector"], before["vector"]);
    assert_eq!(cli.json(&["embed", "s", "pin:3"]), before, "nothing was refreshed");
    cli.fails(&["embed", "s", "board:5", "--now"], 1, "only nodes of kind pin are embedded");
    cli.fails(&["refresh", "s", "--explain", "board:5"], 1, "only nodes of kind pin are embedded");
    cli.fails(&["refresh", "s", "--explain", "pin:none"], 1, "no node pin:none");
    let steps = cli.json(&["refresh", "s", "--explain", "pin:3"]);
    let steps = steps.as_array().expect("steps");
    assert_eq!(
        steps.last().map(|step| (&step["step"], &step["node"])),
        Some((&json!("walks"), &json!("pin:3")))
    );
    let why = steps[0]["why"].as_str().expect("words");
    assert!(why.contains("changed edges of pin:3: board:5"), "{why}");
    assert_eq!(cli.json(&["embed", "s", "pin:3"]), now, "embed --now and the refresh agree");
    assert_eq!(cli.json(&["refresh", "s", "--explain", "pin:3"]), json!([]));
}

#[test]
fn an_answer_of_now_is_what_a_refresh_gives_and_leaves_the_store_as_it_is() {
    let cli = Cli::trained();
    cli.ok(&["link", "s", "board:5", "pin:3", "--weight", "9"]);
    let digest = cli.json(&["digest", "s"]);
    cli.fails(&["refresh", "s", "--explain", "pin:3", "--full"], 2, "cannot be used with");
    for read_only in [&[][..], &["--read-only"]] {
        let now = cli.json(&[&["similar", "s", "pin:3", "--now"], read_only].concat());
        assert_eq!(now["dirty_nodes"], 0);
    }
    let similar = cli.json(&["similar", "s", "pin:3", "--now"]);
    let recommended = cli.json(&["recommend", "s", "board:5", "--now"]);
    assert_eq!(cli.json(&["digest", "s"])["digest"], digest["digest"], "the store is not changed");
    cli.ok(&["refresh", "s"]);
    assert_eq!(cli.json(&["similar", "s", "pin:3"]), similar);
    assert_eq!(cli.json(&["recommend", "s", "board:5"]), recommended);
}

#[test]
fn neighborhood_has_visits_and_importances_that_add_up() {
    let cli = Cli::trained();
    let rows = cli.json(&["neighborhood", "s", "pin:3", "-k", "1000"]);
    let rows = rows.as_array().expect("rows");
    let visits: Vec<u64> = rows.iter().filter_map(|row| row["visits"].as_u64()).collect();
    assert!(!visits.is_empty() && visits.is_sorted_by(|a, b| a >= b), "{visits:?}");
    let sum: f64 = rows.iter().filter_map(|row| row["importance"].as_f64()).sum();
    assert!((sum - 1.0).abs() < 1e-3, "importances add up to {sum}");
    assert_eq!(cli.json(&["neighborhood", "s", "pin:3", "-k", "2"]).as_array().map(Vec::len), Some(2));
}

#[test]
fn embed_gives_a_vector_for_a_node_of_the_store_and_for_a_described_one() {
    let cli = Cli::trained();
    let known = cli.json(&["embed", "s", "pin:3"]);
    assert_eq!((&known["node"], &known["generation"]), (&json!("pin:3"), &json!(1)));
    let described = cli.json(&["embed", "s", "pin:new", "--tokens", "word=w1,word=w2", "--history", "pin:4"]);
    let length = |embedded: &Value| embedded["vector"].as_array().map(Vec::len);
    assert!(length(&known) >= Some(8));
    assert_eq!(length(&known), length(&described));
    cli.fails(&["embed", "s", "pin:3", "--tokens", "word=w1"], 1, "pin:3 is in the store");
}

#[test]
fn embed_takes_dense_features_of_an_unseen_node() {
    let cli = Cli::new();
    cli.write("films.csv", "film\n0\n1\n2\n3\n4\n5\n6\n7\n");
    let looks: Vec<[f32; 2]> = (0..8).map(|at| [(at % 3) as f32 - 1.0, (at % 2) as f32]).collect();
    cli.write("looks.npy", matrix(&looks));
    cli.ok(&["import", "s", "--nodes", "films.csv", "--kind", "film", "--dense", "looks=looks.npy"]);
    cli.write("edges.csv", "user,film\na,0\na,1\na,2\nb,3\nb,4\nb,5\nc,6\nc,7\nc,0\n");
    cli.ok(&["import", "s", "--edges", "edges.csv"]);
    cli.ok(&["train", "s", "--target", "film", "--dim", "4", "--epochs", "1"]);
    cli.write("one.npy", matrix(&[[-1.0, 0.5]]));
    let vector = |arguments: &[&str]| cli.json(arguments)["vector"].clone();
    let seen = vector(&["embed", "s", "--dense", "looks=one.npy", "--history", "film:1,film:2"]);
    assert_eq!(seen.as_array().map(Vec::len), Some(5));
    assert_ne!(seen, vector(&["embed", "s", "--history", "film:1,film:2"]));
    cli.fails(
        &["embed", "s", "--dense", "looks=looks.npy"],
        5,
        "looks.npy:1:1: the matrix has 8 rows, expected 1",
    );
    cli.fails(
        &["embed", "s", "--dense", "sound=one.npy"],
        5,
        "invalid dense features 'sound': found no such block",
    );
}

#[test]
fn similar_leaves_out_the_node_itself() {
    let cli = Cli::trained();
    let answer = cli.json(&["similar", "s", "pin:3", "-k", "5"]);
    let items = answer["items"].as_array().expect("items");
    assert_eq!((items.len(), &answer["dirty_nodes"]), (5, &json!(0)));
    assert!(items.iter().all(|item| item["node"] != json!("pin:3") && item["score"].is_number()));
    let first = items[0]["node"].as_str().expect("a name");
    cli.write("not.txt", format!("{first}\n"));
    let others = cli.json(&["similar", "s", "pin:3", "-k", "5", "--exclude", "not.txt"]);
    assert!(
        others["items"].as_array().is_some_and(|items| items.iter().all(|item| item["node"] != json!(first)))
    );
    let lines = cli.jsonl(&["similar", "s", "pin:3", "-k", "5"]);
    assert_eq!((lines.len(), &lines[0]["dirty_nodes"]), (6, &json!(0)));
}

#[test]
fn a_filter_selects_answers_by_their_tokens() {
    let cli = Cli::trained();
    for (pin, tags) in [("1", "jazz|live"), ("2", "jazz"), ("3", "rock|live"), ("4", "jazz|two words")] {
        cli.write("tags.tsv", format!("pin\ttag\n{pin}\t{tags}\n"));
        cli.ok(&["import", "s", "--nodes", "tags.tsv", "--kind", "pin", "--tokens", "tag"]);
    }
    let found = |filter: &str| {
        let all = cli.json(&["similar", "s", "pin:0", "--where", filter, "-k", "120"]);
        let rows = all["items"].as_array().expect("rows").clone();
        let mut nodes: Vec<String> =
            rows.iter().map(|row| row["node"].as_str().expect("a name").to_owned()).collect();
        nodes.sort();
        nodes
    };
    assert_eq!(found("tag=jazz"), ["pin:1", "pin:2", "pin:4"]);
    assert_eq!(found("tag=jazz and not tag=live"), ["pin:2", "pin:4"]);
    assert_eq!(found(r#"tag=rock or "tag=two words""#), ["pin:3", "pin:4"]);
    assert!(found("tag=polka").is_empty());
    cli.fails(
        &["similar", "s", "pin:0", "--where", "tag=jazz and"],
        2,
        "invalid filter at character 13: found the end, expected a property, a token, not, or an opening parenthesis",
    );
}

#[test]
fn recommend_leaves_out_linked_nodes_unless_include_seen_is_given() {
    let cli = Cli::trained();
    let rows = cli.json(&["neighbors", "s", "board:0"]);
    let seen: Vec<&Value> = rows.as_array().expect("rows").iter().map(|row| &row["node"]).collect();
    let nodes = |words: &[&str]| -> Vec<Value> {
        let answer = cli.json(&[words, &["-k", "120"]].concat());
        answer["items"].as_array().expect("items").iter().map(|item| item["node"].clone()).collect()
    };
    let fresh = nodes(&["recommend", "s", "board:0"]);
    assert_eq!(fresh.len(), 120 - seen.len());
    assert!(fresh.iter().all(|node| !seen.contains(&node)));
    assert_eq!(nodes(&["recommend", "s", "board:0", "--include-seen"]).len(), 120);
    assert!(!nodes(&["recommend", "s", "--history", "pin:1,pin:2"]).contains(&json!("pin:1")));
}

#[test]
fn read_only_works_while_another_process_writes() {
    let cli = Cli::with_lamps();
    let writer = Holder::of(&cli);
    let stats = cli.json(&["stats", "s", "--read-only"]);
    assert_eq!(stats["nodes"]["lamp"], json!(3));
    writer.leave();
}

#[test]
fn help_lists_every_verb_and_every_verb_has_help() {
    let cli = Cli::new();
    let help = cli.ok(&["--help"]);
    let verbs: Vec<&str> = help
        .lines()
        .skip_while(|line| !line.starts_with("Commands:"))
        .skip(1)
        .take_while(|line| !line.is_empty())
        .filter_map(|line| line.split_whitespace().next())
        .collect();
    assert!(verbs.len() >= 18, "{verbs:?}");
    for verb in verbs {
        assert!(cli.ok(&["help", verb]).contains("Usage:"), "{verb}");
    }
}

#[test]
fn a_console_whose_output_is_closed_ends_without_an_error() {
    let cli = Cli::trained();
    let mut command = cli.command(&["console", "s"]);
    command.stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::piped());
    command.stderr(std::process::Stdio::piped());
    let mut child = command.spawn().expect("the command starts");
    drop(child.stdout.take());
    let mut input = child.stdin.take().expect("a pipe");
    // The console may be gone before it has read everything.
    let _ = std::io::Write::write_all(&mut input, "similar pin:1 -k 100\n".repeat(50).as_bytes());
    drop(input);
    let output = child.wait_with_output().expect("the command ends");
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn the_demo_ends_with_equal_digests() {
    let told = Cli::new().json(&["demo"]);
    assert_eq!(told["equal"], json!(true));
    assert_eq!(told["digest"], told["rebuilt"]);
    assert!(told["same_topic"].as_f64() > Some(0.2), "{told}");
}

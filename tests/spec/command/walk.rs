//! Promise: `walk` ranks nodes by visits in every output mode, and refuses arguments that do not fit together.

use serde_json::{Value, json};

use super::Cli;

#[test]
fn walk_ranks_the_most_visited_nodes_without_a_model() {
    let cli = Cli::with_lamps();
    let answer = cli.json(&["walk", "s", "lamp:a"]);
    assert_eq!(answer["epoch"], json!(1));
    assert_eq!((&answer["walks"], &answer["stopped_early"]), (&json!(20_000), &json!(false)));
    let items = answer["items"].as_array().expect("items");
    let nodes: Vec<&Value> = items.iter().map(|item| &item["node"]).collect();
    assert_eq!(nodes, ["lamp:b", "lamp:c"]);
    for item in items {
        assert!(item["visits"].as_u64() > Some(0) && item["score"].as_f64() == item["visits"].as_f64());
    }

    let both = cli.json(&["walk", "s", "lamp:a", "lamp:c", "-k", "1"]);
    let item = &both["items"][0];
    assert_eq!((&item["node"], both["items"].as_array().map(Vec::len)), (&json!("lamp:b"), Some(1)));
    assert!(item["score"].as_f64() > item["visits"].as_f64().map(|visits| 1.5 * visits), "{item}");
}

#[test]
fn walk_prints_a_table_and_plain_values() {
    let cli = Cli::with_lamps();
    let table = cli.ok(&["walk", "s", "lamp:a", "--output", "table"]);
    for word in ["node", "score", "visits", "lamp:b"] {
        assert!(table.contains(word), "{word} is missing in {table}");
    }
    let plain = cli.ok(&["walk", "s", "lamp:a"]);
    let lines: Vec<Vec<&str>> = plain.lines().map(|line| line.split('\t').collect()).collect();
    assert_eq!((lines.len(), lines[0].len(), lines[0][0]), (2, 3, "lamp:b"));
    let csv = cli.ok(&["walk", "s", "lamp:a", "--output", "csv"]);
    assert_eq!(csv.lines().next(), Some("node,score,visits"));
    let lines = cli.jsonl(&["walk", "s", "lamp:a"]);
    assert_eq!((lines.len(), &lines[0]["walks"]), (3, &json!(20_000)));
    assert_eq!(cli.ok(&["console", "s", "-c", "walk lamp:a"]), plain, "the console walks alike");
}

#[test]
fn walk_takes_weights_a_budget_and_an_early_stop() {
    let cli = Cli::with_lamps();
    let first = |weights: &str| {
        let words = ["walk", "s", "room:hall", "room:attic", "--weights", weights, "--budget", "1000"];
        cli.json(&words)
    };
    assert_eq!(first("1,2")["items"], json!([]), "the graph has no third room");
    let few = cli.json(&["walk", "s", "lamp:a", "--early", "1,50", "--budget", "5000"]);
    assert_eq!(few["stopped_early"], json!(true));
    assert!(few["walks"].as_u64() < Some(5000) && few["items"][0]["visits"].as_u64() >= Some(50), "{few}");
    let equal = cli.json(&["walk", "s", "lamp:a", "lamp:c", "--budget", "1000"]);
    let alike = cli.json(&["walk", "s", "lamp:a", "lamp:c", "--budget", "1000", "--weights", "3,3"]);
    let other = cli.json(&["walk", "s", "lamp:a", "lamp:c", "--budget", "1000", "--weights", "1,9"]);
    assert_eq!(equal, alike);
    assert_ne!(equal, other);
}

#[test]
fn walk_from_a_node_without_edges_says_so() {
    let cli = Cli::with_lamps();
    cli.ok(&["unlink", "s", "lamp:a", "room:hall"]);
    let ran = cli.run(&["walk", "s", "lamp:a"]);
    assert_eq!((ran.code, ran.out.as_str()), (0, ""));
    assert!(ran.err.contains("nothing to walk to"), "{}", ran.err);
}

#[test]
fn walk_refuses_arguments_that_do_not_fit_together() {
    let cli = Cli::with_lamps();
    for (words, code, message) in [
        (&["lamp:a", "room:hall"][..], 2, "lamp:a and room:hall are of different kinds"),
        (&["lamp:a", "--weights", "1,2"], 2, "found 2 weights, expected 1, one for each node"),
        (&["lamp:a", "lamp:b", "--weights", "1"], 2, "found 1 weights, expected 2"),
        (&["lamp:a", "--weights", "many"], 2, "--weights"),
        (&["lamp:a", "--weights", "-1"], 5, "found weight -1, expected a finite number above 0"),
        (&["lamp:a", "--weights", "NaN"], 5, "found weight NaN"),
        (&["lamp:a", "--early", "3"], 2, "expected P,V: two whole numbers of 1 or more"),
        (&["lamp:a", "--early", "0,3"], 2, "expected P,V"),
        (&["lamp:a", "--budget", "0"], 5, "budget: found 0, expected 1 to 100,000 walks"),
        (&["lamp:a", "-k", "0"], 2, "expected a whole number of 1 or more"),
        (&["lamp:a", "lamp:nowhere"], 1, "no node lamp:nowhere in the store"),
        (&["lamp"], 2, "expected kind:key"),
        (&[], 2, "<A>"),
    ] {
        cli.fails(&[&["walk", "s"], words].concat(), code, message);
    }
    cli.fails(&["walk", "nowhere", "lamp:a"], 3, "no store at nowhere");
}

//! Promise: the import says what an edge means: an edge that comes again.

use serde_json::{Value, json};

use super::Cli;

/// Plays of two songs by two users.
const PLAYS: &str = "user,song,weight,time\n\
    1,a,2,300\n\
    1,b,1,100\n\
    1,a,5,100\n\
    2,a,1,\n\
    1,a,0.5,200\n";

/// The songs of user 1, with weights and times.
fn songs(cli: &Cli) -> Value {
    let rows = cli.json(&["neighbors", "s", "user:1"]);
    let row = |row: &Value| json!([row["node"], row["weight"], row["time"]]);
    rows.as_array().expect("rows").iter().map(row).collect()
}

#[test]
fn edges_that_come_again_are_summed_counted_or_replaced_and_the_import_says_so() {
    for (repeat, weight, time, said) in [
        ("last", 0.5, 200, "the last counts"),
        ("sum", 7.5, 300, "weights summed"),
        ("max", 5.0, 300, "the largest weight kept"),
        ("count", 3.0, 300, "the weight counts them"),
    ] {
        // Given: an empty store, which takes a bulk load, and one with a node, which takes batches.
        for is_bulk in [true, false] {
            let cli = Cli::new();
            cli.write("e.csv", PLAYS);
            if !is_bulk {
                cli.ok(&["link", "s", "user:9", "song:z"]);
            }
            // When: a file with three edges of one pair is imported.
            let ran = cli.run(&["import", "s", "--edges", "e.csv", "--repeat", repeat, "--output", "json"]);
            // Then: they are one edge, and the report counts two.
            assert!(ran.err.contains(&format!("2 edges came again: {said}")), "{}", ran.err);
            let report: Value = serde_json::from_str(&ran.out).expect("a report");
            assert_eq!((&report["edges"], &report["repeats"]), (&json!(3), &json!(2)));
            let a = json!(["song:a", weight, time]);
            assert!(songs(&cli).as_array().expect("rows").contains(&a), "{repeat}: {}", songs(&cli));
            // When: the edge comes once more by hand.
            cli.ok(&["link", "s", "user:1", "song:a", "--weight", "2", "--repeat", "sum"]);
            assert_eq!(songs(&cli)[0], json!(["song:a", weight + 2.0, time]));
        }
    }
}

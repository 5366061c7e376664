//! Promise: `similar` and `recommend` take the options of a service's questions, and refuse what does not fit.

use serde_json::{Value, json};

use super::Cli;

/// The nodes and scores of an answer.
fn items(answer: &Value) -> Vec<Value> {
    answer["items"].as_array().expect("items").clone()
}

fn nodes(answer: &Value) -> Vec<String> {
    items(answer).iter().map(|item| item["node"].as_str().expect("a name").to_owned()).collect()
}

#[test]
fn no_verb_answers_a_question_for_no_answer() {
    let cli = Cli::trained();
    cli.write("test.txt", "0 1 2\n");
    for words in [
        &["similar", "s", "pin:3"][..],
        &["recommend", "s", "board:0"],
        &["neighbors", "s", "pin:3"],
        &["neighborhood", "s", "pin:3"],
        &["walk", "s", "pin:3"],
        &["eval", "s", "--task", "recommend", "--test", "test.txt"],
    ] {
        for k in ["0", "-1", "many"] {
            let k = format!("-k={k}");
            cli.fails(&[words, &[&k]].concat(), 2, "expected a whole number of 1 or more");
        }
    }
    let all = cli.json(&["neighbors", "s", "pin:3"]);
    let all = all.as_array().expect("rows");
    assert!(all.len() > 2);
    assert_eq!(cli.json(&["neighbors", "s", "pin:3", "-k", "2"]), json!(all[..2]));
}

#[test]
fn pages_of_an_answer_follow_one_another() {
    let cli = Cli::trained();
    for words in [["similar", "s", "pin:3"], ["recommend", "s", "board:0"]] {
        let whole = cli.json(&[&words[..], &["-k", "1000"]].concat());
        assert_eq!(whole["next"], Value::Null);
        let (mut pages, mut next) = (Vec::new(), None::<String>);
        loop {
            let after = next.as_ref().map(|next| ["--after", next.as_str()]);
            let page =
                [&words[..], &["-k", "30"], after.as_ref().map_or(&[][..], |after| &after[..])].concat();
            let page = cli.json(&page);
            pages.extend(items(&page));
            next = page["next"].as_str().map(str::to_owned);
            if next.is_none() {
                break;
            }
        }
        assert_eq!(pages, items(&whole));
    }
    // Text has the token in a note where a page was asked for, and else none.
    let token = cli.json(&["similar", "s", "pin:3"])["next"].clone();
    let token = token.as_str().expect("there are more");
    assert!(!cli.run(&["similar", "s", "pin:3", "--output", "table"]).err.contains("--after"));
    assert!(cli.run(&["similar", "s", "pin:3", "--after", token]).err.contains("the next page: --after "));
    // A commit ends the pages.
    cli.ok(&["link", "s", "board:new", "pin:3"]);
    cli.fails(&["similar", "s", "pin:3", "--after", token], 1, "ask for the first page again");
    cli.fails(&["similar", "s", "pin:3", "--after", "7"], 2, "five hexadecimal numbers");
    cli.write("nodes.txt", "pin:3\n");
    cli.fails(&["similar", "s", "--queries", "nodes.txt", "--after", token], 2, "cannot be used with");
    cli.fails(&["recommend", "s", "--users", "nodes.txt", "--after", token], 2, "cannot be used with");
}

#[test]
fn candidates_of_a_file_are_ranked_with_their_own_scores() {
    let cli = Cli::trained();
    let named: Vec<String> = (0..120).step_by(5).map(|key| format!("pin:{key}")).collect();
    cli.write("some.txt", named.join("\n") + "\npin:nowhere\nboard:1\n\n");
    for words in [&["similar", "s", "pin:3"][..], &["recommend", "s", "board:0", "--include-seen"]] {
        let whole = items(&cli.json(&[words, &["-k", "1000"]].concat()));
        let with_candidates = [words, &["--candidates", "some.txt"]].concat();
        let ran = cli.run(&[&with_candidates[..], &["--output", "json"]].concat());
        assert!(ran.err.contains("have no embedding and are ignored: pin:nowhere, board:1"), "{}", ran.err);
        let answer: Value = serde_json::from_str(&ran.out).expect("json");
        let is_named = |item: &&Value| named.iter().any(|name| item["node"] == json!(name));
        assert_eq!(items(&answer), whole.iter().filter(is_named).cloned().collect::<Vec<_>>());
        assert_eq!(answer["ignored"], json!(["pin:nowhere", "board:1"]));
        let two = cli.json(&[&with_candidates[..], &["-k", "2"]].concat());
        assert_eq!(items(&two), items(&answer)[..2]);
    }
    let many: Vec<String> = (0..30).map(|key| format!("pin:x{key}")).collect();
    cli.write("many.txt", many.join("\n"));
    let ran = cli.run(&["similar", "s", "pin:3", "--candidates", "many.txt"]);
    assert!(ran.err.contains("pin:x9 and 20 more"), "{}", ran.err);
    cli.write("bad.txt", "pin:1\npin\n");
    cli.fails(&["similar", "s", "pin:3", "--candidates", "bad.txt"], 5, "bad.txt:2:1");
    cli.fails(&["similar", "s", "pin:3", "--candidates", "none.txt"], 1, "cannot read none.txt");
}

#[test]
fn scores_and_relations_leave_answers_out() {
    let cli = Cli::trained();
    let whole = cli.json(&["similar", "s", "pin:3", "-k", "1000"]);
    let least = items(&whole)[4]["score"].to_string();
    let high = cli.json(&["similar", "s", "pin:3", "-k", "1000", "--min-score", &least]);
    assert_eq!(items(&high), items(&whole)[..5]);
    cli.fails(&["similar", "s", "pin:3", "--min-score", "NaN"], 2, "expected a finite number");

    let shown = cli.json(&["recommend", "s", "board:0", "--include-seen", "-k", "1000"]);
    let first = nodes(&shown)[0].clone();
    cli.ok(&["link", "s", "board:0", &first, "--relation", "bought"]);
    let words = ["recommend", "s", "board:0", "--include-seen", "-k", "1000", "--exclude-relation"];
    assert!(nodes(&cli.json(&words[..6])).contains(&first));
    assert!(!nodes(&cli.json(&[&words[..], &["bought"]].concat())).contains(&first));
    let typo = [&words[..], &["bougth"]].concat();
    cli.fails(
        &typo,
        1,
        "no relation 'bougth' in the store; it holds board-pin, bought; did you mean bought?",
    );
    let history = ["recommend", "s", "--history", &first, "--exclude-relation", "bought"];
    cli.fails(&history, 2, "--exclude-relation needs a node that is linked");
}

#[test]
fn different_answers_are_other_ones_with_the_same_scores() {
    let cli = Cli::trained();
    let words = ["recommend", "s", "board:0", "-k", "8", "--explain"];
    let pool = items(&cli.json(&["recommend", "s", "board:0", "-k", "100", "--explain"]));
    let different = cli.json(&[&words[..], &["--diverse", "0.9"]].concat());
    assert_ne!(nodes(&different), nodes(&cli.json(&words)));
    assert_eq!((items(&different).len(), &different["next"]), (8, &Value::Null));
    for item in items(&different) {
        assert!(pool.contains(&item), "{item}");
    }
    cli.fails(&[&words[..], &["--diverse", "2"]].concat(), 2, "expected a number from 0 to 1");
    cli.fails(&[&words[..], &["--diverse", "1", "--interests", "2"]].concat(), 5, "several interests");
}

#[test]
fn each_node_of_a_file_gets_the_answer_that_it_gets_alone() {
    let cli = Cli::trained();
    cli.write("nodes.txt", "pin:3\n\npin:0\npin:3\n");
    let words = ["similar", "s", "--queries", "nodes.txt", "-k", "4"];
    let lines = cli.jsonl(&words);
    let queries: Vec<&Value> = lines.iter().map(|line| &line["query"]).collect();
    assert_eq!(queries, ["pin:3", "pin:0", "pin:3"]);
    for line in &lines {
        let alone = cli.json(&["similar", "s", line["query"].as_str().expect("a name"), "-k", "4"]);
        for name in ["items", "epoch", "dirty_nodes"] {
            assert_eq!(line[name], alone[name], "{name}");
        }
    }
    let text = cli.ok(&words);
    assert_eq!(text.lines().count(), 12);
    assert!(text.lines().all(|line| line.ends_with("\tembeddings")), "{text}");
    cli.write("bad.txt", "pin:3\nboard:1\npin:0\n");
    let words = ["similar", "s", "--queries", "bad.txt", "--output", "jsonl"];
    let ran = cli.fails(&words, 5, "bad.txt:2:1: board:1 has no embedding");
    let ran = (ran.out.lines().count(), cli.run(&[&words[..], &["--on-error", "skip"]].concat()));
    assert_eq!((ran.0, ran.1.code, ran.1.out.lines().count()), (1, 0, 3));
    assert!(ran.1.err.contains("1 query has no answer"), "{}", ran.1.err);
    cli.fails(&["similar", "s"], 2, "name a node such as pin:42, or --queries FILE");
    cli.fails(&["similar", "s", "pin:1", "--queries", "nodes.txt"], 2, "cannot be used with");
}

#[test]
fn a_deadline_that_passed_fails_the_command_and_is_no_interruption() {
    let cli = Cli::trained();
    cli.write("nodes.txt", "pin:3\n");
    for words in [
        &["similar", "s", "pin:3"][..],
        &["similar", "s", "--queries", "nodes.txt"],
        &["recommend", "s", "board:0"],
        &["recommend", "s", "--users", "nodes.txt"],
    ] {
        cli.ok(&[words, &["--deadline", "3600000"]].concat());
        let late = [words, &["--deadline", "0", "--output", "json"]].concat();
        let ran = cli.fails(&late, 1, "the deadline of 0 ms passed before the answer was found");
        assert!(ran.err.contains("\"kind\":\"cancelled\""), "{}", ran.err);
    }
}

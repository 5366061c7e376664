//! Promise: `recommend` answers for known and unknown users, many at once, with several interests and with reasons.

use serde_json::{Value, json};

use super::Cli;

#[test]
fn an_answer_names_its_source_and_the_ignored_nodes() {
    let cli = Cli::trained();
    let answer = cli.json(&["recommend", "s", "board:0"]);
    assert_eq!((&answer["basis"], &answer["ignored"]), (&json!("embeddings"), &json!([])));
    assert_eq!(answer["interests"][0]["importance"], json!(1.0));
    for known in ["pin:none", "pin:1,pin:none"] {
        let ran = cli.run(&["recommend", "s", "--history", known, "--output", "json"]);
        assert_eq!(ran.code, 0, "{}", ran.err);
        assert!(ran.err.contains("these nodes have no embedding and are ignored: pin:none"), "{}", ran.err);
        let answer: Value = serde_json::from_str(&ran.out).expect("json");
        let basis = if known == "pin:none" { "popular" } else { "embeddings" };
        assert_eq!((&answer["basis"], &answer["ignored"]), (&json!(basis), &json!(["pin:none"])));
    }
    cli.ok(&["link", "s", "user:new", "pin:late"]);
    cli.ok(&["link", "s", "board:1", "pin:late"]);
    let ran = cli.run(&["recommend", "s", "user:new", "--output", "json"]);
    assert!(ran.err.contains("the answer comes from walks"), "{}", ran.err);
    assert!(ran.out.contains("\"basis\":\"walks\""), "{}", ran.out);
    assert_eq!(cli.json(&["recommend", "s", "user:new", "--now"])["basis"], json!("embeddings"));
    cli.fails(&["recommend", "s", "user:none"], 1, "no node user:none in the store");
    cli.fails(&["recommend", "s", "--history", "pni:1"], 1, "no node of kind 'pni' in the store");
    cli.fails(&["recommend", "s", "--history", "board:1"], 1, "only nodes of kind pin are embedded");
    cli.fails(&["recommend", "s"], 2, "name a recipient");
}

#[test]
fn several_interests_share_an_answer_by_importance() {
    let cli = Cli::trained();
    let words = ["recommend", "s", "board:0", "-k", "12", "--explain", "--interests"];
    let answer = cli.json(&[&words[..], &["3"]].concat());
    let interests = answer["interests"].as_array().expect("interests");
    assert_eq!(interests.len(), 3);
    let linked = cli.json(&["neighbors", "s", "board:0"]);
    let items: u64 = interests.iter().filter_map(|interest| interest["items"].as_u64()).sum();
    assert_eq!(items, linked.as_array().expect("rows").len() as u64);
    for (at, interest) in interests.iter().enumerate() {
        let places = answer["items"].as_array().expect("items").iter();
        let places = places.filter(|item| item["why"]["interest"] == json!(at)).count() as f64;
        let share = interest["importance"].as_f64().expect("a share") * 12.0;
        assert!((places - share).abs() < 1.5, "{places} places for a share of {share}");
    }
    assert!(!cli.json(&[&words[..], &["auto"]].concat())["interests"].as_array().expect("some").is_empty());
    for none in ["0", "21", "many"] {
        cli.fails(&[&words[..], &[none]].concat(), 2, "expected auto, or a number from 1 to 20");
    }
    cli.write("test.txt", "0 1 2\n1 3\n");
    let eval = ["eval", "s", "--task", "recommend", "--test", "test.txt", "--interests", "auto"];
    assert!(cli.json(&eval)["recall@20"].is_number());
}

#[test]
fn each_user_of_a_file_gets_the_answer_that_it_gets_alone() {
    let cli = Cli::trained();
    cli.write("users.txt", "board:3\n\nboard:0\nboard:3\n");
    let words = ["recommend", "s", "--users", "users.txt", "-k", "4"];
    let lines = cli.jsonl(&words);
    let users: Vec<&Value> = lines.iter().map(|line| &line["user"]).collect();
    assert_eq!(users, ["board:3", "board:0", "board:3"]);
    for line in &lines {
        let user = line["user"].as_str().expect("a name");
        let alone = cli.json(&["recommend", "s", user, "-k", "4"]);
        for name in ["items", "basis", "epoch", "dirty_nodes"] {
            assert_eq!(line[name], alone[name], "{name} of {user}");
        }
    }
    assert_eq!(cli.json(&words).as_array().map(Vec::len), Some(3));
    let text = cli.ok(&words);
    assert_eq!(text.lines().count(), 12);
    assert!(text.lines().all(|line| line.ends_with("\tembeddings")), "{text}");
}

#[test]
fn a_user_without_an_answer_stops_the_command_or_gets_an_error_line() {
    let cli = Cli::trained();
    cli.write("users.txt", "board:3\nboard:none\nboard\nboard:0\n");
    let words = ["recommend", "s", "--users", "users.txt", "-k", "2", "--output", "jsonl"];
    let ran = cli.fails(&words, 5, "users.txt:2:1: no node board:none in the store");
    assert_eq!(ran.out.lines().count(), 1, "the answer before it is written: {}", ran.out);
    let ran = cli.run(&[&words[..], &["--on-error", "skip"]].concat());
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(ran.err.contains("2 users have no answer"), "{}", ran.err);
    let lines: Vec<Value> = ran.out.lines().map(|line| serde_json::from_str(line).expect("json")).collect();
    assert_eq!(lines.len(), 4);
    assert_eq!(lines[1], json!({"user": "board:none", "error": "no node board:none in the store"}));
    assert!(lines[2]["error"].as_str().is_some_and(|error| error.contains("users.txt:3:1")), "{}", lines[2]);
    assert_eq!(lines[3]["user"], json!("board:0"));
    cli.write("one.txt", "board:3\nboard:none\n");
    let ran = cli.run(&["recommend", "s", "--users", "one.txt", "--on-error", "skip"]);
    assert!(ran.err.contains("1 user has no answer"), "{}", ran.err);
    cli.fails(&["recommend", "s", "--users", "nowhere.txt"], 1, "cannot read nowhere.txt");
    cli.fails(&["recommend", "s", "board:0", "--users", "users.txt"], 2, "cannot be used with");
}

#[test]
fn a_filter_applies_to_one_user_to_many_and_to_an_unknown_one() {
    let cli = Cli::trained();
    cli.write("tags.tsv", "pin\ttag\n1\tjazz\n2\tjazz\n3\trock\n4\tjazz\n");
    cli.ok(&["import", "s", "--nodes", "tags.tsv", "--kind", "pin", "--tokens", "tag"]);
    cli.ok(&["refresh", "s"]);
    cli.write("users.txt", "board:5\n");
    let asked = |more: &[&str]| {
        let words = [&["recommend", "s", "-k", "9", "--include-seen", "--where", "tag=jazz"], more].concat();
        let answer = cli.json(&words);
        let answer = answer.as_array().map_or(answer.clone(), |lines| lines[0].clone());
        let items = answer["items"].as_array().expect("items").clone();
        items.iter().map(|item| item["node"].as_str().expect("a name").to_owned()).collect::<Vec<_>>()
    };
    let one = asked(&["board:5"]);
    assert_eq!(asked(&["--users", "users.txt"]), one);
    for mut nodes in [one, asked(&["--history", "pin:nobody"])] {
        nodes.sort();
        assert_eq!(nodes, ["pin:1", "pin:2", "pin:4"]);
    }
}

#[test]
fn reasons_are_facts_in_json_and_words_in_text() {
    let cli = Cli::trained();
    let answer = cli.json(&["similar", "s", "pin:3", "-k", "5", "--explain"]);
    let visits = cli.json(&["neighborhood", "s", "pin:3", "-k", "1000"]);
    for item in answer["items"].as_array().expect("items") {
        let why = &item["why"];
        assert_eq!((&why["beside"], &why["interest"]), (&json!("pin:3"), &Value::Null));
        let sum = why["cosine"].as_f64().expect("a cosine") + why["popularity"].as_f64().expect("a share");
        assert!((sum - item["score"].as_f64().expect("a score")).abs() < 1e-5, "{item}");
        let visited = visits.as_array().expect("rows").iter().find(|row| row["node"] == item["node"]);
        assert_eq!(why["visits"], visited.map_or(json!(0), |row| row["visits"].clone()));
    }
    assert!(cli.ok(&["similar", "s", "pin:3", "--explain"]).contains("\tnear pin:3 ("));
    let table = cli.ok(&["recommend", "s", "board:0", "--explain", "--output", "table"]);
    assert!(table.contains("why") && table.contains("near pin:"), "{table}");
    assert!(!cli.ok(&["similar", "s", "pin:3"]).contains("near"));
}

#[test]
fn a_model_with_factors_answers_from_the_graph_and_says_what_each_part_adds() {
    let cli = Cli::trained();
    let train = ["train", "s", "--target", "pin", "--epochs", "1", "--dim", "8"];
    cli.ok(&[&train[..], &["--ids", "on", "--metrics", "m.jsonl"]].concat());
    let metrics: Vec<Value> =
        cli.read("m.jsonl").lines().map(|line| serde_json::from_str(line).expect("json")).collect();
    assert_eq!(metrics.len(), 4, "the fit, an epoch, the parts and the end");
    for field in ["held_out_lists", "held_out_edges", "recall_filter", "recall", "constants", "seconds"] {
        assert!(metrics[0].get(field).is_some(), "{field} is missing in {}", metrics[0]);
    }
    for part in ["filter", "graph", "embeddings", "all"] {
        assert!(metrics[3]["parts"]["pin"][part].is_number(), "{part} is missing in {}", metrics[3]);
        assert_eq!(metrics[2]["parts"][part], metrics[3]["parts"]["pin"][part]);
    }
    assert!(metrics[3]["fitted"]["pin"]["scale"].is_number(), "{}", metrics[3]);
    assert_eq!(metrics[3]["fitted"]["pin"]["embeddings"], metrics[2]["weight"]);
    // Two hops need no embedding, so a pin that is not refreshed counts in the history.
    assert_eq!(cli.json(&["recommend", "s", "board:0"])["basis"], json!("graph"));
    cli.ok(&["link", "s", "user:new", "pin:late"]);
    cli.ok(&["link", "s", "board:1", "pin:late"]);
    assert_eq!(cli.json(&["recommend", "s", "user:new"])["basis"], json!("graph"));

    let number = |value: &Value| value.as_f64().expect("a number");
    let answer = cli.json(&["recommend", "s", "board:0", "--explain"]);
    for item in answer["items"].as_array().expect("items") {
        let why = &item["why"];
        let parts: f64 = ["filter", "factors", "embeddings"].iter().map(|part| number(&why[part])).sum();
        assert!((parts - number(&item["score"])).abs() < 1e-4, "{item}");
        assert!(number(&why["beside_share"]) > 0.0 && why["cosine"].is_null(), "{item}");
    }
    let answer = cli.json(&["similar", "s", "pin:3", "-k", "5", "--explain"]);
    for item in answer["items"].as_array().expect("items") {
        assert!((number(&item["why"]["filter"]) - number(&item["score"])).abs() < 1e-4, "{item}");
    }
    let text = cli.ok(&["recommend", "s", "board:0", "--explain"]);
    assert!(text.contains("% through pin:") && text.contains("graph filter"), "{text}");

    // Without ids, pins are known by their features, which the graph does not have.
    cli.ok(&train);
    let answer = cli.json(&["similar", "s", "pin:3", "--explain"]);
    for item in answer["items"].as_array().expect("items") {
        assert!(item["why"]["filter"].is_null() && item["why"]["cosine"].is_number(), "{item}");
    }
    assert_eq!(cli.json(&["recommend", "s", "board:0"])["basis"], json!("graph"));
}

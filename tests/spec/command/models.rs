//! Promise: a store has several models by name, and every verb reads the one that is asked for.

use serde_json::{Value, json};

use super::Cli;

/// A trained store with a second model, `tonight`.
fn with_two_models() -> Cli {
    let cli = Cli::trained();
    cli.ok(&["train", "s", "--name", "tonight", "--target", "pin", "--epochs", "1", "--dim", "8"]);
    cli
}

fn names(models: &Value) -> Vec<(&str, bool)> {
    let models = models.as_array().expect("rows").iter();
    models.map(|model| (model["model"].as_str().expect("a name"), model["default"] == json!(true))).collect()
}

#[test]
fn a_question_is_answered_by_the_default_model_or_by_the_one_that_is_named() {
    let cli = with_two_models();
    let models = cli.json(&["models", "s"]);
    assert_eq!(names(&models), [("main", true), ("tonight", false)]);
    assert_eq!(
        (&models[1]["dim"], &models[1]["generation"], &models[1]["previous"]),
        (&json!(9), &json!(1), &Value::Null)
    );
    assert!(models[0]["memory"].as_u64() > Some(0) && models[0]["bytes"].as_u64() > Some(0));
    let verbs: [&[&str]; 6] = [
        &["similar", "s", "pin:1"],
        &["recommend", "s", "board:0"],
        &["embed", "s", "pin:1"],
        &["digest", "s"],
        &["neighborhood", "s", "pin:1"],
        &["report", "s", "page.html", "--force"],
    ];
    let answers = |model: &[&str]| verbs.map(|verb| cli.json(&[verb, model].concat()));
    let (by_main, by_tonight) = (answers(&["--model", "main"]), answers(&["--model", "tonight"]));
    assert_eq!(answers(&[])[..5], by_main[..5]);
    for at in [0, 2, 3] {
        assert_ne!(by_main[at], by_tonight[at], "{:?}", verbs[at]);
    }
    let promoted = cli.json(&["models", "s", "promote", "tonight"]);
    assert_eq!(names(&promoted), [("main", false), ("tonight", true)]);
    assert_eq!(answers(&[])[..5], by_tonight[..5]);
    cli.ok(&["export", "s", "out", "--format", "csv"]);
    cli.ok(&["export", "s", "main", "--format", "csv", "--model", "main"]);
    let digest = |folder: &str| -> Value {
        let text = std::fs::read_to_string(cli.path(folder).join("manifest.json")).expect("a manifest");
        serde_json::from_str::<Value>(&text).expect("json")["digest"].clone()
    };
    assert_eq!((&digest("out"), &digest("main")), (&by_tonight[3]["digest"], &by_main[3]["digest"]));
}

#[test]
fn a_refresh_and_a_stream_keep_all_models_current() {
    let cli = with_two_models();
    cli.ok(&["link", "s", "board:0", "pin:new"]);
    let stats = cli.json(&["stats", "s"]);
    assert_eq!(stats["dirty_nodes"], json!(2));
    assert_eq!(stats["models"]["tonight"]["dirty_nodes"], json!(2));
    let only = cli.json(&["refresh", "s", "--model", "tonight"]);
    assert_eq!((only["dirty_nodes"].clone(), only.get("models")), (json!(2), None));
    let dirty = |cli: &Cli| {
        let stats = cli.json(&["stats", "s"]);
        ["main", "tonight"].map(|name| stats["models"][name]["dirty_nodes"].as_u64().expect("a number"))
    };
    assert_eq!(dirty(&cli), [2, 0]);
    let all = cli.json(&["refresh", "s"]);
    assert_eq!((&all["dirty_nodes"], &all["models"]["tonight"]["dirty_nodes"]), (&json!(2), &json!(0)));
    assert_eq!(dirty(&cli), [0, 0]);
    cli.write("clicks.csv", "+,board:1,pin:60\n+,board:2,pin:61\n");
    cli.ok(&["apply", "s", "clicks.csv"]);
    assert_eq!(dirty(&cli), [0, 0]);
    let verified = cli.json(&["refresh", "s", "--full", "--verify"]);
    assert_eq!(verified["models"]["main"]["differed"], json!(false));
    assert_eq!(verified["models"]["tonight"]["differed"], json!(false));
    cli.ok(&["refresh", "s", "--explain", "pin:1"]);
    cli.ok(&["check", "s", "--deep"]);
    cli.ok(&["backup", "s", "copy"]);
    assert_eq!(names(&cli.json(&["models", "copy"])), [("main", true), ("tonight", false)]);
    let dump = cli.ok(&["dump", "s"]);
    assert!(dump.contains("published tonight generation 1"), "{}", &dump[..dump.len().min(2000)]);
}

#[test]
fn a_model_goes_back_a_generation_and_is_dropped() {
    let cli = with_two_models();
    let digest = |model: &str| cli.json(&["digest", "s", "--model", model])["digest"].clone();
    let (first, other) = (digest("tonight"), digest("main"));
    cli.ok(&[
        "train", "s", "--name", "tonight", "--target", "pin", "--epochs", "1", "--dim", "8", "--seed", "5",
    ]);
    let second = digest("tonight");
    let rolled = cli.json(&["models", "s", "rollback", "tonight"]);
    assert_eq!((&rolled[1]["generation"], &rolled[1]["previous"]), (&json!(3), &json!(2)));
    assert_eq!(digest("tonight"), first);
    cli.ok(&["models", "s", "rollback", "tonight"]);
    assert_eq!((digest("tonight"), digest("main")), (second, other));
    assert_eq!(names(&cli.json(&["models", "s", "drop", "tonight"])), [("main", true)]);
    cli.fails(
        &["similar", "s", "pin:1", "--model", "tonight"],
        1,
        "no model 'tonight' in the store; it has main",
    );
    cli.fails(&["similar", "s", "pin:1", "--model", "mian"], 1, "did you mean main?");
    cli.fails(
        &["train", "s", "--name", "To night", "--target", "pin"],
        5,
        "expected 1 to 32 lowercase letters",
    );
    cli.fails(&["models", "s", "promote"], 2, "<MODEL>");
    assert_eq!(names(&cli.json(&["models", "s", "drop", "main"])), []);
}

#[test]
fn users_are_shared_out_among_models_and_each_keeps_its_own() {
    let cli = with_two_models();
    let shares = ["--models", "main=50,tonight=50"];
    let users: Vec<String> = (0..40).map(|user| format!("board:{user}")).collect();
    cli.write("users.txt", users.join("\n"));
    let words = [&["recommend", "s", "--users", "users.txt", "--output", "jsonl"], &shares[..]].concat();
    let out = cli.ok(&words);
    let lines: Vec<Value> = out.lines().map(|line| serde_json::from_str(line).expect("json")).collect();
    assert_eq!(lines.len(), users.len());
    let of = |model: &str| lines.iter().filter(|line| line["model"] == json!(model)).count();
    assert!(of("main") > 8 && of("tonight") > 8, "{} and {}", of("main"), of("tonight"));
    for line in lines.iter().take(6) {
        let user = line["user"].as_str().expect("a user");
        let alone = cli.json(&[&["recommend", "s", user], &shares[..]].concat());
        assert_eq!((&alone["model"], &alone["items"]), (&line["model"], &line["items"]), "{user}");
        let model = line["model"].as_str().expect("a model");
        assert_eq!(cli.json(&["recommend", "s", user, "--model", model])["items"], line["items"]);
    }
    let noted = cli.run(&[&["recommend", "s", "board:0"], &shares[..]].concat());
    assert!(noted.err.contains("the answer is of the model "), "{}", noted.err);
    cli.fails(&["recommend", "s", "board:0", "--models", "main"], 2, "expected models with weights");
    cli.fails(&["recommend", "s", "board:0", "--models", "main=0"], 2, "expected a weight above 0");
    cli.fails(&["recommend", "s", "board:0", "--models", "main=1,main=2"], 2, "is there twice");
    cli.fails(
        &["recommend", "s", "board:0", "--models", "main=1,other=1"],
        1,
        "no model 'other' in the store",
    );
}

#[test]
fn a_console_greets_with_the_other_models_and_answers_by_name() {
    let cli = with_two_models();
    let ran = cli.ok(&[
        "console",
        "s",
        "-c",
        "models promote tonight",
        "-c",
        "digest",
        "-c",
        "models drop main",
        "-c",
        "models",
    ]);
    assert!(ran.contains("tonight"), "{ran}");
    assert_eq!(names(&cli.json(&["models", "s"])), [("tonight", true)]);
}

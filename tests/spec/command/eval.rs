//! Promise: `eval` prints the figures of the model and of the baselines, as a table and for programs.

use serde_json::{Value, json};

use super::Cli;

/// Held-out items of ten boards. The last item of each is not in the store.
fn with_test() -> Cli {
    let cli = Cli::trained();
    let lines: Vec<String> =
        (0..10).map(|board| format!("{board} {} {} none", board * 3, board * 5 + 1)).collect();
    cli.write("test.txt", lines.join("\n"));
    cli
}

/// The rankers of items with tokens.
const RANKERS: [&str; 7] =
    ["model", "popularity", "cooccurrence", "rp3beta", "pixie", "implicit_als", "token_cosine"];
const RECOMMEND: [&str; 8] = ["eval", "s", "--task", "recommend", "--test", "test.txt", "-k", "10"];
const RELATED: [&str; 6] = ["eval", "s", "--task", "related", "--pairs", "pairs.tsv"];

#[test]
fn recommendations_are_judged_for_the_model_and_the_baselines() {
    let cli = with_test();
    let quality = cli.json(&RECOMMEND);
    assert_eq!(quality["users"], json!(10));
    let names: Vec<&str> = quality.as_object().expect("an object").keys().map(String::as_str).collect();
    assert_eq!(
        names,
        [
            "recall@10",
            "ndcg@10",
            "users",
            "recall@10_margin",
            "ndcg@10_margin",
            "coverage",
            "effective_items",
            "popularity_lift",
            "rankers",
            "judged_by",
            "best_baseline",
            "lead",
            "lead_margin",
            "verdict",
            "cosines",
        ]
    );
    let rankers = quality["rankers"].as_array().expect("rankers");
    let named: Vec<&Value> = rankers.iter().map(|ranker| &ranker["ranker"]).collect();
    assert_eq!(named, RANKERS);
    for name in ["recall@10", "ndcg@10", "users", "coverage", "effective_items", "popularity_lift"] {
        assert_eq!(quality[name], rankers[0][name], "{name} of the model is said twice alike");
        assert!(rankers.iter().all(|ranker| ranker[name].is_number()), "{name}: {quality}");
    }
    // The best baseline is the one over which the model has the smallest lead.
    let leads: Vec<f64> =
        rankers[1..].iter().map(|ranker| ranker["lead"].as_f64().expect("a lead")).collect();
    let least = leads.iter().copied().fold(f64::MAX, f64::min);
    assert_eq!(quality["lead"], json!(least));
    let best =
        rankers.iter().find(|ranker| ranker["ranker"] == quality["best_baseline"]).expect("one of them");
    assert_eq!((&best["lead"], &rankers[0]["lead"]), (&json!(least), &Value::Null));
    let lead = quality["ndcg@10"].as_f64().expect("a mean") - best["ndcg@10"].as_f64().expect("a mean");
    assert!((lead - least).abs() < 2e-6, "{lead} {least}");
    let cosines = &quality["cosines"];
    let bins = cosines["bins"].as_array().expect("bins").iter().filter_map(Value::as_u64);
    assert_eq!((cosines["pairs"].as_u64(), bins.sum::<u64>()), (Some(120 * 25), 120 * 25));
    assert!(cosines["kurtosis"].is_number() && cosines["mean"].is_number(), "{cosines}");
}

#[test]
fn related_items_are_judged_for_the_model_and_the_baselines() {
    let cli = Cli::trained();
    cli.write("pairs.tsv", "1\t2\n3\t4\n");
    let quality = cli.json(&RELATED);
    assert_eq!((&quality["pairs"], &quality["hr@500"]), (&json!(2), &json!(1.0)));
    for ranker in quality["rankers"].as_array().expect("rankers").iter().chain([&quality]) {
        for name in ["hr@10", "hr@100", "hr@500", "mrr", "mrr100"] {
            assert!(
                ranker[name].is_number() && ranker[format!("{name}_margin")].is_number(),
                "{name} {ranker}"
            );
        }
    }
    assert_eq!(quality["judged_by"], json!("mrr"));
}

#[test]
fn text_has_a_line_for_each_ranker_and_its_first_columns_stay() {
    let cli = with_test();
    let quality = cli.json(&RECOMMEND);
    let tsv = cli.ok(&RECOMMEND);
    let lines: Vec<Vec<&str>> = tsv.lines().map(|line| line.split('\t').collect()).collect();
    assert_eq!(lines.len(), 7);
    let first = [&quality["recall@10"], &quality["ndcg@10"], &quality["users"]].map(ToString::to_string);
    assert_eq!((&lines[0][..3], lines[0][3]), (&first.each_ref().map(String::as_str)[..], "model"));
    let csv = cli.ok(&[&RECOMMEND[..], &["--output", "csv"]].concat());
    assert!(
        csv.starts_with("recall@10,ndcg@10,users,ranker,recall@10_margin,ndcg@10_margin,coverage,"),
        "{csv}"
    );
    assert_eq!(csv.lines().count(), 8);
    assert_eq!(cli.jsonl(&RECOMMEND), [quality]);
}

/// With a sample the model has two lines: over all queries, and over the sample.
#[test]
fn baselines_are_compared_on_a_sample_on_all_queries_or_not_at_all() {
    let cli = with_test();
    let all = cli.json(&RECOMMEND);
    let ran = cli.run(&[&RECOMMEND[..], &["--baselines", "4", "--output", "json"]].concat());
    assert!(ran.err.contains("compared with baselines on 4 of 10 users; --baselines all"), "{}", ran.err);
    let some: Value = serde_json::from_str(&ran.out).expect("JSON");
    for name in ["recall@10", "ndcg@10", "users", "coverage"] {
        assert_eq!(some[name], all[name], "{name}");
    }
    assert!(some["rankers"].as_array().expect("rankers").iter().all(|ranker| ranker["users"] == json!(4)));
    assert_eq!(cli.ok(&[&RECOMMEND[..], &["--baselines", "4"]].concat()).lines().count(), 8);
    let whole = cli.json(&[&RECOMMEND[..], &["--baselines", "all"]].concat());
    assert_eq!(whole, all);
    let ran = cli.run(&[&RECOMMEND[..], &["--baselines", "off", "--output", "json"]].concat());
    let alone: Value = serde_json::from_str(&ran.out).expect("JSON");
    assert_eq!((alone["recall@10"].clone(), ran.err.as_str()), (all["recall@10"].clone(), ""));
    assert_eq!(
        (&alone["verdict"], &alone["lead"], &alone["best_baseline"]),
        (&Value::Null, &Value::Null, &Value::Null)
    );
    assert_eq!(alone["rankers"].as_array().map(Vec::len), Some(1));
    cli.fails(&[&RECOMMEND[..], &["--baselines", "some"]].concat(), 2, "expected all, off, or a number");
}

#[test]
fn a_table_ends_with_a_verdict_and_with_the_cosines_of_random_pairs() {
    let cli = with_test();
    cli.write("pairs.tsv", "1\t2\n3\t4\n5\t9\n");
    for (words, verdict) in [(&RECOMMEND[..], " ndcg@10 is "), (&RELATED[..], " mrr is ")] {
        let table = cli.ok(&[words, &["--output", "table"]].concat());
        let lines: Vec<&str> = table.lines().collect();
        let widths: Vec<usize> = lines[..11].iter().map(|line| line.chars().count()).collect();
        assert!(widths.iter().all(|width| *width == widths[0]), "{table}");
        for (line, ranker) in lines[3..].iter().zip(RANKERS) {
            assert!(line.contains(ranker) && line.contains('\u{b1}'), "{table}");
        }
        let claims = ["the model is better: ", "the model is worse: ", "no clear difference: "];
        assert!(
            claims.iter().any(|claim| lines[11].starts_with(claim)) && lines[11].contains(verdict),
            "{table}"
        );
        assert!(lines[12].starts_with("random pairs -1 ") && lines[12].contains(", kurtosis "), "{table}");
        assert_eq!(lines.len(), 13, "{table}");
        assert!(lines[11..].iter().all(|line| line.chars().count() <= 80), "{table}");
    }
    let alone = cli.ok(&[&RECOMMEND[..], &["--baselines", "off", "--output", "table"]].concat());
    assert!(!alone.contains(" pixie") && alone.lines().count() == 6, "{alone}");
}

#[test]
fn empty_files_and_unknown_nodes_are_refused() {
    let cli = with_test();
    cli.write("empty.txt", "\n\n");
    cli.fails(&["eval", "s", "--task", "recommend", "--test", "empty.txt"], 5, "the file holds no users");
    cli.fails(&["eval", "s", "--task", "related", "--pairs", "empty.txt"], 5, "the file holds no pairs");
    cli.write("unknown.txt", "0 1\nnobody 1\n");
    cli.fails(&["eval", "s", "--task", "recommend", "--test", "unknown.txt"], 1, "no node board:nobody");
    cli.write("pairs.tsv", "1\tnone\n");
    cli.fails(&RELATED, 1, "no node pin:none");
}

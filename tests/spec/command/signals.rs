//! Promise: an import says what an edge means: an edge that comes again, its time, a rating, and how fast it fades.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::Cli;
use super::follower::Follower;
use crate::older_formats::unpack;

/// Plays of two songs by two users.
const PLAYS: &str = "user,song,weight,time\n\
    1,a,2,300\n\
    1,b,1,100\n\
    1,a,5,100\n\
    2,a,1,\n\
    1,a,0.5,200\n";

/// The neighbors of a node, with weights, times and relations.
fn linked(cli: &Cli, node: &str) -> Vec<Value> {
    let rows = cli.json(&["neighbors", "s", node]);
    let row = |row: &Value| json!([row["node"], row["weight"], row["time"], row["relation"]]);
    rows.as_array().expect("rows").iter().map(row).collect()
}

/// Follows a file until this many changes are applied.
fn follow(cli: &Cli, words: &[&str], changes: u64) {
    let follower = Follower::start(cli, words);
    follower.wait(changes);
    follower.interrupt();
}

/// Makes the store, which then takes batches instead of a bulk load.
fn with_a_node(cli: &Cli) {
    cli.ok(&["link", "s", "user:9", "song:z"]);
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
                with_a_node(&cli);
            }
            // When: a file with three edges of one pair is imported.
            let ran = cli.run(&["import", "s", "--edges", "e.csv", "--repeat", repeat, "--output", "json"]);
            // Then: they are one edge, and the report counts two.
            assert!(ran.err.contains(&format!("2 edges came again: {said}")), "{}", ran.err);
            let report: Value = serde_json::from_str(&ran.out).expect("a report");
            assert_eq!((&report["edges"], &report["repeats"]), (&json!(3), &json!(2)));
            let a = |weight: f64| json!(["song:a", weight, time * 1_000_000, "song-user"]);
            assert!(linked(&cli, "user:1").contains(&a(weight)), "{repeat}: {:?}", linked(&cli, "user:1"));
            // When: the edge comes once more, by hand and in a stream.
            cli.ok(&["link", "s", "user:1", "song:a", "--weight", "2", "--repeat", "sum"]);
            cli.write("u.csv", "+,user:1,song:a,0.25\n");
            cli.ok(&["apply", "s", "u.csv", "--repeat", "sum"]);
            assert!(linked(&cli, "user:1").contains(&a(weight + 2.25)));
        }
    }
}

#[test]
fn the_first_time_of_a_file_tells_the_unit_of_all_and_the_import_says_it() {
    for (times, flags, expected, said) in [
        (["1500000000", "7"], &[][..], [1_500_000_000_000_000_i64, 7_000_000], "times: seconds"),
        (["1500000000123", "7"], &[], [1_500_000_000_123_000, 7000], "times: milliseconds"),
        (["1500000000123456", "7"], &[], [1_500_000_000_123_456, 7], "times: microseconds"),
        (["2017-07-14T02:40:00.5Z", "7"], &[], [1_500_000_000_500_000, 7_000_000], "times: seconds"),
        (["1500000000", "7"], &["--time-unit", "ms"], [1_500_000_000_000, 7000], ""),
    ] {
        for is_bulk in [true, false] {
            let cli = Cli::new();
            cli.write("e.csv", format!("user,song,time\n1,a,{}\n1,b,{}\n", times[0], times[1]));
            if !is_bulk {
                with_a_node(&cli);
            }
            let ran = cli.run(&[&["import", "s", "--edges", "e.csv"], flags].concat());
            assert_eq!(ran.code, 0, "{}", ran.err);
            assert_eq!(ran.err.contains("times:"), !said.is_empty(), "{}", ran.err);
            assert!(ran.err.contains(said), "{}", ran.err);
            let found: Vec<Value> = linked(&cli, "user:1").iter().map(|row| row[2].clone()).collect();
            assert_eq!(found, expected.map(Value::from), "{times:?} {flags:?}");
            let since = cli.json(&["neighbors", "s", "user:1", "--since", "2001-01-01"]);
            assert_eq!(since.as_array().expect("rows").len(), usize::from(expected[0] > 978_307_200_000_000));
        }
    }
}

/// The row that tells the unit stands megabytes before a row that would tell another one, in a block that another thread reads.
#[test]
fn blocks_that_are_read_at_the_same_time_agree_about_the_unit() {
    let cli = Cli::new();
    let mut text = "user,song,time\n0,a,1500000000\n".to_owned();
    for user in 1..120_000 {
        writeln!(text, "{user},a{},", user % 7).expect("text");
    }
    cli.write("e.csv", text + "x,a,1500000000000\n");
    cli.ok(&["import", "s", "--edges", "e.csv"]);
    assert_eq!(linked(&cli, "user:x")[0][2], json!(1_500_000_000_000_000_000_i64));
}

#[test]
fn a_followed_file_has_the_same_unit_after_a_restart() {
    let cli = Cli::new();
    let line = |user: u32, time: &str| format!("+,user:{user},song:a,1,{time}\n");
    cli.write("u.csv", line(0, "") + &line(1, "1500000000000"));
    let words = ["u.csv", "--linger", "0"];
    follow(&cli, &words, 2);
    cli.write("u.csv", line(0, "") + &line(1, "1500000000000") + &line(2, "7"));
    follow(&cli, &words, 1);
    assert_eq!(linked(&cli, "user:2")[0][2], json!(7000));
}

/// Opinions of a user about songs.
const RATINGS: &str = "user,song,stars,event\n\
    1,a,5,\n\
    1,b,2.5,\n\
    1,c,3,\n\
    1,d,,buy\n\
    1,e,,view\n\
    1,b,4,\n\
    1,a,1,\n";

const RULES: [&str; 4] = [
    "--weight-map",
    "stars < 3: dislike, stars < 4: 0.5, event = buy: 3, event = view: skip",
    "--repeat",
    "last",
];

#[test]
fn rules_turn_ratings_and_events_into_weights_and_dislikes() {
    let mut jsonl = String::new();
    for line in RATINGS.lines().skip(1) {
        let fields: Vec<&str> = line.split(',').collect();
        let stars = if fields[2].is_empty() { "null" } else { fields[2] };
        let (song, event) = (fields[1], fields[3]);
        let row = format!("{{\"user\":1,\"song\":\"{song}\",\"stars\":{stars},\"event\":\"{event}\"}}");
        writeln!(jsonl, "{row}").expect("text");
    }
    for (file, text) in [("e.csv", RATINGS), ("e.jsonl", jsonl.as_str())] {
        let ends = ["--src", "user=user", "--dst", "song=song"];
        for is_bulk in [true, false] {
            let cli = Cli::new();
            cli.write(file, text);
            if !is_bulk {
                with_a_node(&cli);
            }
            let words = [&["import", "s", "--edges", file, "--output", "json"][..], &ends, &RULES].concat();
            let ran = cli.run(&words);
            assert!(ran.err.contains("2 dislikes, 1 row skipped"), "{}", ran.err);
            let report: Value = serde_json::from_str(&ran.out).expect("a report");
            assert_eq!((&report["dislikes"], &report["skipped"]), (&json!(2), &json!(1)));
            let mut found = linked(&cli, "user:1");
            found.sort_by_key(|row| (row[0].to_string(), row[3].to_string()));
            let like = |song: &str, weight: f64| json!([song, weight, null, "song-user"]);
            let dislike = |song: &str| json!([song, 1.0, null, "song-user-dislike"]);
            let mut expected =
                vec![dislike("song:a"), like("song:b", 1.0), like("song:c", 0.5), like("song:d", 3.0)];
            if is_bulk {
                // A load keeps both opinions of a pair.
                expected.insert(0, like("song:a", 1.0));
                expected.insert(3, dislike("song:b"));
            }
            assert_eq!(found, expected, "{file} {is_bulk}");
        }
        // The same rows as a stream.
        let cli = Cli::new();
        cli.write(file, text);
        cli.ok(&[&["apply", "s", file][..], &ends, &RULES].concat());
        assert_eq!(linked(&cli, "user:1").len(), 4, "{file}");
        // An export brings the meaning of a relation along.
        cli.ok(&["export", "s", "e"]);
        cli.ok(&["import", "t", "--from", "e"]);
        assert_eq!(cli.ok(&["dump", "t"]).contains("dislike"), cli.ok(&["dump", "s"]).contains("dislike"));
    }
}

#[test]
fn a_click_log_is_followed_as_it_is() {
    let cli = Cli::new();
    let click = |user: u32, item: u32, event: &str, at: u64| {
        format!("{{\"uid\":{user},\"iid\":\"{item}\",\"event\":\"{event}\",\"ts\":{at},\"agent\":\"x\"}}\n")
    };
    cli.write("log.jsonl", click(1, 7, "view", 1_500_000_000_000) + &click(1, 7, "buy", 1_500_000_001_000));
    let flags =
        ["--src", "user=uid", "--dst", "item=iid", "--relation-column", "event", "--time-column", "ts"];
    let words = [&["log.jsonl", "--linger", "0"][..], &flags].concat();
    follow(&cli, &words, 2);
    let more = "{\"op\":\"remove\",\"uid\":1,\"iid\":7,\"event\":\"view\"}\n\
        {\"op\":\"set\",\"node\":\"item:7\",\"price\":3}\n";
    cli.write("log.jsonl", cli.read("log.jsonl") + more + &click(2, 7, "buy", 5));
    follow(&cli, &words, 3);
    let found = linked(&cli, "item:7");
    assert_eq!(
        found,
        [json!(["user:1", 1.0, 1_500_000_001_000_000_u64, "buy"]), json!(["user:2", 1.0, 5000, "buy"])]
    );
}

#[test]
fn a_followed_csv_with_a_header_goes_on_behind_a_restart() {
    let cli = Cli::new();
    cli.write("log.csv", "at,who,what\n2024-03-01,1,7\n");
    let flags = ["--src", "user=who", "--dst", "item=what", "--time-column", "at", "--repeat", "count"];
    let words = [&["log.csv", "--linger", "0"][..], &flags].concat();
    for line in ["", "2024-03-02,1,7\n"] {
        cli.write("log.csv", cli.read("log.csv") + line);
        follow(&cli, &words, 1);
    }
    assert_eq!(linked(&cli, "user:1"), [json!(["item:7", 2.0, 1_709_337_600_000_000_u64, "item-user"])]);
}

#[test]
fn a_relation_with_a_half_life_needs_times() {
    for is_bulk in [true, false] {
        let cli = Cli::new();
        if !is_bulk {
            with_a_node(&cli);
        }
        cli.write("e.csv", "a,b,relation,time\n1,2,near,7\n1,3,near,8\n");
        let import = ["import", "s", "--edges", "e.csv", "--half-life", "30d"];
        cli.ok(&[&import[..], &["--relation-column", "relation"]].concat());
        assert!(cli.ok(&["dump", "s"]).contains("half-life"), "{}", cli.ok(&["dump", "s"]));
        // An edge without a time is refused where it stands, also without the flag.
        cli.write("e.csv", "a,b,relation,time\n1,4,near,\n");
        for words in [&import[..], &import[..4]] {
            let problem =
                "e.csv:2:5: found no time, expected one, because the weights of near have a half-life";
            cli.fails(words, 5, problem);
        }
        // A relation of the store keeps its half-life.
        cli.write("e.csv", "a,b,time\n1,4,9\n");
        let near = ["import", "s", "--edges", "e.csv", "--relation", "near", "--half-life", "4w"];
        cli.fails(&near, 5, "near has another half-life in the store, or none");
        // Rows that name their relations may add to those that the store has.
        cli.write("e.csv", "a,b,relation,time\n1,4,near,9\n1,4,far,9\n");
        cli.ok(&["import", "s", "--edges", "e.csv", "--relation-column", "relation", "--half-life", "4w"]);
    }
}

/// A store of an earlier version has seconds, which the command wrote into it.
#[test]
fn a_store_of_before_keeps_seconds_until_it_is_exported_and_imported() {
    let cli = Cli::new();
    unpack("store-1", &cli.path("s"));
    cli.ok(&["link", "s", "user:new", "pin:new", "--time", "1500000000123"]);
    let day = cli.json(&["neighbors", "s", "user:new", "--since", "2017-07-14"])[0]["time"].clone();
    assert_eq!(day, json!(1_500_000_000_000_000_u64));
    let checked = cli.run(&["check", "s"]);
    assert!(checked.err.contains("times are seconds, as an earlier version stored them"), "{}", checked.err);
    cli.ok(&["export", "s", "e", "--format", "jsonl"]);
    cli.ok(&["import", "t", "--from", "e"]);
    assert_eq!(cli.json(&["neighbors", "t", "user:new"])[0]["time"], day);
    let checked = cli.run(&["check", "t"]);
    assert!(!checked.err.contains("seconds"), "{}", checked.err);
}

/// The times of edges and of a property are read against the clock, and only a question does so.
#[test]
#[expect(clippy::disallowed_methods, reason = "the command reads the clock, so the test has to")]
fn only_new_asks_for_items_of_the_last_days() {
    let cli = Cli::new();
    let now =
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970").as_secs();
    let day = |ago: u64| now - ago * 86_400;
    // Films 0 to 5 came a year ago. Films 6 to 8 came 3 days ago; the property says that film 7 is old.
    let mut edges = String::from("user,film,time\n");
    for user in 0..6 {
        for film in (0..9).filter(|film| (user + film) % 3 != 0) {
            writeln!(edges, "{user},{film},{}", day(if film < 6 { 365 } else { 3 })).expect("written");
        }
    }
    cli.write("e.csv", &edges);
    cli.ok(&["import", "s", "--edges", "e.csv"]);
    let films = format!("film,released\n6,{}\n7,{}\n8,{}\n", day(1), day(900), day(2));
    cli.write("f.csv", &films);
    cli.ok(&["import", "s", "--nodes", "f.csv", "--kind", "film", "--props", "released:time"]);
    cli.ok(&["train", "s", "--target", "film", "--dim", "8", "--epochs", "1", "--ids", "on"]);
    let answers = |flags: &[&str]| -> Vec<String> {
        let words = [&["recommend", "s", "user:0", "-k", "9", "--include-seen"], flags].concat();
        let answer = cli.json(&words);
        let items = answer["items"].as_array().expect("items").iter();
        let mut nodes: Vec<String> =
            items.map(|item| item["node"].as_str().expect("a name").to_owned()).collect();
        nodes.sort();
        nodes
    };
    assert_eq!(answers(&["--only-new", "7d"]), ["film:6", "film:7", "film:8"]);
    assert_eq!(answers(&["--only-new", "7d", "--new-by", "released"]), ["film:6", "film:8"]);
    assert_eq!(answers(&["--only-new", "1h"]), Vec::<String>::new());
    assert!(answers(&[]).len() > 3);
    cli.fails(&["recommend", "s", "user:0", "--only-new", "soon"], 2, "expected a whole number with a unit");
    cli.fails(
        &["recommend", "s", "user:0", "--only-new", "7d", "--new-by", "relesed"],
        5,
        "found relesed, expected a property of type time",
    );
}

//! Files of well-known forms, each imported by one command: data sets, exports of other graph databases, JSON.

use serde_json::{Value, json};

use super::Cli;

/// The neighbors of a node, with weight, time and relation.
fn linked(cli: &Cli, node: &str) -> Vec<(String, f64, Value, String)> {
    let found = cli.json(&["neighbors", "s", node]);
    let row = |row: &Value| {
        let text = |name: &str| row[name].as_str().expect("text").to_owned();
        (text("node"), row["weight"].as_f64().expect("a number"), row["time"].clone(), text("relation"))
    };
    found.as_array().expect("rows").iter().map(row).collect()
}

fn edge(node: &str, weight: f64, time: Value, relation: &str) -> (String, f64, Value, String) {
    (node.to_owned(), weight, time, relation.to_owned())
}

/// The tokens of a node in the output of `dump`.
fn tokens(cli: &Cli, node: &str) -> Vec<String> {
    let start = format!("token {node} ");
    let dumped = cli.ok(&["dump", "s"]);
    dumped.lines().filter_map(|line| line.strip_prefix(&start)).map(str::to_owned).collect()
}

#[test]
fn movielens_with_headers() {
    let cli = Cli::new();
    cli.write(
        "movies.csv",
        "movieId,title,genres\n1,\"Toy Story, (1995)\",Animation|Comedy\n2,Heat,(no genres listed)\n",
    );
    cli.write("ratings.csv", "userId,movieId,rating,timestamp\n1,1,4.0,964982703\n1,2,0.5,964981247\n");
    cli.ok(&["import", "s", "--nodes", "movies.csv", "--kind", "movie", "--tokens", "title,genres"]);
    cli.ok(&[
        "import",
        "s",
        "--edges",
        "ratings.csv",
        "--src",
        "user",
        "--dst",
        "movie",
        "--weight-column",
        "rating",
    ]);
    let expected = [
        edge("movie:1", 4.0, json!(964_982_703_000_000_u64), "movie-user"),
        edge("movie:2", 0.5, json!(964_981_247_000_000_u64), "movie-user"),
    ];
    let mut found = linked(&cli, "user:1");
    found.sort_by(|a, b| a.0.cmp(&b.0));
    assert_eq!(found, expected);
    assert_eq!(
        tokens(&cli, "movie:1"),
        ["genres=animation", "genres=comedy", "title=1995", "title=story", "title=toy"]
    );
}

/// 100K: tabs and no header; 1M: two colons and no header, quotes and commas in titles.
#[test]
fn movielens_of_old_without_headers() {
    let cli = Cli::new();
    cli.write("u.data", "196\t242\t3\t881250949\n196\t302\t5\t891717742\n");
    let names = ["--columns", "user,movie,rating,timestamp", "--weight-column", "rating"];
    cli.ok(&[&["import", "s", "--edges", "u.data"][..], &names].concat());
    assert_eq!(
        linked(&cli, "movie:242"),
        [edge("user:196", 3.0, json!(881_250_949_000_000_u64), "movie-user")]
    );
    cli.write("ratings.dat", "1::1193::5::978300760\r\n2::1193::4::978302109\r\n");
    cli.ok(&[&["import", "s", "--edges", "ratings.dat"][..], &names].concat());
    assert_eq!(
        linked(&cli, "user:2"),
        [edge("movie:1193", 4.0, json!(978_302_109_000_000_u64), "movie-user")]
    );
    cli.write("movies.dat", "1193::\"One\" Flew, Over::Drama|War\n3::Heat::Action\n");
    let nodes = ["--kind", "movie", "--columns", "id,title,genre", "--tokens", "title,genre"];
    cli.ok(&[&["import", "s", "--nodes", "movies.dat"][..], &nodes].concat());
    assert_eq!(
        tokens(&cli, "movie:1193"),
        ["genre=drama", "genre=war", "title=flew", "title=one", "title=over"]
    );
    // The message about a row with another number of fields names the flag, not a header.
    cli.write("bad.dat", "1::2::3::4\n1::2\n");
    cli.fails(
        &[&["import", "s", "--edges", "bad.dat"][..], &names].concat(),
        5,
        "expected 4 as in --columns",
    );
}

#[test]
fn lightgcn_lists() {
    let cli = Cli::new();
    cli.write("train.txt", "0 0 1 2\n1 2\n2\n");
    let flags = ["--format", "adjacency", "--src", "user", "--dst", "item"];
    let imported = cli.json(&[&["import", "s", "--edges", "train.txt"][..], &flags].concat());
    assert_eq!((&imported["nodes"], &imported["edges"]), (&json!(6), &json!(4)));
}

#[test]
fn snap_edge_lists_with_tabs_or_spaces() {
    let comments = "# Directed graph: web-Google.txt \n# Nodes: 3 Edges: 2\n# FromNodeId\tToNodeId\n";
    for (rows, name) in [("0\t11342\n0\t8\n", "tabs"), ("0 11342\n0  8 \n", "spaces")] {
        let cli = Cli::new();
        cli.write("web.txt", format!("{comments}{rows}"));
        let words = ["import", "s", "--edges", "web.txt", "--columns", "page,page", "--comment", "#"];
        assert_eq!(cli.json(&words)["edges"], json!(2), "{name}");
        let mut found: Vec<String> = linked(&cli, "page:0").into_iter().map(|edge| edge.0).collect();
        found.sort();
        assert_eq!(found, ["page:11342", "page:8"], "{name}");
        // A store that holds something takes them in batches.
        assert_eq!(cli.json(&words)["edges"], json!(0), "{name}");
        cli.fails(&["import", "s", "--edges", "web.txt"], 5, "--comment '#' passes over such lines");
        cli.write("bad.txt", format!("{comments}{rows}7\n"));
        let bad = ["import", "s", "--edges", "bad.txt", "--columns", "page,page", "--comment", "#"];
        cli.fails(&bad, 5, "bad.txt:6:2: found 1 fields, expected 2 as in --columns");
    }
}

#[test]
fn neo4j_headers_say_what_the_columns_are() {
    let cli = Cli::new();
    cli.write(
        "movies.csv",
        "movieId:ID,title,year:int,:LABEL\ntt1,\"The Matrix\",1999,Movie\ntt2,Heat,1995,Movie;Crime\n",
    );
    cli.write(
        "roles.csv",
        ":START_ID,role,since:long,:END_ID,:TYPE\nkeanu,Neo,922924800,tt1,ACTED_IN\nal,,,tt2,\n",
    );
    cli.ok(&["import", "s", "--nodes", "movies.csv", "--tokens", "title,year"]);
    assert_eq!(tokens(&cli, "Movie:tt1"), ["title=matrix", "title=the", "year=1999"]);
    let words = [
        "import",
        "s",
        "--edges",
        "roles.csv",
        "--src",
        "Person",
        "--dst",
        "Movie",
        "--time-column",
        "since",
    ];
    let ran = cli.run(&words);
    assert!(ran.code == 0 && ran.err.contains("columns not imported: role ("), "{}", ran.err);
    assert_eq!(
        linked(&cli, "Person:keanu"),
        [edge("Movie:tt1", 1.0, json!(922_924_800_000_000_u64), "ACTED_IN")]
    );
    // An edge without a type gets the relation of its kinds.
    assert_eq!(linked(&cli, "Person:al"), [edge("Movie:tt2", 1.0, Value::Null, "Movie-Person")]);
    cli.fails(
        &["import", "s", "--edges", "roles.csv"],
        5,
        "roles.csv:1:1: :START_ID names no kind: give --src KIND",
    );
}

#[test]
fn neo4j_groups_of_ids_are_kinds() {
    let cli = Cli::new();
    cli.write("people.csv", "name,:ID(Person)\nKeanu,keanu\n");
    cli.write("roles.csv", ":START_ID(Person),:END_ID(Movie)\nkeanu,tt1\n");
    cli.ok(&["import", "s", "--nodes", "people.csv", "--tokens", "name"]);
    cli.ok(&["import", "s", "--edges", "roles.csv"]);
    assert_eq!(tokens(&cli, "Person:keanu"), ["name=keanu"]);
    assert_eq!(linked(&cli, "Person:keanu")[0].0, "Movie:tt1");
}

#[test]
fn kuzu_exports() {
    let cli = Cli::new();
    cli.write("user.csv", "a.name,a.age\nAdam,30\n\"Karissa, B\",40\n");
    cli.write("follows.csv", "a.name,b.name,f.since\nAdam,\"Karissa, B\",2020-01-02\n");
    cli.ok(&["import", "s", "--nodes", "user.csv", "--kind", "user", "--tokens", "a.age"]);
    let words =
        ["import", "s", "--edges", "follows.csv", "--src", "user", "--dst", "user", "--relation", "follows"];
    cli.ok(&[&words[..], &["--time-column", "f.since"]].concat());
    assert_eq!(
        linked(&cli, "user:Adam"),
        [edge("user:Karissa, B", 1.0, json!(1_577_923_200_000_000_u64), "follows")]
    );
}

#[test]
fn reviews_of_amazon_old_and_new() {
    let cli = Cli::new();
    cli.write(
        "reviews.json",
        "{\"reviewerID\": \"A1\", \"asin\": \"B01\", \"helpful\": [0, 0], \"overall\": 4.5, \"unixReviewTime\": 1370390400}\n",
    );
    cli.write("new.jsonl", "{\"rating\": 3.0, \"user_id\": \"A2\", \"parent_asin\": \"B01\", \"timestamp\": 1588687728923, \"images\": []}\n");
    cli.ok(&[
        "import",
        "s",
        "--edges",
        "reviews.json",
        "--src",
        "user=reviewerID",
        "--dst",
        "item=asin",
        "--time-column",
        "unixReviewTime",
        "--weight-column",
        "overall",
    ]);
    cli.ok(&[
        "import",
        "s",
        "--edges",
        "new.jsonl",
        "--src",
        "user=user_id",
        "--dst",
        "item=parent_asin",
        "--weight",
        "rating",
        "--time",
        "timestamp",
    ]);
    assert_eq!(
        linked(&cli, "user:A1"),
        [edge("item:B01", 4.5, json!(1_370_390_400_000_000_u64), "item-user")]
    );
    assert_eq!(
        linked(&cli, "user:A2"),
        [edge("item:B01", 3.0, json!(1_588_687_728_923_000_u64), "item-user")]
    );
    cli.write("meta.json", "{\"asin\": \"B01\", \"title\": \"Red Lamp\", \"categories\": [[\"Home\", \"Lamps & Light\"], []], \"price\": 3.5, \"brand\": null}\n");
    cli.ok(&[
        "import",
        "s",
        "--nodes",
        "meta.json",
        "--kind",
        "item",
        "--key",
        "asin",
        "--tokens",
        "title,categories,price,brand",
    ]);
    assert_eq!(
        tokens(&cli, "item:B01"),
        ["categories=home", "categories=lamps & light", "price=3.5", "title=lamp", "title=red"]
    );
}

#[test]
fn an_object_that_lacks_what_a_flag_names_is_refused_with_its_place() {
    let cli = Cli::with_lamps();
    let before = cli.stats();
    let words = [
        "import",
        "s",
        "--edges",
        "r.json",
        "--src",
        "user=who",
        "--dst",
        "item=what",
        "--weight-column",
        "stars",
    ];
    for (line, message) in [
        ("{\"what\":\"1\"}", "r.json:1:1: the field \"who\" is missing, expected a key"),
        ("{\"who\":1.5,\"what\":\"1\"}", "r.json:1:2: found \"1.5\", expected a key: text or a whole number"),
        ("{\"who\":1,\"what\":2}", "the field \"stars\" is missing, expected it as the flag names it"),
        ("{\"who\":1,\"what\":2,\"stars\":\"many\"}", "r.json:1:19: found \"\"many\"\", expected a number"),
        ("{\"who\":1,\"what\":2,\"stars\":0}", "r.json:1:19: invalid weight"),
        ("{\"who\":1,\"what\":2,\"stars\":1,\"time\":1.5}", "expected a time"),
    ] {
        cli.write("r.json", line);
        cli.fails(&words, 5, message);
        assert_eq!(cli.stats(), before, "{line}");
    }
    cli.write("n.jsonl", "{\"key\":\"1\",\"tags\":{\"a\":1}}\n");
    cli.fails(
        &["import", "s", "--nodes", "n.jsonl", "--kind", "lamp", "--tokens", "tags"],
        5,
        "n.jsonl:1:12: found",
    );
    cli.fails(&["import", "s", "--nodes", "n.jsonl"], 2, "give --kind KIND, or --kind-column COL");
}

/// Skipped rows are written unchanged; a file without a header gets none.
#[test]
fn bad_rows_without_a_header_are_set_aside_too() {
    let cli = Cli::new();
    cli.write("e.txt", "# c\n1 2\n3\n4 5\n");
    let words = ["import", "s", "--edges", "e.txt", "--columns", "a,b", "--comment", "#"];
    let skip = ["--on-error", "skip", "--rejects", "bad.txt"];
    let imported = cli.json(&[&words[..], &skip].concat());
    assert_eq!((&imported["edges"], &imported["rejected"]), (&json!(2), &json!(1)));
    assert_eq!(cli.read("bad.txt"), "3\n");
    // The file of rejects must not overwrite the input.
    cli.fails(
        &[&words[..], &["--on-error", "skip", "--rejects", "e.txt"]].concat(),
        1,
        "e.txt is there already",
    );
}

#[test]
fn columns_can_be_in_any_order_and_separated_by_anything() {
    let cli = Cli::new();
    cli.write("e.txt", "when^who^what^how\n5^u1^i1^2\n");
    let flags =
        ["--separator", "^", "--src", "user=who", "--dst", "item=what", "--time", "when", "--weight", "how"];
    cli.ok(&[&["import", "s", "--edges", "e.txt"][..], &flags].concat());
    assert_eq!(linked(&cli, "user:u1"), [edge("item:i1", 2.0, json!(5_000_000), "item-user")]);
    cli.write("w.csv", "a,b,kind\npin:1,board:2,near\n");
    let flags = ["--src", "*=a", "--dst", "*=b", "--relation-column", "kind"];
    cli.ok(&[&["import", "s", "--edges", "w.csv"][..], &flags].concat());
    assert_eq!(linked(&cli, "pin:1"), [edge("board:2", 1.0, Value::Null, "near")]);
    cli.fails(
        &["import", "s", "--edges", "w.csv", "--src", "x=a", "--dst", "y=a"],
        5,
        "both of the column a",
    );
    cli.fails(
        &["import", "s", "--edges", "w.csv", "--src", "x=c"],
        5,
        "the header has no column \"c\", it has a, b, kind",
    );
    cli.fails(&["import", "s", "--edges", "w.csv", "--separator", "ab"], 2, "expected comma, tab");
    cli.fails(&["import", "s", "--edges", "w.csv", "--columns", "a"], 2, "an edge has two ends");
    cli.fails(&["import", "s", "--edges", "w.csv", "--kind", "x"], 2, "cannot be used with");
    cli.fails(&["import", "s", "--nodes", "w.csv", "--src", "x"], 2, "cannot be used with");
    cli.fails(&["import", "s", "--from", "w", "--columns", "a,b"], 2, "cannot be used with");
}

//! Promise: properties of nodes come from files and streams with their types, are shown beside nodes, and filter answers.

use serde_json::{Value, json};

use super::Cli;

const FILMS: &str = "id,title,price,in_stock,released,genres,plays\n\
    1,Toy Story,4.5,yes,1995-11-22,Animation|Comedy,10\n\
    2,\"Jumanji, the film\",,no,1995-12-15,Adventure,\n\
    3,Heat,12,,,Action|Crime,7\n";
const PROPERTIES: &str = "title,price,in_stock,released,genres,plays";

/// A store `s` with the three films as nodes with properties.
fn with_films() -> Cli {
    let cli = Cli::new();
    cli.write("films.csv", FILMS);
    import(&cli, "s", "films.csv", PROPERTIES);
    cli
}

fn import(cli: &Cli, store: &str, file: &str, properties: &str) -> Value {
    let words = ["import", store, "--nodes", file, "--kind", "film", "--props", properties];
    cli.json(&[&words[..], &["--label", "title"]].concat())
}

/// The fields of `show` for a film.
fn film(cli: &Cli, store: &str, key: &str) -> Value {
    cli.json(&["show", store, &format!("film:{key}")])["properties"].clone()
}

/// A trained store `s` whose pins have a title, a price of their number, and whether it is even.
fn trained() -> Cli {
    let cli = Cli::trained();
    let rows = (0..120).map(|pin| format!("{pin},Pin no. {pin},{pin},{}\n", pin % 2 == 0));
    cli.write("pins.csv", format!("id,title,price,is_even\n{}", rows.collect::<String>()));
    let words = ["import", "s", "--nodes", "pins.csv", "--kind", "pin", "--props", "title,price:f64,is_even"];
    cli.ok(&[&words[..], &["--label", "title"]].concat());
    cli
}

#[test]
fn a_file_gives_each_property_its_type() {
    let cli = Cli::new();
    cli.write("films.csv", FILMS);
    let words = ["import", "s", "--nodes", "films.csv", "--kind", "film", "--props", PROPERTIES];
    let imported = cli.run(&words);
    assert!(imported.code == 0, "{}", imported.err);
    let types = "properties: title text, price f64, in_stock bool, released time, genres list, plays i64";
    assert!(imported.err.contains(types), "{}", imported.err);
    let toy_story = json!({"title": "Toy Story", "price": 4.5, "in_stock": true,
        "released": "1995-11-22T00:00:00Z", "genres": ["Animation", "Comedy"], "plays": 10});
    assert_eq!(film(&cli, "s", "1"), toy_story);
    let jumanji = json!({"title": "Jumanji, the film", "in_stock": false,
        "released": "1995-12-15T00:00:00Z", "genres": ["Adventure"]});
    assert_eq!(film(&cli, "s", "2"), jumanji);
    // A first row without values, and a column without any.
    cli.write("empty.csv", "id,price,note\n5,,\n6,1.5,\n");
    for store in ["s", "new"] {
        cli.ok(&["import", store, "--nodes", "empty.csv", "--kind", "film", "--props", "price,note:time"]);
        assert_eq!((film(&cli, store, "5"), film(&cli, store, "6")), (json!({}), json!({"price": 1.5})));
    }
    // The same from JSON lines, and into a store that holds something, by way of the log.
    let rows = "{\"key\":1,\"title\":\"Toy Story\",\"price\":4.5,\"in_stock\":true,\"released\":\"1995-11-22\",\"genres\":[\"Animation\",\"Comedy\"],\"plays\":10}\n\
        {\"key\":\"2\",\"title\":\"Jumanji, the film\",\"price\":null,\"in_stock\":false,\"released\":\"1995-12-15\",\"genres\":\"Adventure\"}\n\
        {\"key\":3,\"title\":\"Heat\",\"price\":12,\"genres\":[\"Action\",\"Crime\"],\"plays\":7}\n";
    cli.write("films.jsonl", rows);
    cli.write("edges.csv", "user,film\n1,1\n1,9\n");
    cli.ok(&["import", "other", "--edges", "edges.csv"]);
    import(&cli, "other", "films.jsonl", PROPERTIES);
    for key in ["1", "2", "3"] {
        assert_eq!(film(&cli, "other", key), film(&cli, "s", key));
    }
    assert_eq!(film(&cli, "other", "9"), json!({}));
}

/// A file that comes again replaces what it has: an empty field removes a value, and columns that it lacks stay.
#[test]
fn a_later_file_replaces_the_values_that_it_has() {
    let cli = with_films();
    cli.write("prices.csv", "id,price,in_stock\n1,5,\n3,,no\n4,1,yes\n");
    import(&cli, "s", "prices.csv", "price,in_stock");
    assert_eq!(film(&cli, "s", "1")["price"], json!(5.0));
    assert_eq!(film(&cli, "s", "1")["in_stock"], Value::Null);
    assert_eq!(film(&cli, "s", "1")["title"], json!("Toy Story"));
    assert_eq!(
        film(&cli, "s", "3"),
        json!({"title": "Heat", "in_stock": false, "genres": ["Action", "Crime"], "plays": 7})
    );
    assert_eq!(film(&cli, "s", "4"), json!({"price": 1.0, "in_stock": true}));
}

#[test]
fn a_value_of_another_form_is_refused_with_its_place() {
    let cli = Cli::new();
    cli.write("films.csv", "id,price,year\n1,4.5,1995\n2,5,1996\n3,cheap,1997\n4,6,1998\n");
    let words = ["import", "s", "--nodes", "films.csv", "--kind", "film", "--props", "price:f64,year:i64"];
    // In an empty store the rows before it stay.
    cli.fails(&words, 5, "films.csv:4:3: found \"cheap\", expected a finite number; 2 nodes before it were committed, go on from line 4");
    assert_eq!(film(&cli, "s", "2"), json!({"price": 5.0, "year": 1996}));
    cli.fails(&["show", "s", "film:3"], 1, "no node film:3");
    // Elsewhere those of complete batches stay.
    cli.fails(&words, 5, "0 nodes before it were committed, go on from line 2");
    // The row goes to the rejects, and the others into the store.
    let skip = ["--on-error", "skip", "--rejects", "rejects.csv"];
    let imported = cli.json(&[&words[..], &skip].concat());
    assert_eq!((&imported["nodes"], &imported["rejected"]), (&json!(1), &json!(1)));
    assert_eq!(cli.read("rejects.csv"), "id,price,year\n3,cheap,1997\n");
    assert_eq!(film(&cli, "s", "4"), json!({"price": 6.0, "year": 1998}));
    for (properties, code, problem) in [
        ("price:money", 2, "expected text, i64, f64, bool, time or list"),
        ("cost", 5, "the header has no column \"cost\", it has id, price, year"),
        ("price:text", 2, "the store has this property with type f64"),
    ] {
        let words = ["import", "s", "--nodes", "films.csv", "--kind", "film", "--props", properties];
        cli.fails(&words, code, problem);
    }
    let label = ["import", "s", "--nodes", "films.csv", "--kind", "film", "--label", "title"];
    cli.fails(&label, 2, "--label title names no property");
}

#[test]
fn words_are_split_at_the_given_separator_and_lose_punctuation() {
    let cli = Cli::new();
    cli.write("films.csv", "id;mood\n1;\"Slow burn, (dark)\"\n");
    let words = [
        "import",
        "s",
        "--nodes",
        "films.csv",
        "--kind",
        "film",
        "--tokens",
        "mood",
        "--token-separator",
        ",",
    ];
    cli.ok(&words);
    assert_eq!(cli.json(&["show", "s", "film:1"])["tokens"], json!(["mood=dark", "mood=slow burn"]));
}

#[test]
fn a_stream_sets_and_removes_properties_without_making_anything_dirty() {
    let cli = trained();
    let before = cli.json(&["digest", "s"])["digest"].clone();
    cli.write(
        "ops.jsonl",
        "{\"op\":\"set\",\"node\":\"pin:1\",\"price\":4,\"title\":null,\"tags\":[\"a\",\"b\"]}\n\
        {\"op\":\"set\",\"node\":\"pin:2\",\"is_even\":false}\n",
    );
    cli.ok(&["apply", "s", "ops.jsonl", "--refresh", "none"]);
    assert_eq!(
        cli.json(&["show", "s", "pin:1"])["properties"],
        json!({"price": 4.0, "is_even": false, "tags": ["a", "b"]})
    );
    let stats = cli.json(&["stats", "s"]);
    assert_eq!(stats["dirty_nodes"], json!(0));
    assert_eq!(cli.json(&["refresh", "s", "--full", "--verify"])["differed"], json!(false));
    assert_eq!(cli.json(&["digest", "s"])["digest"], before);
    for (line, problem) in [
        ("{\"op\":\"set\",\"price\":4}", "the field \"node\" is missing"),
        ("{\"op\":\"set\",\"node\":\"pin:1\",\"price\":{}}", "expected"),
        ("{\"op\":\"set\",\"node\":\"pin:1\",\"no name\":1}", "invalid property"),
        (
            "{\"op\":\"set\",\"node\":\"pin:1\",\"price\":\"cheap\"}",
            "property price of kind pin has type f64",
        ),
        ("{\"op\":\"put\",\"node\":\"pin:1\"}", "expected \"add\", \"remove\" or \"set\""),
    ] {
        cli.write("bad.jsonl", format!("{line}\n"));
        let failed = cli.run(&["apply", "s", "bad.jsonl", "--refresh", "none"]);
        assert!(failed.code != 0 && failed.err.contains(problem), "{line}: {}", failed.err);
    }
}

#[test]
fn answers_show_properties_and_in_tables_the_label() {
    let cli = trained();
    for words in [
        &["similar", "s", "pin:3"][..],
        &["recommend", "s", "board:0"],
        &["neighbors", "s", "board:0"],
        &["neighborhood", "s", "pin:3"],
        &["walk", "s", "pin:3"],
    ] {
        let rows = |more: &[&str]| {
            let answer = cli.json(&[words, &["-k", "3"], more].concat());
            answer.get("items").unwrap_or(&answer).as_array().expect("rows").clone()
        };
        for row in rows(&["--show", "title,price"]) {
            let key = row["node"].as_str().expect("a name").strip_prefix("pin:").expect("a pin").to_owned();
            let price: f64 = key.parse().expect("a number");
            assert_eq!(row["properties"], json!({"title": format!("Pin no. {key}"), "price": price}));
        }
        assert!(rows(&[]).iter().all(|row| row.get("properties").is_none() && row.get("label").is_none()));
        let text = |more: &[&str]| cli.ok(&[words, &["-k", "3"], more].concat());
        assert!(!text(&[]).contains("Pin no."), "scripts get no other columns than before");
        assert!(text(&["--output", "table"]).contains("Pin no."));
        assert!(!text(&["--output", "table", "--show", "price"]).contains("Pin no."));
        cli.fails(
            &[words, &["--show", "prize"]].concat(),
            2,
            "--show prize: no kind has this property; there are is_even, price, title",
        );
    }
    let explained = cli.ok(&["similar", "s", "pin:3", "-k", "1", "--explain", "--output", "table"]);
    assert!(explained.contains("pin:3 (Pin no. 3)"), "{explained}");
    // Many answers have them too.
    cli.write("pins.txt", "pin:3\npin:4\n");
    let many = cli.ok(&["similar", "s", "--queries", "pins.txt", "-k", "2", "--show", "title"]);
    assert!(many.lines().count() == 4 && many.lines().all(|line| line.contains("\tPin no. ")), "{many}");
}

#[test]
fn a_filter_admits_by_properties_and_says_what_no_node_has() {
    let cli = trained();
    let keys = |filter: &str| -> Vec<usize> {
        let answer = cli.json(&["similar", "s", "pin:3", "-k", "1000", "--where", filter]);
        let items = answer["items"].as_array().expect("items").clone();
        let key = |item: &Value| item["node"].as_str()?.strip_prefix("pin:")?.parse().ok();
        let mut keys: Vec<usize> = items.iter().map(|item| key(item).expect("a pin")).collect();
        keys.sort_unstable();
        keys
    };
    assert_eq!(keys("price < 6 and is_even"), [0, 2, 4]);
    assert_eq!(keys("title = 'pin no. 7'".replace('\'', "\"").as_str()), [7]);
    assert_eq!(keys("title ~ \"NO. 11\" and not is_even"), [11, 111, 113, 115, 117, 119]);
    let notes = |filter: &str| {
        let answered = cli.run(&["similar", "s", "pin:3", "--where", filter]);
        assert!(answered.code == 0, "{}", answered.err);
        answered.err
    };
    assert!(notes("titel = x").contains("no node has a property or tokens titel; did you mean title?"));
    assert!(notes("title = \"Pin no. 500\"").contains("no node has title = Pin no. 500"));
    assert!(notes("title = \"Pin no 7\"").contains("did you mean Pin no. 7"));
    assert!(notes("title ~ train").contains("no node has a title that contains train"));
    assert!(notes("unheard").contains("no node has the token unheard"));
    cli.write("tags.csv", "id,tag\n3,jazz\n");
    cli.ok(&["import", "s", "--nodes", "tags.csv", "--kind", "pin", "--tokens", "tag"]);
    assert!(notes("tag = Jazz").contains("no node has tag = Jazz; did you mean jazz?"));
    assert!(!notes("tag = jazz").contains("no node has"));
    assert!(!notes("price < 0").contains("no node has"));
    cli.fails(
        &["similar", "s", "pin:3", "--where", "prize < 5"],
        5,
        "kind pin has no property prize, it has title, price, is_even",
    );
    cli.fails(&["similar", "s", "pin:3", "--where", "price <"], 2, "invalid filter at character 8");
}

#[test]
fn show_prints_all_that_is_known_of_a_node() {
    let cli = Cli::new();
    cli.write("films.csv", FILMS);
    cli.ok(&[
        "import",
        "s",
        "--nodes",
        "films.csv",
        "--kind",
        "film",
        "--props",
        "title,price",
        "--tokens",
        "genres",
        "--label",
        "title",
    ]);
    cli.write("edges.csv", "user,film\n1,1\n2,1\n");
    cli.ok(&["import", "s", "--edges", "edges.csv"]);
    let shown = cli.json(&["show", "s", "film:1"]);
    let expected = json!({"node": "film:1", "label": "Toy Story", "properties": {"title": "Toy Story", "price": 4.5},
        "tokens": ["genres=animation", "genres=comedy"], "dense": {}, "edges": {"film-user": 2}, "dirty": false,
        "epoch": shown["epoch"]});
    assert_eq!(shown, expected);
    let text = cli.ok(&["show", "s", "film:1"]);
    assert!(text.contains("properties.price\t4.5\n") && text.contains("edges.film-user\t2\n"), "{text}");
    cli.fails(&["show", "s", "film:77"], 1, "film:77");
}

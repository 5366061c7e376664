//! Promise: `report` writes one complete page that agrees with the store, makes no requests, and treats no name as markup.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use super::{Cli, skip};

/// A key that would end its element and run a script.
const EVIL: &str = "</script><img src=x onerror=alert(1)>";

impl Cli {
    /// The text of a page, and the data in it.
    fn page(&self, words: &[&str]) -> (String, Value) {
        self.ok(&[&["report", "s", "page.html", "--force"], words].concat());
        let page = self.read("page.html");
        let data = page.split_once("id=\"data\">").and_then(|(_, rest)| rest.split_once("</script>"));
        let data = serde_json::from_str(data.expect("data in the page").0).expect("JSON");
        (page, data)
    }
}

#[test]
fn a_page_makes_no_requests_and_equal_stores_give_equal_pages() {
    let cli = Cli::trained();
    let (page, _) = cli.page(&[]);
    for word in ["http://", "https://", "<link", "src=", "url(", "@import", "import(", "fetch(", "innerHTML"]
    {
        let found = page.replace("http://www.w3.org/2000/svg", "");
        assert!(!found.contains(word), "{word}");
    }
    assert!(page.contains("default-src 'none'; style-src 'sha256-"), "the policy forbids the rest");
    assert_eq!(cli.page(&[]).0, page);
}

#[test]
fn a_page_agrees_with_the_store() {
    let cli = Cli::trained();
    for pin in ["pin:1", "pin:2"] {
        cli.ok(&["link", "s", "board:new", pin]);
        cli.ok(&["refresh", "s"]);
    }
    let answer = cli.json(&["report", "s", "out.html"]);
    let (page, data) = cli.page(&["--points", "50"]);
    assert_eq!((&answer["file"], &answer["points"]), (&json!("out.html"), &json!(120)));
    assert_eq!(answer["bytes"], json!(cli.read("out.html").len()));
    assert!(page.len() < 5_000_000);

    let stats = cli.stats();
    let summary = &data["summary"];
    for name in ["epoch", "generation", "embedded", "dirty_nodes"] {
        assert_eq!(summary[name], stats[name], "{name}");
    }
    assert_eq!(data["degrees"][1]["nodes"], stats["nodes"]["pin"]);
    assert_eq!(
        data["degrees"][1]["at_least"][0],
        json!([1, 120 - data["degrees"][1]["alone"].as_u64().expect("a count")])
    );
    assert_eq!(summary["relations"][0]["edges"], stats["edges"]["board-pin"]);

    assert_eq!(
        (&data["curve"]["kept"], data["curve"]["epochs"].as_array().map(Vec::len)),
        (&json!(1), Some(1))
    );
    let refreshes = data["refreshes"].as_array().expect("refreshes");
    assert_eq!((refreshes.len(), &refreshes[1]["epoch"]), (2, &stats["epoch"]));

    let name = |place: &Value| {
        let node = &data["named"]["nodes"][place.as_u64().expect("a place") as usize];
        let kind = &data["named"]["kinds"][node[0].as_u64().expect("a kind") as usize];
        format!("{}:{}", kind.as_str().expect("a kind"), node[1].as_str().expect("a key"))
    };
    let names = |list: &Value| -> Vec<String> {
        list.as_array().expect("a list").iter().map(|entry| name(&entry[0])).collect()
    };
    let asked = |words: &[&str]| -> Vec<String> {
        let items = cli.json(words);
        let items = items.get("items").unwrap_or(&items).as_array().expect("items").clone();
        items.iter().map(|item| item["node"].as_str().expect("a name").to_owned()).collect()
    };
    let point = &data["map"]["points"][0];
    assert_eq!(data["map"]["points"].as_array().map(Vec::len), Some(50));
    assert_eq!(names(&point[3]), asked(&["similar", "s", &name(&point[0]), "-k", "8", "--cosine"]));
    let item = &data["items"][0];
    let node = name(&item["node"]);
    assert_eq!(names(&item["model"]), asked(&["similar", "s", &node]));
    assert_eq!(names(&item["walks"]), asked(&["walk", "s", &node]));
    assert_eq!(names(&item["neighborhood"]), asked(&["neighborhood", "s", &node, "-k", "50"]));
    assert!(data["cosines"]["pairs"].as_u64() > Some(1000) && data["cosines"]["kurtosis"].is_f64());
}

/// ```text
/// hall -- a, b      attic -- b, c        b and a share one room of two and one: 1 / sqrt(2)
/// ```
#[test]
fn without_a_model_a_page_shows_the_graph_only() {
    let cli = Cli::with_lamps();
    let ran = cli.run(&["report", "s", "out.html"]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(ran.err.contains("hedgerow train STORE --target KIND"), "{}", ran.err);
    let (_, data) = cli.page(&[]);
    assert_eq!((&data["map"], &data["cosines"], &data["curve"]), (&Value::Null, &Value::Null, &Value::Null));
    let places: Vec<&Value> = data["items"].as_array().expect("items").iter().collect();
    let key = |place: &Value| data["named"]["nodes"][place.as_u64().expect("a place") as usize][1].clone();
    let b = places.iter().find(|item| key(&item["node"]) == "b").expect("the most linked lamp");
    assert_eq!((&b["model"], &b["shared"][0][1]), (&Value::Null, &json!(0.707)));
}

#[test]
fn a_store_without_nodes_has_a_page() {
    let cli = Cli::with_lamps();
    for node in ["room:hall", "room:attic", "lamp:a", "lamp:b", "lamp:c"] {
        cli.ok(&["remove", "s", node]);
    }
    let (_, data) = cli.page(&[]);
    assert_eq!((&data["summary"]["nodes"], &data["items"]), (&json!(0), &json!([])));
}

#[test]
fn no_name_becomes_markup() {
    let cli = Cli::with_lamps();
    cli.write("evil.jsonl", format!("{}\n", json!({"src": format!("room:{EVIL}"), "dst": "lamp:a"})));
    cli.ok(&["import", "s", "--edges", "evil.jsonl", "--format", "jsonl"]);
    let (page, data) = cli.page(&[]);
    assert!(!page.contains("<img"), "the key ends the data");
    assert!(data["named"]["nodes"].as_array().expect("nodes").iter().any(|node| node[1] == EVIL));
}

#[test]
fn a_page_is_written_completely_or_not_at_all_and_replaces_a_file_with_force_only() {
    let cli = Cli::with_lamps();
    cli.write("out.html", "mine");
    cli.fails(&["report", "s", "out.html"], 1, "out.html exists already: name another file, or add --force");
    assert_eq!(cli.read("out.html"), "mine");
    cli.ok(&["report", "s", "out.html", "--force"]);
    assert!(cli.read("out.html").starts_with("<!doctype html>"));
    cli.fails(&["report", "s", "s", "--force"], 1, "is not a plain file");
    cli.fails(&["report", "s", "nowhere/out.html"], 1, "cannot write nowhere/out.html");
    cli.fails(&["report", "nowhere", "new.html"], 3, "no store at nowhere");
    cli.fails(&["report", "s", "new.html", "--points", "0"], 2, "1..=4000");
    assert!(!cli.path("new.html").exists());
    let left = std::fs::read_dir(cli.folder()).expect("the folder").flatten();
    assert_eq!(
        left.filter(|entry| entry.file_name().to_string_lossy().contains("hedgerow-report")).count(),
        0
    );
}

/// The browser of this machine, if one is installed.
fn browser() -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let names = ["chromium", "chromium-browser", "google-chrome"];
    std::env::split_paths(&path)
        .flat_map(|folder| names.map(|name| folder.join(name)))
        .find(|path| path.is_file())
}

/// The page after its script has run.
fn shown(browser: &Path, cli: &Cli, file: &str) -> String {
    let mut command = Command::new(browser);
    command.args([
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--virtual-time-budget=5000",
        "--dump-dom",
    ]);
    command.arg(format!("--user-data-dir={}", cli.path("profile").display()));
    let output = command.arg(format!("file://{}", cli.path(file).display())).output();
    String::from_utf8(output.expect("the browser starts").stdout).expect("UTF-8")
}

#[test]
fn a_browser_draws_the_page_and_follows_clicks() {
    let Some(browser) = browser() else {
        skip("no chromium or google-chrome is on the path");
        return;
    };
    let cli = Cli::trained();
    cli.write("evil.jsonl", format!("{}\n", json!({"src": format!("board:{EVIL}"), "dst": "pin:1"})));
    cli.ok(&["import", "s", "--edges", "evil.jsonl", "--format", "jsonl"]);
    cli.ok(&["refresh", "s"]);
    let (page, _) = cli.page(&[]);
    let drawn = shown(&browser, &cli, "page.html");
    for id in
        ["summary", "sizes", "training", "map", "lists", "neighborhood", "cosines", "refreshes", "about"]
    {
        assert!(
            drawn.contains(&format!("<section id=\"{id}\">")),
            "{id} is missing: the policy stopped the script?"
        );
    }
    assert!(drawn.matches("class=\"point ").count() >= 120, "a point for each pin");

    // The policy forbids other scripts, so the clicks run in a copy of the page without it.
    let clicks = "<script>{
        const at = (query) => document.querySelector(query);
        const map = at('svg.map');
        const key = (name) => map.dispatchEvent(new KeyboardEvent('keydown', { key: name }));
        key('ArrowRight'); key('ArrowRight'); key('Enter');
        const nearest = document.querySelectorAll('#nearest li').length;
        at('#nearest button').click();
        const rings = document.querySelectorAll('.ring').length;
        const lists = at('#lists select');
        lists.value = '1';
        lists.dispatchEvent(new Event('change'));
        const models = document.querySelectorAll('#lists ol').length;
        const search = at('input[type=search]');
        search.value = 'no such thing';
        search.dispatchEvent(new Event('input'));
        const faded = document.querySelectorAll('.faded').length;
        const wide = document.documentElement.scrollWidth > window.innerWidth;
        document.body.dataset.told = [nearest, rings > 0, models, faded, document.images.length, wide].join(' ');
        }</script>";
    let (before, rest) = page.split_once("<meta http-equiv").expect("a policy");
    let (_, rest) = rest.split_once('>').expect("its end");
    cli.write("clicked.html", format!("{before}{rest}").replace("</body>", &format!("{clicks}</body>")));
    let clicked = shown(&browser, &cli, "clicked.html");
    let told = clicked.split_once("data-told=\"").and_then(|(_, rest)| rest.split_once('"'));
    assert_eq!(told.expect("the clicks were made").0, "8 true 3 120 0 false");
}

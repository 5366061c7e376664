//! The console in a real terminal: keys are sent by tmux, and the screen is read back. Where tmux is not installed, each test
//! says that it is skipped; in CI it fails.
//!
//! A screen is waited for, however long it takes, and never looked at once after a while.

use std::fmt::Write as _;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::{Cli, skip};

/// Much longer than any step takes.
const PATIENCE: Duration = Duration::from_mins(1);
/// A training that takes longer than any test waits.
const LONG: &str = "train --target pin --dim 8 --epochs 100000 --patience 0 --held-out 50";
const PROMPT: &str = "hedgerow>";

/// A terminal with a console on store `s`. When the console has ended, its exit code is on the screen.
struct Terminal {
    /// The folder of the server's socket. A server that ends may keep it for a while.
    folder: TempDir,
}

impl Terminal {
    fn open(cli: &Cli, width: u16, settings: &str, flags: &str) -> Option<Self> {
        if Command::new("tmux").arg("-V").output().is_err() {
            skip("there is no tmux");
            return None;
        }
        let terminal = Self { folder: tempfile::tempdir().expect("a temporary folder") };
        let mut line = format!("cd '{}' && env -u NO_COLOR {settings} ", cli.folder().display());
        // Text that is typed after the end is shown and not run.
        write!(line, "HEDGEROW_HISTORY=history '{}' console s {flags}; ", env!("CARGO_BIN_EXE_hedgerow"))
            .expect("writing to a string");
        line += "echo \"ended with $?\"; stty -a; exec cat";
        let (width, height) = (width.to_string(), "50");
        let ran = terminal.tmux(&["new-session", "-d", "-x", &width, "-y", height, &line]);
        assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
        Some(terminal)
    }

    fn tmux(&self, words: &[&str]) -> Output {
        let mut command = Command::new("tmux");
        command
            .env_remove("TMUX")
            .args(["-u", "-f", "/dev/null", "-S"])
            .arg(self.folder.path().join("tmux"))
            .args(words);
        command.output().expect("tmux runs")
    }

    /// Presses keys, given by name.
    fn press(&self, keys: &[&str]) {
        assert!(self.tmux(&[&["send-keys"], keys].concat()).status.success());
    }

    /// Types a text without Enter.
    fn write(&self, text: &str) {
        assert!(self.tmux(&["send-keys", "-l", "--", text]).status.success());
    }

    /// Types a line.
    fn enter(&self, line: &str) {
        self.write(line);
        self.press(&["Enter"]);
    }

    /// Types a line, and waits until its command has ended.
    fn run(&self, typed: &str) {
        let prompts = |screen: &str| screen.lines().filter(|line| line.starts_with(PROMPT)).count();
        let before = prompts(&self.capture(&[]));
        self.enter(typed);
        self.wait(typed, |screen| prompts(screen) > before && line(screen) == Some(""));
    }

    /// Leaves the console, which closes the store.
    fn leave(self) {
        self.press(&["C-d"]);
        self.wait_for("ended with 0");
    }

    fn capture(&self, flags: &[&str]) -> String {
        let ran = self.tmux(&[&["capture-pane", "-p"], flags].concat());
        let text = String::from_utf8(ran.stdout).expect("a screen is UTF-8");
        text.trim_end().to_owned()
    }

    /// Waits until the screen is as expected, and returns it.
    fn wait(&self, what: &str, is_so: impl Fn(&str) -> bool) -> String {
        let since = Instant::now();
        loop {
            let screen = self.capture(&[]);
            if is_so(&screen) {
                return screen;
            }
            assert!(since.elapsed() < PATIENCE, "never {what}; the screen:\n{screen}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn wait_for(&self, text: &str) -> String {
        self.wait(text, |screen| screen.contains(text))
    }

    /// Waits until the last line is the prompt and this text.
    fn wait_for_line(&self, typed: &str) -> String {
        self.wait(typed, |screen| line(screen) == Some(typed.trim_end()))
    }

    /// Clears the screen.
    fn clear(&self) {
        self.press(&["C-l"]);
        self.wait("an empty screen", |screen| screen.lines().count() <= 1);
    }

    /// The process id of the console.
    fn console(&self) -> String {
        let shell = String::from_utf8(self.tmux(&["list-panes", "-F", "#{pane_pid}"]).stdout).expect("UTF-8");
        let ran = Command::new("pgrep").args(["-P", shell.trim()]).output().expect("there is pgrep");
        String::from_utf8(ran.stdout).expect("UTF-8").trim().to_owned()
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        self.tmux(&["kill-server"]);
    }
}

/// The text after the prompt on the last line of a screen.
fn line(screen: &str) -> Option<&str> {
    screen.lines().last().and_then(|last| last.strip_prefix(PROMPT)).map(str::trim)
}

/// A cut reason would be useless, so it is wrapped. Keys are cut to the width of the terminal.
#[test]
fn a_reason_is_wrapped_and_not_cut() {
    let cli = Cli::trained();
    let whole = cli.ok(&["similar", "s", "pin:1", "-k", "1", "--explain"]);
    let why = whole.trim_end().rsplit('\t').next().expect("the last column");
    assert!(why.len() > 60, "{why}");
    let Some(terminal) = Terminal::open(&cli, 60, "", "") else { return };
    terminal.wait_for_line("");
    terminal.clear();
    terminal.run("similar pin:1 -k 1 --explain");
    let screen = terminal.capture(&[]);
    let shown: Vec<&str> = screen.split_whitespace().filter(|word| *word != "\u{2502}").collect();
    for word in why.split_whitespace() {
        assert!(shown.contains(&word), "{word} of {why:?} is not in\n{screen}");
    }
    terminal.leave();
}

#[test]
fn the_greeting_lists_the_contents_of_the_store_and_a_command_to_try() {
    let cli = Cli::with_lamps();
    let Some(terminal) = Terminal::open(&cli, 80, "", "") else { return };
    let screen = terminal.wait_for_line("");
    for said in ["lamp 3, room 2", "lamp-room 4", "none yet", "walk lamp:b", "train --target lamp &"] {
        assert!(screen.contains(said), "{said} is not in\n{screen}");
    }
    terminal.leave();
    let cli = Cli::trained();
    let terminal = Terminal::open(&cli, 80, "", "").expect("tmux is there");
    let screen = terminal.wait_for_line("");
    assert!(screen.contains("generation 1 for pin, up to date"), "{screen}");
    let advice = screen.split('`').nth(1).expect("advice");
    assert!(advice.starts_with("similar pin:"), "{screen}");
    // The advised command works, and no line is longer than the terminal is wide.
    terminal.run(advice);
    terminal.wait_for("score");
    assert!(screen.lines().all(|line| line.chars().count() < 80), "{screen}");
    terminal.leave();
    cli.ok(&["link", "s", "pin:1", "board:2"]);
    let terminal = Terminal::open(&cli, 80, "", "").expect("tmux is there");
    let screen = terminal.wait_for_line("");
    assert!(
        screen.contains("2 nodes changed since") && screen.contains("`refresh`, then `similar pin:"),
        "{screen}"
    );
}

#[test]
fn tab_completes_verbs_flags_choices_kinds_and_keys() {
    let cli = Cli::trained();
    cli.ok(&["link", "s", "pin:1\u{1b}[2J x", "board:1"]);
    let Some(terminal) = Terminal::open(&cli, 120, "NO_COLOR=1", "") else { return };
    terminal.wait_for_line("");
    for (typed, completed) in [
        ("sim", "similar"),
        ("recommend bo", "recommend board:"),
        ("similar pin:11", "similar pin:11"),
        ("similar pin:119", "similar pin:119"),
        ("train --targ", "train --target"),
        ("train --target bo", "train --target board"),
        ("train --conv pi", "train --conv pinsage"),
        ("train --conv=pi", "train --conv=pinsage"),
        ("link pin:1 board:1 --rel", "link pin:1 board:1 --relation"),
        ("link pin:1 board:1 --relation b", "link pin:1 board:1 --relation board-pin"),
        ("similar pin:1 --output js", "similar pin:1 --output json"),
        ("walk pin:1 pin:2 b", "walk pin:1 pin:2 board:"),
        ("recommend --history pin:1,b", "recommend --history pin:1,board:"),
        (".ti", ".timer"),
        (".timer of", ".timer off"),
        (".help simi", ".help similar"),
        ("neighbors 'pin:1\\x1b", "neighbors 'pin:1\\x1b"),
    ] {
        terminal.write(typed);
        terminal.wait_for_line(typed);
        terminal.press(&["Tab"]);
        // The mark after the cursor shows that Tab was handled, also if it adds nothing.
        terminal.write("|");
        terminal.wait(completed, |screen| {
            line(screen).and_then(|line| line.strip_suffix('|')).map(str::trim_end) == Some(completed)
        });
        terminal.press(&["C-u"]);
        terminal.wait_for_line("");
    }
    // A second Tab lists the candidates, with control characters escaped.
    terminal.write("similar pin:1");
    terminal.press(&["Tab", "Tab"]);
    terminal.wait_for("pin:1\\x1b[2J x");
    terminal.wait_for("pin:119");
    terminal.press(&["C-u"]);
    // A completed key reads back as the same key.
    terminal.write("neighbors pin:1\\");
    terminal.press(&["BSpace"]);
    terminal.press(&["C-u"]);
    terminal.enter("neighbors $'pin:1\\x1b[2J x'");
    terminal.wait_for("board:1 ");
}

#[test]
fn the_history_is_kept_for_the_next_console_and_searched() {
    let cli = Cli::with_lamps();
    let Some(terminal) = Terminal::open(&cli, 80, "NO_COLOR=1", "") else { return };
    terminal.wait_for_line("");
    terminal.run("neighbors lamp:b");
    terminal.run("stats");
    terminal.leave();
    let kept = cli.read("history");
    assert!(kept.contains("neighbors lamp:b") && kept.contains("stats"), "{kept}");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = cli.path("history").metadata().expect("a file").permissions().mode();
        assert_eq!(mode & 0o077, 0, "others may read it: {mode:o}");
    }
    let terminal = Terminal::open(&cli, 80, "NO_COLOR=1", "").expect("tmux is there");
    terminal.wait_for_line("");
    terminal.press(&["C-r"]);
    terminal.write("lamp");
    terminal.wait_for("`lamp': neighbors lamp:b");
    terminal.press(&["Enter"]);
    terminal.wait("the prompt again", |screen| screen.contains("room:attic") && line(screen) == Some(""));
    terminal.press(&["Up", "Up"]);
    terminal.wait_for_line("stats");
}

#[test]
fn ctrl_c_cancels_the_running_verb_and_never_ends_the_console() {
    let cli = Cli::trained();
    let Some(terminal) = Terminal::open(&cli, 120, "", "") else { return };
    terminal.wait_for_line("");
    terminal.enter(LONG);
    terminal.wait("a whole epoch", |screen| screen.contains("mean_cosine") && screen.contains("  1  "));
    terminal.press(&["C-c"]);
    terminal.wait("the prompt again", |screen| {
        screen.contains("`train --resume` continues from epoch") && line(screen) == Some("")
    });
    terminal.clear();
    terminal.enter(LONG);
    terminal.wait_for("positives");
    terminal.press(&["C-c", "C-c", "C-c"]);
    terminal.wait("the prompt again", |screen| screen.contains("error:") && line(screen) == Some(""));
    terminal.clear();
    // At the prompt Ctrl-C clears the line.
    terminal.write("neighbors pin:1 nonsense");
    terminal.wait_for("nonsense");
    terminal.press(&["C-c", "C-c"]);
    terminal.wait_for_line("");
    terminal.run("neighbors pin:1 -k");
    terminal.run("check --deep");
    terminal.wait_for("sound:");
    terminal.leave();
}

#[test]
fn the_end_of_a_job_is_reported_above_the_line_that_is_typed() {
    let cli = Cli::trained();
    let Some(terminal) = Terminal::open(&cli, 80, "NO_COLOR=1", "") else { return };
    terminal.wait_for_line("");
    terminal.enter("train --target pin --dim 8 --epochs 1 --held-out 50 &");
    terminal.write("similar pi");
    let screen = terminal.wait("its end", |screen| screen.contains("job 1 done after"));
    assert!(screen.contains("generation 2: 120 nodes embedded"), "{screen}");
    terminal.wait_for_line("similar pi");
    terminal.run("n:1 -k 1");
    terminal.clear();
    terminal.run(&format!("{LONG} &"));
    terminal.run("similar pin:1 -k 1");
    terminal.run("jobs");
    let screen = terminal.wait_for("running");
    assert!(screen.lines().all(|line| line.chars().count() <= 80), "{screen}");
    // The first Ctrl-D warns. Ctrl-C ends the wait and not the job.
    terminal.press(&["C-d"]);
    terminal.wait_for("job 2 is running: `wait 2` waits for it; leaving once more cancels it");
    terminal.enter("wait");
    terminal.wait_for("job 2  epoch");
    terminal.press(&["C-c"]);
    terminal
        .wait("the prompt again", |screen| screen.contains("job 2 continues") && line(screen) == Some(""));
    terminal.enter("cancel 2");
    terminal.wait("its end", |screen| screen.contains("job 2 cancelled after") && line(screen) == Some(""));
    terminal.clear();
    terminal.run(&format!("{LONG} &"));
    terminal.press(&["C-d"]);
    terminal.wait_for("leaving once more cancels it");
    terminal.press(&["C-d"]);
    let screen = terminal.wait_for("ended with 0");
    assert!(screen.contains("job 3 cancelled after"), "{screen}");
    drop(terminal);
    cli.ok(&["check", "s", "--deep"]);
}

#[test]
fn a_line_continues_within_quotes_and_after_a_backslash() {
    let cli = Cli::with_lamps();
    let Some(terminal) = Terminal::open(&cli, 80, "NO_COLOR=1", "") else { return };
    terminal.wait_for_line("");
    terminal.enter("neighbors \\");
    terminal.run("  lamp:a");
    terminal.wait_for("room:hall");
    terminal.clear();
    terminal.enter("link 'lamp:two");
    terminal.run("lines' room:hall");
    terminal.enter("neighbors room:hall");
    terminal.wait_for("lamp:two\\nlines");
}

/// Input that arrived together with a line end was lost, since each line was read into a new buffer.
#[test]
fn input_that_is_typed_ahead_is_not_lost() {
    let cli = Cli::with_lamps();
    let Some(terminal) = Terminal::open(&cli, 80, "NO_COLOR=1", "") else { return };
    terminal.wait_for_line("");
    terminal.press(&["neighbors lamp:a", "Enter", "neighbors lamp:c", "Enter", "stats &", "Enter", "sim"]);
    terminal.wait_for("job 1 done after");
    let screen = terminal.wait_for_line("sim");
    assert!(screen.contains("room:hall") && screen.contains("room:attic"), "{screen}");
}

#[test]
fn colors_and_hints_appear_only_on_terminals_with_color() {
    let cli = Cli::with_lamps();
    let colors = |terminal: &Terminal| terminal.capture(&["-e"]).contains("\u{1b}[");
    for (settings, wanted) in [("", true), ("NO_COLOR=1", false), ("TERM=dumb", false)] {
        let Some(terminal) = Terminal::open(&cli, 80, settings, "") else { return };
        terminal.wait_for_line("");
        terminal.run("neighbors lamp:nowhere");
        terminal.run("neighbors room:hall");
        assert_eq!(colors(&terminal), wanted, "{settings}");
        if wanted {
            // The missing arguments, and the rest of a line from the history.
            terminal.write("link ");
            terminal.wait_for("hedgerow> link A B");
            terminal.press(&["C-u"]);
            terminal.write("neighbors room");
            terminal.wait_for("hedgerow> neighbors room:hall");
            terminal.press(&["Right"]);
            terminal.write(" --since 0");
            terminal.wait_for_line("neighbors room:hall --since 0");
        }
        terminal.press(&["C-u"]);
        terminal.leave();
    }
}

#[test]
fn wide_values_are_cut_to_the_terminal() {
    let cli = Cli::with_lamps();
    let key = "a key of many words ".repeat(10);
    cli.ok(&["link", "s", &format!("lamp:{key}"), "room:hall"]);
    for width in [80, 120] {
        let Some(terminal) = Terminal::open(&cli, width, "NO_COLOR=1", "") else { return };
        terminal.wait_for_line("");
        terminal.run("neighbors room:hall");
        let screen = terminal.capture(&[]);
        let row = screen.lines().find(|line| line.contains("a key of many")).expect("the row");
        assert!(row.contains('\u{2026}') && row.contains("lamp-room"), "{screen}");
        assert_eq!(row.chars().count(), usize::from(width), "{screen}");
        // The column is filled.
        assert!(row.matches("a key of many words").count() >= usize::from(width) / 40, "{screen}");
        assert_eq!(screen.lines().filter(|line| line.contains("key of")).count(), 1, "{screen}");
        // In a file the key is not cut.
        terminal.run(&format!(".output {width}.txt"));
        terminal.run("neighbors room:hall");
        terminal.run(".output");
        assert!(cli.read(&format!("{width}.txt")).contains(&key));
        terminal.leave();
    }
}

#[test]
fn sigterm_ends_the_console_and_restores_the_terminal() {
    let cli = Cli::trained();
    let Some(terminal) = Terminal::open(&cli, 80, "", "") else { return };
    terminal.wait_for_line("");
    terminal.run(&format!("{LONG} &"));
    terminal.write("simi");
    terminal.wait("what is typed", |screen| line(screen).is_some_and(|line| line.starts_with("simi")));
    let told = Command::new("kill").args(["-TERM", &terminal.console()]).status();
    assert!(told.expect("there is a kill command").success());
    terminal.wait_for("ended with 130");
    // The settings of the terminal as stty prints them, one word each.
    let screen = terminal.wait_for("echoke");
    let modes: Vec<&str> = screen.split_whitespace().collect();
    assert!(["icanon", "echo", "echoctl", "icrnl"].iter().all(|mode| modes.contains(mode)), "{screen}");
    drop(terminal);
    cli.ok(&["check", "s", "--deep"]);
}

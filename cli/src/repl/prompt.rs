//! The prompt of a terminal: edits lines, keeps their history, and passes them to the console.

use std::borrow::Cow;
use std::io::{self, IsTerminal};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustyline::completion::{Completer, FilenameCompleter, Pair};
use rustyline::config::Configurer;
use rustyline::error::ReadlineError;
use rustyline::highlight::{CmdKind, Highlighter};
use rustyline::hint::Hinter;
use rustyline::history::DefaultHistory;
use rustyline::validate::{ValidationContext, ValidationResult, Validator};
use rustyline::{Behavior, ColorMode, CompletionType, Config, Context, Editor, Helper};

use crate::core::escape::escaped;
use crate::core::failure::Failure;
use crate::core::interrupt;
use crate::output::color;
use crate::output::color::{HINT, PROMPT, painted};
use crate::repl::completion::{Candidate, Completion};
use crate::repl::console::Console;
use crate::repl::hints;
use crate::repl::hints::LineHint;
use crate::repl::history;
use crate::repl::jobs::Jobs;
use crate::repl::shell_split::{Line, typed};
use crate::repl::terminal::Terminal;
use crate::session::properties::short;

/// The most lines of history.
const HISTORY: usize = 10_000;
/// The longest command that goes on in another line, in bytes.
const COMMAND_LIMIT: usize = 1 << 16;
const PROMPT_TEXT: &str = "hedgerow> ";

/// The helper of the line editor: completion, hints and colors.
struct EditorHelper {
    completion: Completion,
    files: FilenameCompleter,
    has_color: bool,
}

/// Runs lines until the user leaves. A line that fails prints its error, and the next is read.
pub(super) fn run(console: &mut Console<'_>) -> Result<(), Failure> {
    let terminal = Arc::new(Terminal::configure());
    let leaving = Arc::new(AtomicBool::new(false));
    leave_on_signals(console.jobs(), &leaving, &terminal);
    let ran = console.greet().and_then(|()| read_lines(console, &leaving));
    terminal.restore();
    ran
}

fn read_lines(console: &mut Console<'_>, leaving: &AtomicBool) -> Result<(), Failure> {
    let mut editor = editor(console)?;
    let history = history::file();
    if let Some(file) = &history {
        // The first console has no file yet. Without one the history ends with the console.
        editor.load_history(file).ok();
    }
    let mut was_warned = false;
    while !console.is_leaving() && !leaving.load(Ordering::SeqCst) {
        // Read a line. Jobs that end meanwhile print above it.
        console.jobs().prompt_begins(console.out())?;
        let line = editor.readline(PROMPT_TEXT);
        console.jobs().prompt_ends();
        // Run it, or leave.
        match line {
            Ok(line) => {
                remember(&mut editor, &line, history.as_deref());
                match console.run(&line) {
                    Ok(()) => {}
                    Err(Failure::Closed) => return Err(Failure::Closed),
                    Err(failure) => console.out().failure(&failure),
                }
                was_warned &= console.is_leaving();
            }
            Err(ReadlineError::Interrupted) => was_warned = false,
            Err(ReadlineError::Eof) => console.leave(),
            Err(error) => return Err(Failure::Refused(format!("cannot read from the terminal: {error}"))),
        }
        // With running jobs, leave at the second request only.
        let running = console.jobs().numbers();
        if console.is_leaving() && !running.is_empty() && !std::mem::replace(&mut was_warned, true) {
            console.stay(&running);
        }
    }
    console.end_jobs()?;
    if leaving.load(Ordering::SeqCst) {
        return Err(Failure::Interrupted("a signal ended the console".to_owned()));
    }
    Ok(())
}

fn editor(console: &Console<'_>) -> Result<Editor<EditorHelper, DefaultHistory>, Failure> {
    let failed = |error| Failure::Refused(format!("cannot read from the terminal: {error}"));
    // If standard output is not a terminal, the prompt still appears on the terminal.
    let behavior = if io::stdout().is_terminal() { Behavior::Stdio } else { Behavior::PreferTerm };
    let has_color = color::allowed(&io::stdin());
    let config = Config::builder()
        .completion_type(CompletionType::List)
        .history_ignore_space(true)
        .color_mode(if has_color { ColorMode::Forced } else { ColorMode::Disabled })
        .behavior(behavior)
        .build();
    let mut editor = Editor::<EditorHelper, DefaultHistory>::with_config(config).map_err(failed)?;
    editor.set_max_history_size(HISTORY).map_err(failed)?;
    let completion = console.completion();
    editor.set_helper(Some(EditorHelper { completion, files: FilenameCompleter::new(), has_color }));
    // A dumb terminal has no printer. There a job reports its end before the next prompt.
    if let Ok(printer) = editor.create_external_printer() {
        console.jobs().print_by(printer);
    }
    Ok(editor)
}

fn remember(editor: &mut Editor<EditorHelper, DefaultHistory>, line: &str, file: Option<&Path>) {
    // A line runs also if the history cannot be written.
    editor.add_history_entry(line).ok();
    if let Some(file) = file {
        editor.append_history(file).ok();
    }
}

/// Makes SIGTERM and SIGHUP cancel everything that runs, and leave the console as Ctrl-D does.
fn leave_on_signals(jobs: &Arc<Jobs>, leaving: &Arc<AtomicBool>, terminal: &Arc<Terminal>) {
    let (jobs, leaving, terminal) = (Arc::clone(jobs), Arc::clone(leaving), Arc::clone(terminal));
    interrupt::survive(move || {
        let is_second = leaving.swap(true, Ordering::SeqCst);
        jobs.cancel_all();
        // The editor waits for a key, and a verb may wait for input: neither notices, so the process ends here.
        if jobs.is_prompting() || is_second {
            if !is_second {
                jobs.wait_quietly();
            }
            terminal.restore();
            Terminal::leave_line();
            std::process::exit(interrupt::INTERRUPTED.into());
        }
    });
}

impl Helper for EditorHelper {}

impl Completer for EditorHelper {
    type Candidate = Pair;

    fn complete(&self, line: &str, pos: usize, ctx: &Context<'_>) -> rustyline::Result<(usize, Vec<Pair>)> {
        let offer = self.completion.offer(&line[..pos]);
        if offer.files {
            return self.files.complete(line, pos, ctx);
        }
        let pair = |Candidate { word, is_complete, label }: &Candidate| {
            let replacement = if *is_complete { format!("{} ", typed(word)) } else { typed(word) };
            let label = label.as_ref().map_or_else(String::new, |label| format!(" ({})", short(label)));
            Pair { display: escaped(word) + &label, replacement }
        };
        let mut pairs: Vec<Pair> = offer.words.iter().map(pair).collect();
        if offer.is_cut {
            // An entry for the candidates that are cut: the editor then inserts no prefix of the shown ones.
            pairs.push(Pair { display: "...".to_owned(), replacement: line[offer.start..pos].to_owned() });
        }
        Ok((offer.start, pairs))
    }
}

impl Hinter for EditorHelper {
    type Hint = LineHint;

    fn hint(&self, line: &str, pos: usize, ctx: &Context<'_>) -> Option<LineHint> {
        // Without colors a hint would look like typed text.
        if self.has_color { hints::hint(&self.completion, line, pos, ctx) } else { None }
    }
}

impl Highlighter for EditorHelper {
    fn highlight_prompt<'b, 's: 'b, 'p: 'b>(&'s self, prompt: &'p str, _default: bool) -> Cow<'b, str> {
        Cow::Owned(painted(prompt, PROMPT, self.has_color))
    }

    fn highlight_hint<'h>(&self, hint: &'h str) -> Cow<'h, str> {
        Cow::Owned(painted(hint, HINT, self.has_color))
    }

    fn highlight_char(&self, _line: &str, _pos: usize, _kind: CmdKind) -> bool {
        false
    }
}

impl Validator for EditorHelper {
    fn validate(&self, ctx: &mut ValidationContext<'_>) -> rustyline::Result<ValidationResult> {
        // The editor passes all lines of a command again with each one.
        let is_short = ctx.input().len() <= COMMAND_LIMIT;
        let is_unfinished = is_short && Line::split(ctx.input()).is_unfinished;
        Ok(if is_unfinished { ValidationResult::Incomplete } else { ValidationResult::Valid(None) })
    }
}

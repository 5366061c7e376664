//! The prompt of a terminal: edits lines, keeps their history, and hands them to the session until the user leaves.

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
use crate::repl::completion::{Completion, Offered};
use crate::repl::console::Console;
use crate::repl::hints;
use crate::repl::hints::VerbHint;
use crate::repl::history;
use crate::repl::jobs::Jobs;
use crate::repl::shell_split::{Line, typed};
use crate::repl::terminal::Terminal;

/// Lines of history that are kept.
const HISTORY: usize = 10_000;
const WORDS: &str = "hedgerow> ";

/// What helps whoever types.
struct Help {
    completion: Completion,
    files: FilenameCompleter,
    is_painted: bool,
}

/// Asks for commands until the user leaves; a command that fails says so and the next is asked for.
pub(super) fn talk(console: &mut Console<'_>) -> Result<(), Failure> {
    let terminal = Arc::new(Terminal::take());
    let leaving = Arc::new(AtomicBool::new(false));
    leave_on_signals(console.jobs(), &leaving, &terminal);
    let talked = console.greet().and_then(|()| converse(console, &leaving));
    terminal.give_back();
    talked
}

fn converse(console: &mut Console<'_>, leaving: &AtomicBool) -> Result<(), Failure> {
    let mut editor = editor(console)?;
    let history = history::file();
    if let Some(file) = &history {
        // The first console has none yet; without one the history lives as long as the console.
        editor.load_history(file).ok();
    }
    let mut is_told = false;
    while !console.is_leaving() && !leaving.load(Ordering::SeqCst) {
        console.jobs().prompt_begins(console.out())?;
        let line = editor.readline(WORDS);
        console.jobs().prompt_ends();
        match line {
            Ok(line) => {
                remember(&mut editor, &line, history.as_deref());
                match console.run(&line) {
                    Ok(()) => {}
                    Err(Failure::Closed) => return Err(Failure::Closed),
                    Err(failure) => console.out().failure(&failure),
                }
                is_told &= console.is_leaving();
            }
            Err(ReadlineError::Interrupted) => is_told = false,
            Err(ReadlineError::Eof) => console.leave(),
            Err(error) => return Err(Failure::Refused(format!("cannot read from the terminal: {error}"))),
        }
        let running = console.jobs().numbers();
        if console.is_leaving() && !running.is_empty() && !std::mem::replace(&mut is_told, true) {
            console.stay(&running);
        }
    }
    console.end_jobs()?;
    if leaving.load(Ordering::SeqCst) {
        return Err(Failure::Interrupted("a signal ended the console".to_owned()));
    }
    Ok(())
}

fn editor(console: &Console<'_>) -> Result<Editor<Help, DefaultHistory>, Failure> {
    let failed = |error| Failure::Refused(format!("cannot read from the terminal: {error}"));
    // Where results go elsewhere, the prompt is still for the terminal.
    let is_shown = io::stdout().is_terminal();
    let behavior = if is_shown { Behavior::Stdio } else { Behavior::PreferTerm };
    let is_painted = color::allowed(&io::stdin());
    let config = Config::builder()
        .completion_type(CompletionType::List)
        .history_ignore_space(true)
        .color_mode(if is_painted { ColorMode::Forced } else { ColorMode::Disabled })
        .behavior(behavior)
        .build();
    let mut editor = Editor::<Help, DefaultHistory>::with_config(config).map_err(failed)?;
    editor.set_max_history_size(HISTORY).map_err(failed)?;
    let completion = console.completion();
    editor.set_helper(Some(Help { completion, files: FilenameCompleter::new(), is_painted }));
    // A dumb terminal has none: there it is told before the next prompt.
    if let Ok(printer) = editor.create_external_printer() {
        console.jobs().print_by(printer);
    }
    Ok(editor)
}

fn remember(editor: &mut Editor<Help, DefaultHistory>, line: &str, file: Option<&Path>) {
    // What cannot be kept is no reason not to run what was typed.
    editor.add_history_entry(line).ok();
    if let Some(file) = file {
        editor.append_history(file).ok();
    }
}

/// What ends other processes cancels what runs here, and then has the console leave as Ctrl-D does.
fn leave_on_signals(jobs: &Arc<Jobs>, leaving: &Arc<AtomicBool>, terminal: &Arc<Terminal>) {
    let (jobs, leaving, terminal) = (Arc::clone(jobs), Arc::clone(leaving), Arc::clone(terminal));
    interrupt::survive(move || {
        let is_told_again = leaving.swap(true, Ordering::SeqCst);
        jobs.cancel_all();
        // Whoever waits for a key does not hear of it; nor does a verb that waits for bytes.
        if jobs.is_prompting() || is_told_again {
            if !is_told_again {
                jobs.wait_quietly();
            }
            terminal.give_back();
            Terminal::leave_line();
            std::process::exit(interrupt::INTERRUPTED.into());
        }
    });
}

impl Helper for Help {}

impl Completer for Help {
    type Candidate = Pair;

    fn complete(&self, line: &str, pos: usize, ctx: &Context<'_>) -> rustyline::Result<(usize, Vec<Pair>)> {
        let offer = self.completion.offer(&line[..pos]);
        if offer.files {
            return self.files.complete(line, pos, ctx);
        }
        let pair = |Offered { word, is_whole }: &Offered| {
            let replacement = if *is_whole { format!("{} ", typed(word)) } else { typed(word) };
            Pair { display: escaped(word), replacement }
        };
        let mut pairs: Vec<Pair> = offer.words.iter().map(pair).collect();
        if offer.is_cut {
            // Stands for all others, so that nothing is added which only the first ones have in common.
            pairs.push(Pair { display: "...".to_owned(), replacement: line[offer.start..pos].to_owned() });
        }
        Ok((offer.start, pairs))
    }
}

impl Hinter for Help {
    type Hint = VerbHint;

    fn hint(&self, line: &str, pos: usize, ctx: &Context<'_>) -> Option<VerbHint> {
        // Without a style a hint would look like what was typed.
        if self.is_painted { hints::hint(&self.completion, line, pos, ctx) } else { None }
    }
}

impl Highlighter for Help {
    fn highlight_prompt<'b, 's: 'b, 'p: 'b>(&'s self, prompt: &'p str, _default: bool) -> Cow<'b, str> {
        Cow::Owned(painted(prompt, PROMPT, self.is_painted))
    }

    fn highlight_hint<'h>(&self, hint: &'h str) -> Cow<'h, str> {
        Cow::Owned(painted(hint, HINT, self.is_painted))
    }

    fn highlight_char(&self, _line: &str, _pos: usize, _kind: CmdKind) -> bool {
        false
    }
}

impl Validator for Help {
    fn validate(&self, ctx: &mut ValidationContext<'_>) -> rustyline::Result<ValidationResult> {
        let is_unfinished = Line::cut(ctx.input()).is_unfinished;
        Ok(if is_unfinished { ValidationResult::Incomplete } else { ValidationResult::Valid(None) })
    }
}

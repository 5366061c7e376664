//! When text may be coloured, and in which styles: on a terminal only, never with `NO_COLOR` or on a dumb one.

use std::fmt::Display;
use std::io::IsTerminal;

use anstyle::{AnsiColor, Style};

/// What went wrong.
pub(crate) const ERROR: Style = AnsiColor::Red.on_default().bold();
/// What may go wrong.
pub(crate) const WARNING: Style = AnsiColor::Yellow.on_default().bold();
/// The names of columns.
pub(crate) const HEADER: Style = Style::new().bold();
/// What was not typed, but could be.
pub(crate) const HINT: Style = Style::new().dimmed();
/// The prompt.
pub(crate) const PROMPT: Style = AnsiColor::Green.on_default().bold();

/// Whether what is written to a stream of this process may hold colours.
pub(crate) fn allowed(stream: &impl IsTerminal) -> bool {
    let set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    stream.is_terminal() && !set("NO_COLOR") && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
}

/// Text in a style, where colours are allowed.
pub(crate) fn painted(text: impl Display, style: Style, allowed: bool) -> String {
    if allowed { format!("{style}{text}{style:#}") } else { text.to_string() }
}

//! Styles of text, and when they apply: on a terminal only, never with `NO_COLOR` or `TERM=dumb`.

use std::fmt::Display;
use std::io::IsTerminal;

use anstyle::{AnsiColor, Style};

/// The word `error:`.
pub(crate) const ERROR: Style = AnsiColor::Red.on_default().bold();
/// The word `warning:`.
pub(crate) const WARNING: Style = AnsiColor::Yellow.on_default().bold();
/// The names of columns.
pub(crate) const HEADER: Style = Style::new().bold();
/// A suggestion behind the cursor of the console.
pub(crate) const HINT: Style = Style::new().dimmed();
/// The prompt of the console.
pub(crate) const PROMPT: Style = AnsiColor::Green.on_default().bold();

/// True if text for this stream may have colors.
pub(crate) fn allowed(stream: &impl IsTerminal) -> bool {
    let is_set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    stream.is_terminal() && !is_set("NO_COLOR") && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
}

/// Text in a style, where colors are allowed.
pub(crate) fn painted(text: impl Display, style: Style, allowed: bool) -> String {
    if allowed { format!("{style}{text}{style:#}") } else { text.to_string() }
}

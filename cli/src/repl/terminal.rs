//! The terminal settings of a console. The line editor changes and restores its own settings.

#[cfg(unix)]
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};

/// The settings of the terminal before the console changed them.
pub(super) struct Terminal {
    #[cfg(unix)]
    before: Option<Termios>,
}

impl Terminal {
    /// Disables the echo of `^C`, which would shift the progress bar.
    #[cfg(unix)]
    pub(super) fn configure() -> Self {
        let before = tcgetattr(std::io::stdin()).ok();
        if let Some(mut settings) = before.clone() {
            settings.local_modes.remove(LocalModes::ECHOCTL);
            let _ = tcsetattr(std::io::stdin(), OptionalActions::Now, &settings);
        }
        Self { before }
    }

    #[cfg(not(unix))]
    pub(super) fn configure() -> Self {
        Self {}
    }

    /// Restores the settings.
    pub(super) fn restore(&self) {
        #[cfg(unix)]
        if let Some(before) = &self.before {
            let _ = tcsetattr(std::io::stdin(), OptionalActions::Now, before);
        }
    }

    /// Ends the line that is being edited, and turns off the bracketed paste of the editor.
    pub(super) fn leave_line() {
        use std::io::Write;
        // A closed terminal needs no reset.
        drop(std::io::stderr().write_all(b"\x1b[?2004l\r\n"));
    }
}

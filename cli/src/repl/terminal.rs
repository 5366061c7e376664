//! How the terminal is set while a console has it. Lines are edited by others, who set and reset what they need.

#[cfg(unix)]
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};

/// A terminal that a console has taken; how it was before.
pub(super) struct Terminal {
    #[cfg(unix)]
    before: Option<Termios>,
}

impl Terminal {
    /// Takes it: `^C` is not written where Ctrl-C is pressed, which would move what is drawn there.
    #[cfg(unix)]
    pub(super) fn take() -> Self {
        let before = tcgetattr(std::io::stdin()).ok();
        if let Some(mut ours) = before.clone() {
            ours.local_modes.remove(LocalModes::ECHOCTL);
            let _ = tcsetattr(std::io::stdin(), OptionalActions::Now, &ours);
        }
        Self { before }
    }

    #[cfg(not(unix))]
    pub(super) fn take() -> Self {
        Self {}
    }

    /// Sets it as it was.
    pub(super) fn give_back(&self) {
        #[cfg(unix)]
        if let Some(before) = &self.before {
            let _ = tcsetattr(std::io::stdin(), OptionalActions::Now, before);
        }
    }

    /// Leaves the line that was being edited, and what the editor asked for: that pasted text be marked.
    pub(super) fn leave_line() {
        use std::io::Write;
        // A terminal that is gone needs nothing.
        drop(std::io::stderr().write_all(b"\x1b[?2004l\r\n"));
    }
}

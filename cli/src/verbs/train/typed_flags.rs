//! The flags that were typed, without those that have their defaults.

use clap::parser::ValueSource;
use clap::{ArgMatches, Args, Command, FromArgMatches};

/// Names of flags, with underscores for hyphens.
#[derive(Clone, Debug, Default)]
pub(super) struct TypedFlags(Vec<String>);

impl TypedFlags {
    /// True if the flag of a training option was typed, or the flag that switches it off.
    pub(super) fn has(&self, option: &str) -> bool {
        self.0.iter().any(|flag| flag.strip_prefix("no_").unwrap_or(flag) == option)
    }
}

impl FromArgMatches for TypedFlags {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let typed = |id: &&clap::Id| matches.value_source(id.as_str()) == Some(ValueSource::CommandLine);
        Ok(Self(matches.ids().filter(typed).map(|id| id.as_str().to_owned()).collect()))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

/// No flags of its own: it only reads those of others.
impl Args for TypedFlags {
    fn augment_args(command: Command) -> Command {
        command
    }

    fn augment_args_for_update(command: Command) -> Command {
        command
    }
}

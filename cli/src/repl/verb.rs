//! `console`: opens the store once and hands over to the session.

use std::io::IsTerminal;
use std::path::PathBuf;

use clap::Args;

use crate::core::failure::Failure;
use crate::repl::session::Session;
use crate::session::context::Context;

/// What `console` is told.
#[derive(Args, Debug)]
pub(crate) struct ConsoleArgs {
    /// The store's folder
    #[arg(value_name = "STORE")]
    store: PathBuf,
    /// A command to run instead of asking for one; may be given several times. The first that fails is the last
    #[arg(short, long = "command", value_name = "CMD")]
    command: Vec<String>,
    /// A file of commands to run, one a line, until one fails; without it they come from standard input
    #[arg(short, long, value_name = "FILE", conflicts_with = "command")]
    file: Option<PathBuf>,
}

pub(crate) fn console(ctx: &mut Context, args: ConsoleArgs) -> Result<(), Failure> {
    if ctx.console {
        return Err(Failure::Usage("this is a console already".to_owned()));
    }
    ctx.store(&args.store)?;
    ctx.console = true;
    let mut session = Session::new(ctx, args.store);
    if !args.command.is_empty() {
        return session.run_all(&args.command);
    }
    if let Some(file) = args.file {
        return session.run_script(&file);
    }
    if std::io::stdin().is_terminal() {
        return session.talk();
    }
    session.run_script("-".as_ref())
}

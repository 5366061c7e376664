//! `dump`: everything in a store as lines of text.

use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use clap::Args;

use crate::core::failure::Failure;
use crate::output::target::OutputTarget;
use crate::session::context::Context;

/// The arguments of `dump`.
#[derive(Args, Debug)]
pub(crate) struct DumpArgs {
    /// The store's folder
    #[arg(value_name = "STORE")]
    store: PathBuf,
}

pub(crate) fn dump(ctx: &mut Context, args: DumpArgs) -> Result<(), Failure> {
    let store = ctx.store(&args.store)?;
    let mut lines = BufWriter::with_capacity(1 << 16, Results { target: ctx.out.target, failed: None });
    let dumped = store.dump(&mut lines, ctx.cancel());
    let flushed = lines.flush();
    if let Some(failure) = lines.get_mut().failed.take() {
        return Err(failure);
    }
    dumped?;
    flushed.map_err(|source| Failure::file(Path::new("standard output"), "write", source))
}

/// A writer to the output of the verb. It keeps the failure that an `io::Error` cannot carry.
struct Results {
    target: OutputTarget,
    failed: Option<Failure>,
}

impl Write for Results {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.target.write(bytes) {
            Ok(()) => Ok(bytes.len()),
            Err(failure) => {
                self.failed = Some(failure);
                Err(io::ErrorKind::Other.into())
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

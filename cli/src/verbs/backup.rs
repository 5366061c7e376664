//! `backup`: a copy of a store, which another process may be writing to.

use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use hedgerow::{ErrorKind, Store};

use crate::core::failure::Failure;
use crate::session::context::Context;

/// The arguments of `backup`.
#[derive(Args, Debug)]
pub(crate) struct BackupArgs {
    /// The store's folder; another process may be writing to it
    #[arg(value_name = "STORE")]
    store: PathBuf,
    /// A new or empty folder
    #[arg(value_name = "DIR")]
    folder: PathBuf,
}

pub(crate) fn backup(ctx: &mut Context, args: BackupArgs) -> Result<(), Failure> {
    let store = match ctx.store(&args.store) {
        // A writing process has the lock, and a copy needs none.
        Err(Failure::Open(error)) if error.kind() == ErrorKind::Locked => {
            let store = Store::options().read_only(true).open(&args.store);
            Arc::new(store.map_err(|error| Failure::Open(error.into()))?)
        }
        other => other?,
    };
    let backup = store.backup(&args.folder, &ctx.watched())?;
    ctx.out.record(vec![("epoch", backup.epoch.get().into()), ("bytes", backup.bytes.into())])
}

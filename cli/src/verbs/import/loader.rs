//! The way of imported rows into the store: gathered into batches, each committed as one, bad rows refused or set aside.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use hedgerow::{Batch, CancelToken, Store};

use crate::context::Context;
use crate::failure::Failure;
use crate::output::Output;
use crate::place::BadInput;
use crate::progress::Progress;

/// Operations in a batch: one durable commit.
const BATCH: usize = 10_000;
/// Bad rows that are explained one by one; of the others only the number is told.
const EXPLAINED: u64 = 10;

/// What an import did.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Totals {
    pub(super) nodes: u64,
    pub(super) edges: u64,
    pub(super) rejected: u64,
    /// Nodes whose tokens or dense rows are other ones now.
    pub(super) features: u64,
    committed: u64,
}

/// Where skipped rows go.
pub(super) struct Rejects {
    path: PathBuf,
    file: BufWriter<File>,
    limit: Option<u64>,
}

impl Rejects {
    pub(super) fn create(path: &Path, limit: Option<u64>) -> Result<Self, Failure> {
        let file = File::create(path).map_err(|source| Failure::file(path, "create", source))?;
        Ok(Self { path: path.to_path_buf(), file: BufWriter::new(file), limit })
    }

    pub(super) fn write(&mut self, row: &[u8]) -> Result<(), Failure> {
        let written = self.file.write_all(row).and_then(|()| self.file.write_all(b"\n"));
        written.map_err(|source| Failure::file(&self.path, "write", source))
    }

    fn flush(&mut self) -> Result<(), Failure> {
        self.file.flush().map_err(|source| Failure::file(&self.path, "write", source))
    }
}

/// An import under way.
pub(super) struct Loader<'a> {
    store: &'a Store,
    cancel: &'a CancelToken,
    out: Output,
    what: &'static str,
    progress: Progress,
    pub(super) batch: Batch,
    /// The line of the first operation that is not committed yet.
    resume: Option<u64>,
    pub(super) rejects: Option<Rejects>,
    totals: Totals,
    /// Whether the store held nothing before: then a checkpoint costs no more than what was imported.
    first: bool,
}

impl<'a> Loader<'a> {
    pub(super) fn new(
        ctx: &'a Context,
        store: &'a Store,
        what: &'static str,
        progress: Progress,
        rejects: Option<Rejects>,
    ) -> Self {
        let (cancel, out, totals) = (ctx.cancel(), ctx.out, Totals::default());
        let first = store.snapshot().node_count() == 0;
        Self { store, cancel, out, what, progress, batch: Batch::new(), resume: None, rejects, totals, first }
    }

    /// Called after every row or part of one that the batch now holds; commits a full batch.
    pub(super) fn staged(&mut self, line: u64) -> Result<(), Failure> {
        self.progress.row();
        self.resume.get_or_insert(line);
        if self.batch.len() >= BATCH {
            self.commit()?;
            if self.cancel.is_cancelled() {
                return Err(Failure::Interrupted(format!("interrupted; {}", self.outcome(line))));
            }
        }
        Ok(())
    }

    /// Ends the import at a bad row, or sets the row aside.
    pub(super) fn bad(&mut self, bad: BadInput, row: &[u8]) -> Result<(), Failure> {
        let resume = self.resume.unwrap_or(bad.place.line);
        let Some(rejects) = self.rejects.as_mut().filter(|_| !bad.fatal) else {
            return Err(bad.with_outcome(self.outcome(resume)).into());
        };
        rejects.write(row)?;
        self.totals.rejected += 1;
        if rejects.limit.is_some_and(|limit| self.totals.rejected > limit) {
            rejects.flush()?;
            let limit = format!("more than {} bad rows; {}", self.totals.rejected - 1, self.outcome(resume));
            return Err(bad.with_outcome(limit).into());
        }
        if self.totals.rejected <= EXPLAINED {
            self.out.note(&format!("skipped: {bad}"));
        }
        Ok(())
    }

    pub(super) fn finish(mut self) -> Result<Totals, Failure> {
        self.commit()?;
        if let Some(rejects) = &mut self.rejects {
            rejects.flush()?;
        }
        self.progress.finish();
        if self.first {
            self.store.checkpoint(self.cancel)?;
        } else {
            self.store.checkpoint_if_worthwhile(self.cancel)?;
        }
        Ok(self.totals)
    }

    fn commit(&mut self) -> Result<(), Failure> {
        if self.batch.is_empty() {
            return Ok(());
        }
        let commit = self.store.commit(&self.batch)?;
        self.totals.nodes += commit.nodes_added;
        self.totals.edges += commit.edges_added;
        self.totals.features += commit.features_changed;
        self.totals.committed += self.batch.len() as u64;
        self.batch.clear();
        self.resume = None;
        Ok(())
    }

    fn outcome(&self, line: u64) -> String {
        format!("{} {} before it were committed, go on from line {line}", self.totals.committed, self.what)
    }
}

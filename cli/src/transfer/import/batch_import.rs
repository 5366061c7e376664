//! The import into a store that holds something: rows are collected into batches, each of which is one commit.

use hedgerow::{Batch, CancelToken, Edge, Error, NodeRef, Store};

use crate::core::failure::Failure;
use crate::core::location::BadInput;
use crate::output::printer::Output;
use crate::output::progress::Progress;
use crate::session::context::Context;
use crate::transfer::import::Totals;
use crate::transfer::import::edges::EdgeFile;
use crate::transfer::import::rejects::Rejects;
use crate::transfer::import::row_target::RowTarget;

/// Edges in a batch: one durable commit.
pub(super) const EDGES: usize = 100_000;
/// Nodes in a batch. With all the features that nodes may have, more would exceed the limits of a batch.
pub(super) const NODES: usize = 10_000;

/// An import that is running.
pub(super) struct BatchImport<'a> {
    store: &'a Store,
    cancel: &'a CancelToken,
    out: Output,
    /// Edges or nodes, for messages.
    what: &'static str,
    progress: Progress,
    pub(super) batch: Batch,
    /// Operations of a full batch.
    limit: usize,
    /// The first line of the current row.
    line: u64,
    /// The line of the first operation that is not committed yet.
    resume: Option<u64>,
    pub(super) rejects: Option<Rejects>,
    totals: Totals,
    committed: u64,
    /// The store was empty. Then a checkpoint costs no more than the import.
    was_empty: bool,
}

impl<'a> BatchImport<'a> {
    pub(super) fn new(
        ctx: &'a Context,
        store: &'a Store,
        (what, limit): (&'static str, usize),
        progress: Progress,
        rejects: Option<Rejects>,
    ) -> Self {
        Self {
            store,
            cancel: ctx.cancel(),
            out: ctx.out,
            what,
            progress,
            batch: Batch::new(),
            limit,
            line: 0,
            resume: None,
            rejects,
            totals: Totals::default(),
            committed: 0,
            was_empty: store.snapshot().node_count() == 0,
        }
    }

    /// Reads all rows of a file of edges, one after another.
    pub(super) fn read_edges(&mut self, file: EdgeFile<'_>) -> Result<(), Failure> {
        if let (Some(rejects), Some(header)) = (&mut self.rejects, &file.header) {
            rejects.write(header)?;
        }
        let (lines, any) = file.rows.read(file.lines, self);
        file.rows.expect_rows(any?, lines.file(), lines.number() - 1)
    }

    /// Commits the last batch and makes the store compact.
    pub(super) fn finish(mut self) -> Result<Totals, Failure> {
        self.commit()?;
        if let Some(rejects) = &mut self.rejects {
            rejects.flush()?;
            self.totals.rejected = rejects.count;
        }
        self.progress.finish();
        if self.was_empty {
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
        self.committed += self.batch.len() as u64;
        self.batch.clear();
        self.resume = None;
        Ok(())
    }

    fn outcome(&self, line: u64) -> String {
        outcome(self.committed, self.what, line)
    }
}

impl RowTarget for BatchImport<'_> {
    fn begin(&mut self, line: u64) -> Result<(), Failure> {
        self.line = line;
        Ok(())
    }

    fn add_node(&mut self, node: NodeRef<'_>) -> Result<(), Error> {
        Ok(self.batch.add_node(node)?)
    }

    fn link(&mut self, src: NodeRef<'_>, dst: NodeRef<'_>, edge: Edge<'_>) -> Result<(), Error> {
        Ok(self.batch.link(src, dst, edge)?)
    }

    /// Counts the operation, and commits a full batch.
    fn staged(&mut self) -> Result<(), Failure> {
        self.progress.row();
        self.resume.get_or_insert(self.line);
        if self.batch.len() >= self.limit {
            self.commit()?;
            if self.cancel.is_cancelled() {
                return Err(Failure::Interrupted(format!("interrupted; {}", self.outcome(self.line))));
            }
        }
        Ok(())
    }

    fn bad(&mut self, bad: BadInput, row: &[u8]) -> Result<(), Failure> {
        let outcome = self.outcome(self.resume.unwrap_or(bad.first_line(self.line)));
        let Some(rejects) = self.rejects.as_mut().filter(|_| !bad.fatal) else {
            return Err(bad.with_outcome(outcome).into());
        };
        match rejects.take(&bad, row, self.out)? {
            Some(over) => Err(bad.with_outcome(format!("{over}; {outcome}")).into()),
            None => Ok(()),
        }
    }
}

/// The end of a message about an import that stops: the rows that stay, and the line to continue from.
pub(super) fn outcome(committed: u64, what: &str, line: u64) -> String {
    format!("{committed} {what} before it were committed, go on from line {line}")
}

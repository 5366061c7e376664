//! The import of rows in batches. Each batch is one commit, or a part of the load that fills an empty store.

use hedgerow::{Batch, BulkLoad, CancelToken, Commit, Edge, Error, NodeRef, Store};

use crate::core::failure::Failure;
use crate::core::location::BadInput;
use crate::output::printer::Output;
use crate::output::progress::Progress;
use crate::session::context::Context;
use crate::transfer::edges::row_state::RowState;
use crate::transfer::edges::row_target::RowTarget;
use crate::transfer::import::Totals;
use crate::transfer::import::edges::EdgeFile;
use crate::transfer::import::rejects::Rejects;

/// Edges in a batch: one durable commit.
pub(super) const EDGES: u64 = 100_000;
/// Nodes in a batch. With all the features that nodes may have, more would exceed the limits of a batch.
pub(super) const NODES: u64 = 10_000;

/// An import that is running.
pub(super) struct BatchImport<'a> {
    store: &'a Store,
    cancel: &'a CancelToken,
    out: Output,
    /// Edges or nodes, for messages.
    what: &'static str,
    progress: Progress,
    pub(super) batch: Batch,
    /// Rows of a full batch.
    limit: u64,
    /// Edges or nodes in the batch.
    rows: u64,
    /// The first line of the current row.
    line: u64,
    /// The line of the first operation that is not committed yet.
    resume: Option<u64>,
    pub(super) rejects: Option<Rejects>,
    totals: Totals,
    committed: u64,
    /// Takes the batches instead of commits, and is written at the end.
    load: Option<BulkLoad>,
    state: RowState,
    /// Rows before the current one that rules passed over.
    skipped: u64,
    /// The store was empty. Then a checkpoint costs no more than the import.
    was_empty: bool,
}

impl<'a> BatchImport<'a> {
    pub(super) fn new(
        ctx: &'a Context,
        store: &'a Store,
        (what, limit): (&'static str, u64),
        progress: Progress,
        rejects: Option<Rejects>,
        state: RowState,
    ) -> Self {
        Self {
            store,
            cancel: ctx.cancel(),
            out: ctx.out,
            what,
            progress,
            batch: Batch::new(),
            limit,
            rows: 0,
            line: 0,
            resume: None,
            rejects,
            totals: Totals::default(),
            committed: 0,
            load: None,
            state,
            skipped: 0,
            was_empty: store.snapshot().node_count() == 0,
        }
    }

    /// Collects the batches in a load. The store is empty, and rows have nodes and properties only.
    pub(super) fn into_load(self) -> Self {
        Self { load: Some(BulkLoad::new()), ..self }
    }

    /// Reads all rows of a file of edges, one after another.
    pub(super) fn read_edges(&mut self, file: EdgeFile<'_>) -> Result<(), Failure> {
        if let (Some(rejects), Some(header)) = (&mut self.rejects, &file.header) {
            rejects.write(header)?;
        }
        let (lines, any) = file.rows.read(file.lines, self);
        file.rows.expect_rows(any?, lines.file(), lines.number() - 1)
    }

    /// Commits the last batch and makes the store compact. A load is written also where the reading stopped early.
    pub(super) fn finish(mut self, read: Result<(), Failure>) -> Result<Totals, Failure> {
        if read.is_ok() {
            self.commit()?;
        }
        if let Some(load) = self.load.take() {
            // Not cancelled by the Ctrl-C that ended the reading: the rows that were read are kept.
            let written = self.progress.of(&CancelToken::new());
            let loaded = self.store.load(load, &written)?;
            self.totals.nodes = loaded.nodes_added;
            self.totals.properties = loaded.properties_changed;
        }
        read?;
        if let Some(rejects) = &mut self.rejects {
            rejects.flush()?;
            self.totals.rejected = rejects.count;
        }
        self.totals.set_signals(&self.state);
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
        let commit = match &mut self.load {
            Some(load) => load.values(&self.batch).map(|()| Commit::default())?,
            None => self.store.commit(&self.batch)?,
        };
        self.totals.nodes += commit.nodes_added;
        self.totals.edges += commit.edges_added;
        self.totals.repeats += commit.edges_repeated;
        self.totals.features += commit.features_changed;
        self.totals.properties += commit.properties_changed;
        self.committed += self.rows;
        self.rows = 0;
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

    fn state(&mut self) -> &mut RowState {
        &mut self.state
    }

    fn add_node(&mut self, node: NodeRef<'_>) -> Result<(), Error> {
        Ok(self.batch.add_node(node)?)
    }

    fn link(&mut self, src: NodeRef<'_>, dst: NodeRef<'_>, edge: Edge<'_>) -> Result<(), Error> {
        for (relation, options) in self.state.take_new() {
            self.batch.declare_relation(relation, options)?;
        }
        Ok(self.batch.link(src, dst, edge)?)
    }

    fn unlink_opposite(&mut self, src: NodeRef<'_>, dst: NodeRef<'_>, relation: &str) -> Result<(), Error> {
        Ok(self.batch.unlink(src, dst, Some(relation))?)
    }

    /// Counts the operation, and commits a full batch.
    fn staged(&mut self) -> Result<(), Failure> {
        self.progress.row();
        if std::mem::replace(&mut self.skipped, self.state.skipped) < self.state.skipped {
            return Ok(());
        }
        self.resume.get_or_insert(self.line);
        self.rows += 1;
        if self.rows >= self.limit || self.batch.is_half_full() {
            self.commit()?;
            if self.cancel.is_cancelled() {
                return Err(Failure::Interrupted(format!("interrupted; {}", self.outcome(self.line))));
            }
        }
        Ok(())
    }

    fn bad(&mut self, bad: BadInput, row: &[u8]) -> Result<(), Failure> {
        if self.load.is_some() {
            // All rows before it are kept.
            self.commit()?;
        }
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

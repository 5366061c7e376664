//! The import of edges into an empty store: blocks of lines parsed in parallel, added to one load in their order, written at once.
//! A block with a bad row is parsed again when its turn comes, so that rejects and messages are those of one thread.

use hedgerow::{BulkLoad, CancelToken, Edge, EdgeBuffer, Epoch, Error, NodeRef, RelationOptions, Store};
use rayon::prelude::*;

use crate::core::failure::Failure;
use crate::core::interrupt;
use crate::core::location::BadInput;
use crate::input::blocks::{Block, Blocks};
use crate::input::lines::Lines;
use crate::output::printer::Output;
use crate::output::progress::Progress;
use crate::session::context::Context;
use crate::transfer::edges::row_state::RowState;
use crate::transfer::edges::row_target::RowTarget;
use crate::transfer::import::Totals;
use crate::transfer::import::batch_import::outcome;
use crate::transfer::import::edges::{EdgeFile, EdgeRows};
use crate::transfer::import::rejects::Rejects;

/// Blocks for each thread that are parsed while those before are added.
const BLOCKS_PER_THREAD: usize = 4;
/// Rows of a block with a bad row that are added together.
const ROWS: usize = 1 << 16;

/// True if a store takes a load: it is new, empty and not read-only.
pub(super) fn is_possible(store: &Store) -> bool {
    !store.is_read_only() && store.snapshot().epoch() == Epoch::new(0) && store.derived().is_none()
}

/// An import that is running.
pub(super) struct BulkImport<'a> {
    store: &'a Store,
    cancel: &'a CancelToken,
    out: Output,
    progress: Progress,
    rejects: Option<Rejects>,
    load: BulkLoad,
    state: RowState,
    /// Rows that are parsed again.
    edges: EdgeBuffer,
    /// Edges and nodes that are in the load.
    added: u64,
    any: bool,
    /// Lines of the file all of whose rows are done with.
    lines: u64,
    /// The first line of the current row.
    line: u64,
    /// The limit that stopped the import, for the message.
    exceeded: Option<String>,
}

/// A block and the rows that were parsed of it.
struct ParsedBlock {
    block: Block,
    edges: EdgeBuffer,
    /// The state after its rows.
    state: RowState,
    /// The lines of the file up to its end, where all its rows are good and the last one ends in it.
    lines: Option<u64>,
}

impl<'a> BulkImport<'a> {
    pub(super) fn new(
        ctx: &'a Context,
        store: &'a Store,
        progress: Progress,
        rejects: Option<Rejects>,
        state: RowState,
    ) -> Self {
        Self {
            store,
            cancel: ctx.cancel(),
            out: ctx.out,
            progress,
            rejects,
            load: BulkLoad::new(),
            state,
            edges: EdgeBuffer::new(),
            added: 0,
            any: false,
            lines: 0,
            line: 0,
            exceeded: None,
        }
    }

    /// Reads all rows in blocks of `size` bytes and writes the store, also when the import stops before the end.
    pub(super) fn run(mut self, file: EdgeFile<'_>, size: usize) -> Result<Totals, Failure> {
        if let (Some(rejects), Some(header)) = (&mut self.rejects, &file.header) {
            rejects.write(header)?;
        }
        let name = file.lines.file().to_owned();
        let read = self.read_file(file.lines, &file.rows, size);
        let (added, any, lines, line, exceeded) =
            (self.added, self.any, self.lines, self.line, self.exceeded.take());
        let totals = self.write()?;
        match read {
            Ok(()) => file.rows.expect_rows(any, &name, lines).map(|()| totals),
            Err(Failure::Input(bad)) => {
                let outcome = outcome(added, "edges", bad.first_line(line));
                let exceeded = exceeded.map_or(String::new(), |exceeded| format!("{exceeded}; "));
                Err(bad.with_outcome(exceeded + &outcome).into())
            }
            Err(Failure::Interrupted(message)) => {
                Err(Failure::Interrupted(format!("{message}; {}", outcome(added, "edges", line))))
            }
            Err(other) => Err(other),
        }
    }

    /// Sets the options of a relation, before its first edge.
    pub(super) fn declare_relation(&mut self, name: &str, options: RelationOptions) -> Result<(), Error> {
        Ok(self.load.declare_relation(name, options)?)
    }

    /// The rows that were added so far.
    pub(super) fn added(&self) -> u64 {
        self.added
    }

    /// Reads the rows of a file behind the current line of `lines`. Where it stops, the rows before are in the load.
    pub(super) fn read_file(
        &mut self,
        lines: Lines,
        rows: &EdgeRows<'_>,
        size: usize,
    ) -> Result<(), Failure> {
        let file = lines.file().to_owned();
        self.lines = lines.number();
        interrupt::attended(true);
        let read = Blocks::start(lines, size, self.cancel)
            .and_then(|blocks| self.read_blocks(rows, blocks, &file))
            .and_then(|()| self.flush());
        interrupt::attended(false);
        read
    }

    /// Writes the store.
    pub(super) fn write(mut self) -> Result<Totals, Failure> {
        // Not cancelled by the Ctrl-C that ended the reading: the rows that were read are kept.
        let written = self.progress.of(&CancelToken::new());
        let loaded = self.store.load(std::mem::take(&mut self.load), &written)?;
        let mut totals = Totals {
            nodes: loaded.nodes_added,
            edges: loaded.edges_added,
            repeats: loaded.edges_repeated,
            ..Totals::default()
        };
        if let Some(rejects) = &mut self.rejects {
            rejects.flush()?;
            totals.rejected = rejects.count;
        }
        totals.set_signals(&self.state);
        self.progress.finish();
        Ok(totals)
    }

    fn read_blocks(&mut self, rows: &EdgeRows<'_>, mut blocks: Blocks, file: &str) -> Result<(), Failure> {
        let round = BLOCKS_PER_THREAD * rayon::current_num_threads();
        let (mut current, mut next) = (Vec::new(), Vec::new());
        // Bytes of a row that goes on behind its block.
        let mut open_row = Block::default();
        loop {
            let state = self.state.ahead();
            let (added, ()) = rayon::join(
                || current.iter_mut().try_for_each(|parsed| self.add(parsed, &mut open_row, rows, file)),
                || parse_next(&mut next, (round, &state), &mut blocks, rows, file),
            );
            added?;
            if next.is_empty() {
                break;
            }
            std::mem::swap(&mut current, &mut next);
        }
        if !open_row.bytes.is_empty() {
            self.parse_again(open_row, false, rows, file)?;
        }
        self.line = self.lines + 1;
        self.check_cancelled()
    }

    /// Adds the rows of a block, whose first row may have begun in blocks before.
    fn add(
        &mut self,
        parsed: &mut ParsedBlock,
        open_row: &mut Block,
        rows: &EdgeRows<'_>,
        file: &str,
    ) -> Result<(), Failure> {
        self.line = self.lines + 1;
        self.check_cancelled()?;
        // A block is parsed again where an earlier row has told another unit of times.
        if let Some(lines) = parsed.lines
            && open_row.bytes.is_empty()
            && self.state.adopt(&parsed.state)
        {
            self.declare_new()?;
            self.load.links(&parsed.edges)?;
            self.count(parsed.edges.len() as u64);
            self.lines = lines;
            return Ok(());
        }
        let mut block = std::mem::take(&mut parsed.block);
        if !open_row.bytes.is_empty() {
            open_row.bytes.append(&mut block.bytes);
            block = Block { error: block.error, ..std::mem::take(open_row) };
        }
        *open_row = self.parse_again(block, true, rows, file)?;
        Ok(())
    }

    /// Parses the rows of a block, sets bad ones aside, and returns the bytes of a last row that is not complete.
    fn parse_again(
        &mut self,
        block: Block,
        is_continued: bool,
        rows: &EdgeRows<'_>,
        file: &str,
    ) -> Result<Block, Failure> {
        let (lines, any) = rows.read(Lines::of_block(block, file, is_continued), self);
        // Of a row that stops the import nothing is in the buffer; the rows before it stay.
        self.flush()?;
        self.any |= any?;
        let (mut bytes, end, number) = lines.into_block();
        bytes.drain(..end);
        self.lines = number - 1;
        Ok(Block { bytes, number: self.lines, error: None })
    }

    /// Adds the rows that were parsed again to the load.
    fn flush(&mut self) -> Result<(), Failure> {
        if !self.edges.is_empty() {
            self.declare_new()?;
            let added = self.load.links(&self.edges);
            let count = self.edges.len() as u64;
            self.edges.clear();
            added?;
            self.count(count);
        }
        Ok(())
    }

    fn declare_new(&mut self) -> Result<(), Error> {
        for (relation, options) in self.state.take_new() {
            self.load.declare_relation(relation, options)?;
        }
        Ok(())
    }

    fn count(&mut self, rows: u64) {
        self.any |= rows > 0;
        self.added += rows;
        self.progress.rows(rows);
    }

    fn check_cancelled(&self) -> Result<(), Failure> {
        if self.cancel.is_cancelled() {
            return Err(Failure::Interrupted("interrupted".to_owned()));
        }
        Ok(())
    }
}

impl RowTarget for BulkImport<'_> {
    fn begin(&mut self, line: u64) -> Result<(), Failure> {
        self.line = line;
        if self.edges.len() >= ROWS {
            self.flush()?;
            self.check_cancelled()?;
        }
        Ok(())
    }

    fn state(&mut self) -> &mut RowState {
        &mut self.state
    }

    fn add_node(&mut self, node: NodeRef<'_>) -> Result<(), Error> {
        Ok(self.edges.add_node(node)?)
    }

    fn link(&mut self, src: NodeRef<'_>, dst: NodeRef<'_>, edge: Edge<'_>) -> Result<(), Error> {
        Ok(self.edges.link(src, dst, edge)?)
    }

    fn unlink_opposite(&mut self, _: NodeRef<'_>, _: NodeRef<'_>, _: &str) -> Result<(), Error> {
        Ok(())
    }

    fn staged(&mut self) -> Result<(), Failure> {
        Ok(())
    }

    fn bad(&mut self, bad: BadInput, row: &[u8]) -> Result<(), Failure> {
        // After a Ctrl-C the input ends anywhere, also in the middle of a row.
        self.check_cancelled()?;
        let Some(rejects) = self.rejects.as_mut().filter(|_| !bad.fatal) else { return Err(bad.into()) };
        self.exceeded = rejects.take(&bad, row, self.out)?;
        if self.exceeded.is_some() { Err(bad.into()) } else { Ok(()) }
    }
}

/// Parses the next blocks, `most` of them where the input has so many.
fn parse_next(
    next: &mut Vec<ParsedBlock>,
    (most, state): (usize, &RowState),
    blocks: &mut Blocks,
    rows: &EdgeRows<'_>,
    file: &str,
) {
    let mut count = 0;
    while count < most
        && let Some(block) = blocks.next()
    {
        if count == next.len() {
            next.push(ParsedBlock {
                block: Block::default(),
                edges: EdgeBuffer::new(),
                state: state.clone(),
                lines: None,
            });
        }
        next[count].block = block;
        count += 1;
    }
    next.truncate(count);
    next.par_iter_mut().for_each(|parsed| parsed.parse(rows, file, state));
}

impl ParsedBlock {
    /// Parses the rows up to the first bad one.
    fn parse(&mut self, rows: &EdgeRows<'_>, file: &str, state: &RowState) {
        self.edges.clear();
        self.state = state.clone();
        self.lines = None;
        if self.block.error.is_some() {
            return;
        }
        let number = self.block.number;
        let lines = Lines::of_block(std::mem::take(&mut self.block), file, true);
        let (lines, read) = rows.read(lines, &mut GoodRows(&mut self.edges, &mut self.state));
        let (bytes, end, line) = lines.into_block();
        self.lines = (read.is_ok() && end == bytes.len()).then_some(line - 1);
        self.block = Block { bytes, number, error: None };
    }
}

/// A target that stops at the first bad row.
struct GoodRows<'a>(&'a mut EdgeBuffer, &'a mut RowState);

impl RowTarget for GoodRows<'_> {
    fn begin(&mut self, _: u64) -> Result<(), Failure> {
        Ok(())
    }

    fn state(&mut self) -> &mut RowState {
        self.1
    }

    fn add_node(&mut self, node: NodeRef<'_>) -> Result<(), Error> {
        Ok(self.0.add_node(node)?)
    }

    fn link(&mut self, src: NodeRef<'_>, dst: NodeRef<'_>, edge: Edge<'_>) -> Result<(), Error> {
        Ok(self.0.link(src, dst, edge)?)
    }

    fn unlink_opposite(&mut self, _: NodeRef<'_>, _: NodeRef<'_>, _: &str) -> Result<(), Error> {
        Ok(())
    }

    fn staged(&mut self) -> Result<(), Failure> {
        Ok(())
    }

    fn bad(&mut self, bad: BadInput, _: &[u8]) -> Result<(), Failure> {
        Err(bad.into())
    }
}

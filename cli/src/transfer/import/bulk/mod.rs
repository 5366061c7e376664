//! The way of imported rows into an empty store: blocks of lines gathered in parallel, taken into one load, written at once.
//! What is not plain is read again by the readers of rows, so no message and no place of one is made here.

use std::collections::VecDeque;

use hedgerow::{BulkLoad, CancelToken, Edge, EdgeBuffer, Epoch, Error, NodeRef, Store};
use rayon::prelude::*;

use crate::core::failure::Failure;
use crate::core::interrupt;
use crate::core::location::BadInput;
use crate::input::blocks::{Block, Blocks};
use crate::input::lines::Lines;
use crate::output::printer::Output;
use crate::output::progress::Progress;
use crate::session::context::Context;
use crate::transfer::import::Totals;
use crate::transfer::import::block_parser::Gathered;
use crate::transfer::import::edges::{Plan, Rows, Seen};
use crate::transfer::import::loader::outcome;
use crate::transfer::import::rejects::Rejects;
use crate::transfer::import::target::Target;

/// Blocks for each thread that are gathered while those before are taken in.
const BLOCKS: usize = 4;
/// Rows that were read one by one and are taken in together.
const ROWS: usize = 1 << 16;

/// Whether a store takes a load.
pub(super) fn is_possible(store: &Store) -> bool {
    !store.is_read_only() && store.snapshot().epoch() == Epoch::new(0) && store.derived().is_none()
}

/// An import under way.
pub(super) struct Bulk<'a> {
    store: &'a Store,
    cancel: &'a CancelToken,
    out: Output,
    progress: Progress,
    rejects: Option<Rejects>,
    load: BulkLoad,
    /// Rows that were read one by one.
    links: EdgeBuffer,
    taken: u64,
    seen: Seen,
    /// Where the present row begins.
    line: u64,
    /// What stopped it, for the message.
    over: Option<String>,
}

/// A block and what was made of it.
#[derive(Default)]
struct Slot {
    block: Block,
    lines: u64,
    links: EdgeBuffer,
    gathered: Option<Gathered>,
}

impl<'a> Bulk<'a> {
    pub(super) fn new(
        ctx: &'a Context,
        store: &'a Store,
        progress: Progress,
        rejects: Option<Rejects>,
    ) -> Self {
        Self {
            store,
            cancel: ctx.cancel(),
            out: ctx.out,
            progress,
            rejects,
            load: BulkLoad::new(),
            links: EdgeBuffer::new(),
            taken: 0,
            seen: Seen::default(),
            line: 0,
            over: None,
        }
    }

    /// Reads all rows in blocks of so many bytes, and writes the store, also when the import stops on the way.
    pub(super) fn run(mut self, plan: Plan<'_>, block: usize) -> Result<Totals, Failure> {
        if let (Some(rejects), Some(header)) = (&mut self.rejects, &plan.header) {
            rejects.write(header)?;
        }
        let file = plan.lines.file().to_owned();
        let read = self.read_file(plan.lines, &plan.rows, block);
        let seen = self.seen;
        let (taken, line, over) = (self.taken, self.line, self.over.take());
        let totals = self.write()?;
        match read {
            Ok(()) => plan.rows.expect_some(seen, &file).map(|()| totals),
            Err(Failure::Input(bad)) => {
                let stays = outcome(taken, "edges", bad.first_line(line));
                let over = over.map_or(String::new(), |over| format!("{over}; "));
                Err(bad.with_outcome(over + &stays).into())
            }
            Err(Failure::Interrupted(what)) => {
                Err(Failure::Interrupted(format!("{what}; {}", outcome(taken, "edges", line))))
            }
            Err(other) => Err(other),
        }
    }

    /// Reads all rows of a file behind the line that `lines` is at; what was read is there then, also where it stops.
    pub(super) fn read_file(&mut self, lines: Lines, rows: &Rows<'_>, block: usize) -> Result<(), Failure> {
        let file = lines.file().to_owned();
        self.seen.lines = lines.number();
        interrupt::attended(true);
        let read = Blocks::start(lines, block, self.cancel)
            .and_then(|blocks| self.read(rows, blocks, &file))
            .and_then(|()| self.flush());
        interrupt::attended(false);
        read
    }

    /// Writes the store.
    pub(super) fn write(mut self) -> Result<Totals, Failure> {
        let mut totals = Totals::default();
        // Not to be cancelled: a Ctrl-C has stopped the reading, and what was read is kept.
        let written = self.progress.of(&CancelToken::new());
        let loaded = self.store.load(std::mem::take(&mut self.load), &written)?;
        (totals.nodes, totals.edges) = (loaded.nodes_added, loaded.edges_added);
        if let Some(rejects) = &mut self.rejects {
            rejects.flush()?;
            totals.rejected = rejects.count;
        }
        self.progress.finish();
        Ok(totals)
    }

    fn read(&mut self, rows: &Rows<'_>, mut blocks: Blocks, file: &str) -> Result<(), Failure> {
        let round = BLOCKS * rayon::current_num_threads();
        let (mut now, mut next): (Vec<Slot>, Vec<Slot>) = (Vec::new(), Vec::new());
        loop {
            // What is behind these blocks is gathered meanwhile.
            let (taken, ()) = rayon::join(
                || self.take_all(&mut now, rows, file),
                || gather_next(&mut next, round, &mut blocks, rows),
            );
            if let Some(at) = taken? {
                let rest: VecDeque<Block> = now.drain(at..).chain(next).map(|slot| slot.block).collect();
                let lines = blocks.into_lines(rest, file, self.seen.lines);
                return self.read_rows(lines, rows);
            }
            if next.iter().all(|slot| slot.gathered.is_none()) {
                self.line = self.seen.lines + 1;
                return self.listen();
            }
            for slot in &mut now {
                blocks.give_back(std::mem::take(&mut slot.block.bytes));
            }
            std::mem::swap(&mut now, &mut next);
        }
    }

    /// Takes in what was gathered, block by block; stops before one behind which rows cannot be told from text in quotes.
    fn take_all(
        &mut self,
        slots: &mut [Slot],
        rows: &Rows<'_>,
        file: &str,
    ) -> Result<Option<usize>, Failure> {
        for (at, slot) in slots.iter_mut().enumerate() {
            self.line = self.seen.lines + 1;
            self.listen()?;
            match slot.gathered.take() {
                None => {}
                Some(Gathered::All) => {
                    self.load.links(&slot.links)?;
                    self.count(slot.links.len() as u64);
                    self.seen.lines += slot.lines;
                }
                Some(Gathered::Block) => {
                    let block = std::mem::take(&mut slot.block);
                    self.read_rows(block.into_lines(file, self.seen.lines), rows)?;
                }
                Some(Gathered::Rest) => return Ok(Some(at)),
            }
        }
        Ok(None)
    }

    /// Reads rows one by one.
    fn read_rows(&mut self, lines: Lines, rows: &Rows<'_>) -> Result<(), Failure> {
        let read = rows.read(lines, self);
        // Of a row that stops the import nothing is there yet; those before it are to stay.
        self.flush()?;
        let seen = read?;
        self.seen = Seen { any: self.seen.any || seen.any, lines: seen.lines };
        self.line = seen.lines + 1;
        self.listen()
    }

    /// Takes in what was read one by one.
    fn flush(&mut self) -> Result<(), Failure> {
        if !self.links.is_empty() {
            let taken = self.load.links(&self.links);
            let count = self.links.len() as u64;
            self.links.clear();
            taken?;
            self.count(count);
        }
        Ok(())
    }

    fn count(&mut self, rows: u64) {
        self.seen.any |= rows > 0;
        self.taken += rows;
        self.progress.rows(rows);
    }

    fn listen(&self) -> Result<(), Failure> {
        if self.cancel.is_cancelled() {
            return Err(Failure::Interrupted("interrupted".to_owned()));
        }
        Ok(())
    }
}

impl Target for Bulk<'_> {
    fn begin(&mut self, line: u64) -> Result<(), Failure> {
        self.line = line;
        if self.links.len() >= ROWS {
            self.flush()?;
            self.listen()?;
        }
        Ok(())
    }

    fn add_node(&mut self, node: NodeRef<'_>) -> Result<(), Error> {
        Ok(self.links.add_node(node)?)
    }

    fn link(&mut self, src: NodeRef<'_>, dst: NodeRef<'_>, edge: Edge<'_>) -> Result<(), Error> {
        Ok(self.links.link(src, dst, edge)?)
    }

    fn staged(&mut self) -> Result<(), Failure> {
        Ok(())
    }

    fn bad(&mut self, bad: BadInput, row: &[u8]) -> Result<(), Failure> {
        // With a Ctrl-C the input ends wherever it is, which may be in a row.
        self.listen()?;
        let Some(rejects) = self.rejects.as_mut().filter(|_| !bad.fatal) else { return Err(bad.into()) };
        self.over = rejects.take(&bad, row, self.out)?;
        if self.over.is_some() { Err(bad.into()) } else { Ok(()) }
    }
}

/// Gathers the next blocks, none where there are no more.
fn gather_next(slots: &mut Vec<Slot>, most: usize, blocks: &mut Blocks, rows: &Rows<'_>) {
    slots.resize_with(most, Slot::default);
    let mut filled = 0;
    for slot in slots.iter_mut() {
        let Some(block) = blocks.next() else { break };
        slot.block = block;
        filled += 1;
    }
    slots[..filled].par_iter_mut().for_each(|slot| {
        slot.links.clear();
        slot.gathered = Some(rows.gather(&slot.block, &mut slot.links));
        slot.lines = slot.block.lines();
    });
}

#[cfg(test)]
mod tests;

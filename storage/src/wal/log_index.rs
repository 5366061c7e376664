//! An index of the log in memory: the first record of each epoch, and the dirty nodes.
//! Reads no records; its owner reports them.

use std::collections::VecDeque;
use std::sync::Weak;

use crate::graph::graph_state::GraphState;
use crate::types::ids::Epoch;
use crate::wal::dirty_nodes::DirtyNodes;

/// The index of the log.
#[derive(Debug)]
pub(crate) struct LogIndex {
    /// The epoch of the first entry in `starts`.
    first: u64,
    /// The number of the first record of each batch; epochs are contiguous.
    starts: VecDeque<u64>,
    /// The number after the last record.
    end: u64,
    pub(crate) dirty: DirtyNodes,
    /// Snapshots that are still held, whose later changes must stay in the log.
    pinned: Vec<(Epoch, Weak<GraphState>)>,
}

impl LogIndex {
    /// A log without batches; `next` and `end` are the epoch and first record of the next batch.
    pub(crate) fn new(next: Epoch, end: u64, dirty: DirtyNodes) -> Self {
        Self { first: next.get(), starts: VecDeque::new(), end, dirty, pinned: Vec::new() }
    }

    /// Adds a batch; the first one may have any epoch.
    pub(crate) fn push_batch(&mut self, epoch: Epoch, first: u64) {
        if self.starts.is_empty() {
            self.first = epoch.get();
        }
        self.starts.push_back(first);
    }

    /// Skips an epoch without records, before the first batch: earlier epochs are out of reach.
    pub(crate) fn skip(&mut self, epoch: Epoch) {
        assert!(self.starts.is_empty(), "only the first epoch has no records");
        self.first = epoch.get() + 1;
    }

    /// The number of the first indexed record.
    pub(crate) fn start(&self) -> u64 {
        self.starts.front().copied().unwrap_or(self.end)
    }

    /// The number after the last record.
    pub(crate) fn end(&self) -> u64 {
        self.end
    }

    pub(crate) fn set_end(&mut self, end: u64) {
        self.end = end;
    }

    /// The number of the first record after an epoch; `None` when it may have been trimmed.
    pub(crate) fn first_record_after(&self, epoch: Epoch) -> Option<u64> {
        let at = usize::try_from((epoch.get() + 1).checked_sub(self.first)?).ok()?;
        if at == self.starts.len() { Some(self.end) } else { self.starts.get(at).copied() }
    }

    /// Removes batches below a record.
    pub(crate) fn trim(&mut self, below: u64) {
        while self.starts.len() > 1 && self.starts[1] <= below {
            self.starts.pop_front();
            self.first += 1;
        }
        if self.starts.len() == 1 && self.end <= below {
            self.starts.pop_front();
            self.first += 1;
        }
    }

    /// Keeps the changes since a snapshot in the log while the snapshot is held.
    pub(crate) fn pin(&mut self, epoch: Epoch, state: Weak<GraphState>) {
        self.pinned.retain(|(_, state)| state.strong_count() > 0);
        self.pinned.push((epoch, state));
    }

    /// The first record that a held snapshot may need.
    pub(crate) fn first_pinned(&self) -> Option<u64> {
        let live = self.pinned.iter().filter(|(_, state)| state.strong_count() > 0);
        live.filter_map(|&(epoch, _)| self.first_record_after(epoch)).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn epochs_lead_to_records_until_they_are_trimmed() {
        let mut log_index = LogIndex::new(Epoch::new(4), 10, DirtyNodes::default());
        assert_eq!(log_index.first_record_after(Epoch::new(3)), Some(10));
        for (epoch, first) in [(4, 10), (5, 13), (6, 14)] {
            log_index.push_batch(Epoch::new(epoch), first);
        }
        log_index.set_end(15);
        let after = |log_index: &LogIndex| {
            [2, 3, 4, 5, 6, 7].map(|epoch| log_index.first_record_after(Epoch::new(epoch)))
        };
        assert_eq!(after(&log_index), [None, Some(10), Some(13), Some(14), Some(15), None]);
        log_index.trim(13);
        assert_eq!(after(&log_index), [None, None, Some(13), Some(14), Some(15), None]);
        log_index.trim(15);
        assert_eq!(after(&log_index), [None, None, None, None, Some(15), None]);
    }

    #[test]
    fn an_epoch_without_records_is_reached_and_those_before_are_not() {
        let mut log_index = LogIndex::new(Epoch::new(1), 0, DirtyNodes::default());
        log_index.skip(Epoch::new(1));
        assert_eq!(
            [0, 1, 2].map(|epoch| log_index.first_record_after(Epoch::new(epoch))),
            [None, Some(0), None]
        );
        log_index.push_batch(Epoch::new(2), 0);
        log_index.set_end(3);
        assert_eq!(
            [0, 1, 2].map(|epoch| log_index.first_record_after(Epoch::new(epoch))),
            [None, Some(0), Some(3)]
        );
    }
}

//! Numbers for the records of new batches, and the records that are not durable yet.
//! Knows nothing of the engine or of how records become durable.

use crate::wal::journal;
use crate::wal::log_end::LogEnd;

/// Assigns numbers to records, one batch after another.
#[derive(Debug)]
pub(crate) struct Appender {
    pub(super) log_end: LogEnd,
    /// The records since the last sync, while they fit the journal.
    records: Vec<u8>,
    exceeds_journal: bool,
}

/// Records that were appended and are not durable yet.
#[derive(Debug)]
pub(crate) struct UnsyncedRecords {
    /// The records one after another; `None` where they exceed the journal.
    pub(super) records: Option<Vec<u8>>,
    /// The end of the log after them.
    pub(crate) log_end: LogEnd,
}

impl Appender {
    pub(crate) fn new(log_end: LogEnd) -> Self {
        Self { log_end, records: Vec::new(), exceeds_journal: false }
    }

    /// Collects records for the journal.
    pub(super) fn buffer(&mut self, records: &[([u8; 9], Vec<u8>)]) {
        let bytes: usize = records.iter().map(|(_, record)| record.len()).sum();
        self.exceeds_journal |= self.records.len() + bytes > journal::BYTES;
        if self.exceeds_journal {
            self.records.clear();
        } else {
            for (_, record) in records {
                self.records.extend_from_slice(record);
            }
        }
    }

    /// Takes the records appended since the last call.
    pub(crate) fn take(&mut self) -> UnsyncedRecords {
        let records = std::mem::take(&mut self.records);
        let exceeds_journal = std::mem::take(&mut self.exceeds_journal);
        UnsyncedRecords { records: (!exceeds_journal).then_some(records), log_end: self.log_end }
    }

    /// The end of the log after all appended records.
    pub(crate) fn log_end(&self) -> LogEnd {
        self.log_end
    }
}

//! The history of an engine: its last refreshes, its learning curve and its model configuration.
//! A sidecar file has the refreshes; FORMAT.md describes it. Losing it loses nothing else.

use std::collections::VecDeque;
use std::sync::{MutexGuard, PoisonError};

use hedgerow_storage::{DerivedSet, Error as StoreError, Generation, SectionFile, SectionWriter};

use crate::config::error::Error;
use crate::config::report::RefreshReport;
use crate::config::{json, legacy};
use crate::engine::handle::Engine;
use crate::state::learning_curve::LearningCurve;
use crate::state::model_files;

/// The name of the sidecar file.
pub(super) const NAME: &str = "refreshes";
const KIND: [u8; 4] = *b"RFSH";
/// From version 2 on the section is JSON.
const VERSION: u32 = 2;
const SECTION: [u8; 8] = *b"lines\0\0\0";
/// Most records; one is about 100 bytes of text.
const MOST_RECORDS: usize = 500;

/// The record of a refresh.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct RefreshRecord {
    /// The model's generation.
    pub generation: Generation,
    /// The report of the refresh.
    pub report: RefreshReport,
}

/// The records of the last refreshes, oldest first.
#[derive(Debug, Default)]
pub(crate) struct RefreshHistory {
    records: VecDeque<RefreshRecord>,
    is_stored: bool,
}

impl RefreshHistory {
    /// The records that were stored last. None if the file cannot be read; a check of the store reports that.
    pub(crate) fn open(set: DerivedSet<'_>) -> Self {
        let read = |file: SectionFile| {
            file.require(KIND, VERSION)?;
            Ok::<_, StoreError>(from_text(std::str::from_utf8(file.section(SECTION)?).unwrap_or_default()))
        };
        let records = set.sidecar(NAME).and_then(|file| file.map_or_else(|| Ok(VecDeque::new()), read));
        Self { records: records.unwrap_or_default(), is_stored: true }
    }

    pub(super) fn push(&mut self, record: RefreshRecord) {
        if self.records.len() == MOST_RECORDS {
            self.records.pop_front();
        }
        self.records.push_back(record);
        self.is_stored = false;
    }

    /// Stores the records in the sidecar file. If that fails, the next call stores them.
    pub(super) fn store(&mut self, set: DerivedSet<'_>) {
        if !self.is_stored {
            let mut file = SectionWriter::new(KIND, VERSION);
            file.section(SECTION, to_text(&self.records).into_bytes());
            self.is_stored = set.write_sidecar(NAME, &file).is_ok();
        }
    }
}

fn to_text(records: &VecDeque<RefreshRecord>) -> String {
    let stored = records.iter().map(|RefreshRecord { generation, report }| (generation.get(), report));
    json::text_of(&stored.collect::<Vec<_>>())
}

/// The records of a text; none if it is not the text of a history.
fn from_text(text: &str) -> VecDeque<RefreshRecord> {
    let stored: Vec<(u64, RefreshReport)> = json::parse(text, legacy::refreshes).unwrap_or_default();
    let record = |(generation, report)| RefreshRecord { generation: Generation::new(generation), report };
    stored.into_iter().map(record).collect()
}

impl Engine {
    /// The last 500 refreshes of dirty nodes, oldest first: of this engine, and of earlier ones as far as [`Engine::persist`] stored
    /// them. They are in a sidecar file of the store, so a backup has none.
    pub fn refresh_history(&self) -> Vec<RefreshRecord> {
        self.history().records.iter().cloned().collect()
    }

    /// The learning curve of the published generation. `None` without a generation, and for model files of early versions, which have
    /// no curve.
    ///
    /// # Errors
    /// Damage in the model's file.
    pub fn learning_curve(&self) -> Result<Option<LearningCurve>, Error> {
        let derived = self.set().derived();
        derived.map_or(Ok(None), |derived| model_files::load_curve(&derived.file(model_files::MODEL)?))
    }

    /// The model's configuration: the options that computing embeddings needs besides the weights. Names and values are those of
    /// FORMAT.md.
    ///
    /// # Errors
    /// [`Error::NotTrained`].
    pub fn model_config(&self) -> Result<Vec<(String, String)>, Error> {
        Ok(self.reader_copy().header().ok_or(Error::NotTrained)?.config.entries())
    }

    pub(super) fn history(&self) -> MutexGuard<'_, RefreshHistory> {
        // A panic leaves it consistent: each of its calls changes it in one step.
        self.refresh_history.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use hedgerow_storage::{Epoch, Store};

    use super::*;
    use crate::config::report::RefreshTimes;

    fn record(epoch: u64) -> RefreshRecord {
        let report = RefreshReport::new(Epoch::new(epoch), true);
        let ms = RefreshTimes { reach: 0.1 + 0.2, walks: 1e-9, layers: 0.0 };
        let report = RefreshReport { rows: vec![1, 2], ms, seconds: 1.0 / 3.0, ..report };
        RefreshRecord { generation: Generation::new(2), report }
    }

    #[test]
    fn a_record_reads_back_as_it_was_written() {
        let history = VecDeque::from([record(7), record(8)]);
        assert_eq!(from_text(&to_text(&history)), history);
        let lines = "2 7 0 0 0 true 0.30000000000000004 0.000000001 0 0.3333333333333333 1 2\n";
        assert_eq!(from_text(lines), [record(7)]);
        assert_eq!(from_text("1 2 3"), []);
    }

    #[test]
    fn the_last_records_are_stored_and_damage_to_their_file_loses_only_them() {
        let folder = tempfile::tempdir().expect("a folder");
        let store = Store::options().create(true).open(folder.path().join("s")).expect("created");
        let set = store.derived_set("main");
        let mut history = RefreshHistory::open(set);
        for epoch in 0..MOST_RECORDS as u64 + 2 {
            history.push(record(epoch));
        }
        history.store(set);
        let again = RefreshHistory::open(set);
        assert_eq!((again.records.len(), &again.records[0]), (MOST_RECORDS, &record(2)));

        std::fs::write(folder.path().join("s/refreshes.aside"), b"noise").expect("a file");
        assert_eq!(RefreshHistory::open(set).records.len(), 0);
    }
}

//! The history of an engine: its last refreshes, its learning curve and its model configuration.
//! A sidecar file has the refreshes; FORMAT.md describes it. Losing it loses nothing else.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::sync::{MutexGuard, PoisonError};

use hedgerow_storage::{Epoch, Error as StoreError, Generation, SectionFile, SectionWriter, Store};

use crate::config::error::Error;
use crate::config::report::{RefreshReport, Stages};
use crate::engine::handle::Engine;
use crate::state::learning_curve::LearningCurve;
use crate::state::model_files;

/// The name of the sidecar file.
const NAME: &str = "refreshes";
const KIND: [u8; 4] = *b"RFSH";
const VERSION: u32 = 1;
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
pub(super) struct RefreshHistory {
    records: VecDeque<RefreshRecord>,
    is_stored: bool,
}

impl RefreshHistory {
    /// The records that were stored last. None if the file cannot be read; a check of the store reports that.
    pub(super) fn open(store: &Store) -> Self {
        let lines = |file: SectionFile| {
            file.require(KIND, VERSION)?;
            let text = std::str::from_utf8(file.section(SECTION)?).unwrap_or_default();
            Ok::<_, StoreError>(text.lines().map_while(from_line).collect())
        };
        let records = store.aside(NAME).and_then(|file| file.map_or_else(|| Ok(VecDeque::new()), lines));
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
    pub(super) fn store(&mut self, store: &Store) {
        if !self.is_stored {
            let mut file = SectionWriter::new(KIND, VERSION);
            file.section(SECTION, self.records.iter().map(to_line).collect::<String>().into_bytes());
            self.is_stored = store.keep_aside(NAME, &file).is_ok();
        }
    }
}

fn to_line(record: &RefreshRecord) -> String {
    let RefreshRecord { generation, report } = record;
    let RefreshReport { epoch, dirty_nodes, sources, neighborhoods, rows, full, ms, seconds } = report;
    let Stages { reach, walks, layers } = ms;
    let mut line = format!("{generation} {epoch} {dirty_nodes} {sources} {neighborhoods} {full}");
    write!(line, " {reach} {walks} {layers} {seconds}").expect("writing to a string succeeds");
    for rows in rows {
        write!(line, " {rows}").expect("writing to a string succeeds");
    }
    line + "\n"
}

fn from_line(line: &str) -> Option<RefreshRecord> {
    let fields: Vec<&str> = line.split(' ').collect();
    let [
        generation,
        epoch,
        dirty_nodes,
        sources,
        neighborhoods,
        full,
        reach,
        walks,
        layers,
        seconds,
        rows @ ..,
    ] = &fields[..]
    else {
        return None;
    };
    Some(RefreshRecord {
        generation: Generation::new(generation.parse().ok()?),
        report: RefreshReport {
            epoch: Epoch::new(epoch.parse().ok()?),
            dirty_nodes: dirty_nodes.parse().ok()?,
            sources: sources.parse().ok()?,
            neighborhoods: neighborhoods.parse().ok()?,
            rows: rows.iter().map(|rows| rows.parse().ok()).collect::<Option<_>>()?,
            full: full.parse().ok()?,
            ms: Stages {
                reach: reach.parse().ok()?,
                walks: walks.parse().ok()?,
                layers: layers.parse().ok()?,
            },
            seconds: seconds.parse().ok()?,
        },
    })
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
        let derived = self.store().derived();
        derived.map_or(Ok(None), |derived| model_files::load_curve(&derived.file(model_files::MODEL)?))
    }

    /// The model's configuration: the options that computing embeddings needs besides the weights. Names and values are those of
    /// FORMAT.md.
    ///
    /// # Errors
    /// [`Error::NotTrained`].
    pub fn model_config(&self) -> Result<Vec<(String, String)>, Error> {
        self.with_embeddings(|embeddings, _| {
            let text = embeddings.config.to_text();
            let lines = text.lines().filter_map(|line| line.split_once(' '));
            Ok(lines.map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
        })
    }

    pub(super) fn history(&self) -> MutexGuard<'_, RefreshHistory> {
        // A panic leaves it consistent: each of its calls changes it in one step.
        self.refresh_history.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(epoch: u64) -> RefreshRecord {
        let report = RefreshReport::new(Epoch::new(epoch), true);
        let ms = Stages { reach: 0.1 + 0.2, walks: 1e-9, layers: 0.0 };
        let report = RefreshReport { rows: vec![1, 2], ms, seconds: 1.0 / 3.0, ..report };
        RefreshRecord { generation: Generation::new(2), report }
    }

    #[test]
    fn a_record_reads_back_as_it_was_written() {
        let written = record(7);
        assert_eq!(from_line(to_line(&written).trim_end()), Some(written));
        assert_eq!(from_line("1 2 3"), None);
    }

    #[test]
    fn the_last_records_are_stored_and_damage_to_their_file_loses_only_them() {
        let folder = tempfile::tempdir().expect("a folder");
        let store = Store::options().create(true).open(folder.path().join("s")).expect("created");
        let mut history = RefreshHistory::open(&store);
        for epoch in 0..MOST_RECORDS as u64 + 2 {
            history.push(record(epoch));
        }
        history.store(&store);
        let again = RefreshHistory::open(&store);
        assert_eq!((again.records.len(), &again.records[0]), (MOST_RECORDS, &record(2)));

        std::fs::write(folder.path().join("s/refreshes.aside"), b"noise").expect("a file");
        assert_eq!(RefreshHistory::open(&store).records.len(), 0);
    }
}

//! What an engine can tell of how it came to be as it is: the last refreshes, the learning curve, the recipe.
//! The refreshes lie in a file beside the store, whose layout is in FORMAT.md; losing it costs nothing else.

use std::collections::VecDeque;
use std::sync::{MutexGuard, PoisonError};

use hedgerow_storage::{Error as StoreError, Generation, SectionFile, SectionWriter, Store};

use crate::config::error::Error;
use crate::config::report::RefreshReport;
use crate::config::{json, legacy};
use crate::engine::handle::Engine;
use crate::state::learning_curve::LearningCurve;
use crate::state::model_files;

/// The name that the refreshes are kept under.
const NAME: &str = "refreshes";
const KIND: [u8; 4] = *b"RFSH";
/// Since 2 the section is JSON.
const VERSION: u32 = 2;
const SECTION: [u8; 8] = *b"lines\0\0\0";
/// So many refreshes are remembered; one is about 100 bytes of text.
const REMEMBERED: usize = 500;

/// A refresh that was made, and of which model.
#[derive(Clone, Debug, PartialEq)]
pub struct RefreshRecord {
    /// The model's generation.
    pub generation: Generation,
    /// What it found, did and took.
    pub report: RefreshReport,
}

/// The last refreshes, oldest first.
#[derive(Debug, Default)]
pub(super) struct Past {
    refreshes: VecDeque<RefreshRecord>,
    is_stored: bool,
}

impl Past {
    /// What was kept last; nothing where that cannot be read, which a check of the store tells.
    pub(super) fn open(store: &Store) -> Self {
        let read = |file: SectionFile| {
            file.require(KIND, VERSION)?;
            Ok::<_, StoreError>(from_text(std::str::from_utf8(file.section(SECTION)?).unwrap_or_default()))
        };
        let refreshes = store.sidecar(NAME).and_then(|file| file.map_or_else(|| Ok(VecDeque::new()), read));
        Self { refreshes: refreshes.unwrap_or_default(), is_stored: true }
    }

    pub(super) fn push(&mut self, refresh: RefreshRecord) {
        if self.refreshes.len() == REMEMBERED {
            self.refreshes.pop_front();
        }
        self.refreshes.push_back(refresh);
        self.is_stored = false;
    }

    /// Keeps them beside the store. Where it cannot be written now, they are kept with the next ones.
    pub(super) fn keep(&mut self, store: &Store) {
        if !self.is_stored {
            let mut file = SectionWriter::new(KIND, VERSION);
            file.section(SECTION, to_text(&self.refreshes).into_bytes());
            self.is_stored = store.write_sidecar(NAME, &file).is_ok();
        }
    }
}

fn to_text(refreshes: &VecDeque<RefreshRecord>) -> String {
    let stored = refreshes.iter().map(|RefreshRecord { generation, report }| (generation.get(), report));
    json::text_of(&stored.collect::<Vec<_>>())
}

/// Empty where the text is not that of a history.
fn from_text(text: &str) -> VecDeque<RefreshRecord> {
    let stored: Vec<(u64, RefreshReport)> = json::parse(text, legacy::refreshes).unwrap_or_default();
    let record = |(generation, report)| RefreshRecord { generation: Generation::new(generation), report };
    stored.into_iter().map(record).collect()
}

impl Engine {
    /// The last 500 refreshes that had something to do, oldest first: of this engine, and of those before it up to what
    /// was stored with [`Engine::persist`]. They are kept beside the store, so a backup has none.
    pub fn refreshes(&self) -> Vec<RefreshRecord> {
        self.past().refreshes.iter().cloned().collect()
    }

    /// How the published generation was learned; none without one, and for a model file of before this was stored.
    ///
    /// # Errors
    /// Damage in the model's file.
    pub fn learning_curve(&self) -> Result<Option<LearningCurve>, Error> {
        let derived = self.store().derived();
        derived.map_or(Ok(None), |derived| model_files::load_curve(&derived.file(model_files::MODEL)?))
    }

    /// What computing the embeddings takes beside the weights: names and values, as FORMAT.md lists them.
    ///
    /// # Errors
    /// [`Error::NotTrained`].
    pub fn recipe(&self) -> Result<Vec<(String, String)>, Error> {
        self.with_embeddings(|embeddings, _| Ok(embeddings.recipe.entries()))
    }

    pub(super) fn past(&self) -> MutexGuard<'_, Past> {
        // Whole between any two of its calls.
        self.past.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use hedgerow_storage::Epoch;

    use super::*;
    use crate::config::report::RefreshTimes;

    fn refresh(epoch: u64) -> RefreshRecord {
        let report = RefreshReport::new(Epoch::new(epoch), true);
        let ms = RefreshTimes { reach: 0.1 + 0.2, walks: 1e-9, layers: 0.0 };
        let report = RefreshReport { rows: vec![1, 2], ms, seconds: 1.0 / 3.0, ..report };
        RefreshRecord { generation: Generation::new(2), report }
    }

    #[test]
    fn a_refresh_reads_back_as_it_was_written() {
        let history = VecDeque::from([refresh(7), refresh(8)]);
        assert_eq!(from_text(&to_text(&history)), history);
        let lines = "2 7 0 0 0 true 0.30000000000000004 0.000000001 0 0.3333333333333333 1 2\n";
        assert_eq!(from_text(lines), [refresh(7)]);
        assert_eq!(from_text("1 2 3"), []);
    }

    #[test]
    fn the_last_refreshes_are_kept_beside_the_store_and_damage_to_them_loses_only_them() {
        let folder = tempfile::tempdir().expect("a folder");
        let store = Store::options().create(true).open(folder.path().join("s")).expect("created");
        let mut past = Past::open(&store);
        for epoch in 0..REMEMBERED as u64 + 2 {
            past.push(refresh(epoch));
        }
        past.keep(&store);
        let again = Past::open(&store);
        assert_eq!((again.refreshes.len(), &again.refreshes[0]), (REMEMBERED, &refresh(2)));

        std::fs::write(folder.path().join("s/refreshes.aside"), b"noise").expect("a file");
        assert_eq!(Past::open(&store).refreshes.len(), 0);
    }
}

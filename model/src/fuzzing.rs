//! Decoders of the model's files under arbitrary sections: the functions of the fuzz targets, which tests call too.
//! Compiled for tests and fuzzing only, so it is no part of the interface. A function returns, whatever the content: a panic,
//! a hang, or memory that the input does not account for is a defect.

use std::path::Path;
use std::sync::Arc;

use hedgerow_storage::{Batch, CancelToken, Edge, MAIN_SET, NodeRef, SectionFile, SectionWriter, Store};

use crate::config::model_config::ModelConfig;
use crate::config::options::TrainOptions;
use crate::engine::handle::Engine;
use crate::engine::refresh_history::RefreshHistory;
use crate::state::layer_rows::State;
use crate::state::model_files;
use crate::state::row_changes::RowChanges;
use crate::train::checkpoint::Checkpoint;

/// The sidecar file that holds a file of a generation.
const SCRATCH: &str = "scratch";

/// The content of a section, by its tag.
type Section<'a> = ([u8; 8], &'a [u8]);

/// The decoders of the model's files, over a sample store with a small model.
pub struct Decoders {
    store: Arc<Store>,
    config: ModelConfig,
    /// The intact files of the generation.
    files: [SectionFile; 3],
}

impl Decoders {
    /// Makes the sample in an empty folder.
    ///
    /// # Panics
    /// If the folder cannot be written.
    pub fn new(folder: &Path) -> Self {
        let store = Store::options().create(true).open(folder.join("store")).expect("created");
        let mut batch = Batch::new();
        for at in 0..8_u32 {
            let (pin, board) = (at.to_string(), (at % 3).to_string());
            let (pin, board) = (NodeRef { kind: "pin", key: &pin }, NodeRef { kind: "board", key: &board });
            batch.link(pin, board, Edge::default()).expect("valid");
        }
        store.commit(&batch).expect("committed");
        let options = TrainOptions { dim: 2, layers: 1, epochs: 0, threads: 1, ..TrainOptions::new(["pin"]) };
        let engine = Engine::open(store).expect("opened");
        engine.training(&options).run(&CancelToken::new()).expect("trained");
        let store = Arc::clone(engine.store());
        let derived = store.derived().expect("published");
        let names = [model_files::MODEL, model_files::NEIGHBORHOODS, model_files::EMBEDDINGS];
        let files = names.map(|name| derived.file(name).expect("intact"));
        let config = model_files::load_model(&files[0], false).expect("intact").config;
        Self { store, config, files }
    }

    /// The rows of the intact files.
    fn rows(&self) -> State {
        let (bound, cancel) = (self.store.snapshot().bound(), CancelToken::new());
        model_files::load_files(&self.files, bound, false, &cancel).expect("intact")
    }

    /// A file of a generation, or a sidecar file of the model, with these sections.
    ///
    /// # Panics
    /// On a defect.
    pub fn file(&self, kind: [u8; 4], version: u32, sections: &[Section<'_>]) {
        let mut writer = SectionWriter::new(kind, version);
        for (tag, content) in sections {
            writer.section(*tag, *content);
        }
        let write = |name: &str| self.store.write_sidecar(name, &writer).expect("written");
        match &kind {
            b"TRNG" => {
                write("training");
                if let Ok(Some(checkpoint)) = Checkpoint::open(self.store.derived_set(MAIN_SET)) {
                    // Any outcome.
                    let _ = checkpoint.progress(&self.config);
                }
            }
            b"RFSH" => {
                write("refreshes");
                RefreshHistory::open(self.store.derived_set(MAIN_SET));
            }
            b"ROWS" => {
                write(SCRATCH);
                let file = self.store.sidecar(SCRATCH).expect("valid checksums").expect("just written");
                // Any outcome.
                let _ = RowChanges::read(&file, &mut self.rows(), self.store.snapshot().bound());
            }
            _ => {
                let Some(at) = self.files.iter().position(|file| file.kind() == kind) else { return };
                write(SCRATCH);
                let mut files = self.files.clone();
                files[at] = self.store.sidecar(SCRATCH).expect("valid checksums").expect("just written");
                // Any outcome.
                let _ = model_files::load_curve(&files[0]);
                let _ = model_files::load_files(
                    &files,
                    self.store.snapshot().bound(),
                    false,
                    &CancelToken::new(),
                );
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use hedgerow_test_support::{SectionInput, for_each_seed, write_seed};

    use hedgerow_storage::Error as StoreError;

    use super::*;
    use crate::config::error::Error;
    use crate::train::event::TrainEvent;

    /// Texts of version 1, which are read and no longer written.
    fn seed_of_version_1() {
        for (name, kind, tag, text) in [
            (
                "lines_of_a_model",
                *b"MODL",
                *b"recipe\0\0",
                "walk.seed 9\ndim 2\ntarget pin\npath board-pin board-pin\ndense 1 a",
            ),
            (
                "lines_of_a_curve",
                *b"MODL",
                *b"epochs\0\0",
                "epoch 1 0.25 0.5 -0.1\nepoch 2 0.25 - 0\nkept 1\n",
            ),
            (
                "lines_of_a_training",
                *b"TRNG",
                *b"run\0\0\0\0\0",
                "graph 1\npairs 0a\noption target pin\noption walks 2\noption hard_ranks 1-9\nepoch 1 6.3 - 2.5 0.4 2.4\nbest 1\n",
            ),
            ("lines_of_refreshes", *b"RFSH", *b"lines\0\0\0", "2 7 0 0 0 true 0.3 0.1 0 0.3 1 2\n"),
        ] {
            let input = SectionInput { kind, version: 1, sections: vec![(tag, text.as_bytes())] };
            write_seed("model_files", name, &input.to_bytes());
        }
    }

    /// Seeds were made by [`seeds_of_all_targets`], or once failed.
    #[test]
    fn no_seed_does_harm() {
        let folder = tempfile::tempdir().expect("a folder");
        let decoders = Decoders::new(folder.path());
        for_each_seed("model_files", |bytes| {
            if let Some(SectionInput { kind, version, sections }) = SectionInput::parse(bytes) {
                decoders.file(kind, version, &sections);
            }
        });
    }

    fn store_rows(decoders: &Decoders, file: &SectionWriter<'_>) -> SectionFile {
        decoders.store.write_sidecar(SCRATCH, file).expect("written");
        decoders.store.sidecar(SCRATCH).expect("sound").expect("there")
    }

    /// A file that does not fit the rows is damage, whichever section is too short or too long, and never a wrong row or a panic.
    #[test]
    fn a_file_of_changed_rows_with_a_section_of_another_length_is_damage() {
        let folder = tempfile::tempdir().expect("a folder");
        let decoders = Decoders::new(folder.path());
        let bound = decoders.store.snapshot().bound();
        let rows = decoders.rows();
        let intact = store_rows(&decoders, &RowChanges::all(&rows).file(&rows));
        let mut read = decoders.rows();
        let changes = RowChanges::read(&intact, &mut read, bound).expect("it fits");
        assert_eq!(changes, RowChanges::all(&rows));
        assert!([0, 3, 7].into_iter().all(|row| read.vectors.numbers(row) == rows.vectors.numbers(row)));
        let bytes = std::fs::read(intact.path()).expect("there");
        let input = SectionInput::of_file(&bytes);
        for at in 0..input.sections.len() {
            for longer in [false, true] {
                let mut file = SectionWriter::new(input.kind, input.version);
                for (other, (tag, content)) in input.sections.iter().enumerate() {
                    let mut content = content.to_vec();
                    if other == at && longer {
                        content.extend_from_slice(&[0; 8]);
                    } else if other == at {
                        content.truncate(content.len().saturating_sub(8));
                    }
                    file.section(*tag, content);
                }
                let (tag, content) = &input.sections[at];
                let found = RowChanges::read(&store_rows(&decoders, &file), &mut decoders.rows(), bound);
                let is_damage = matches!(found, Err(Error::Store(StoreError::Damaged { .. })));
                assert!(
                    is_damage || content.is_empty() && !longer,
                    "{:?} longer: {longer}",
                    tag.escape_ascii().to_string()
                );
            }
        }
    }

    /// Files of version 1 have four bytes for each count.
    #[test]
    fn counts_of_any_size_are_read_from_both_versions_and_sections_that_disagree_are_damage() {
        let folder = tempfile::tempdir().expect("a folder");
        let decoders = Decoders::new(folder.path());
        let mut rows = decoders.rows();
        let counted = [vec![(1, 70_000), (2, 256), (3, 255), (4, 1)], vec![], vec![(0, 300), (5, 2)]];
        for (row, list) in (0..).zip(&counted) {
            rows.neighborhoods.set(row, list);
        }
        let expected: Vec<Vec<_>> = rows.neighborhoods.iter().map(|list| list.iter().collect()).collect();
        let bytes = std::fs::read(store_rows(&decoders, &model_files::neighborhoods_file(&rows)).path());
        let bytes = bytes.expect("there");
        let input = SectionInput::of_file(&bytes);
        let load = |version: u32, sections: &[([u8; 8], Vec<u8>)]| {
            let mut file = SectionWriter::new(input.kind, version);
            for (tag, content) in sections {
                file.section(*tag, content.clone());
            }
            let mut files = decoders.files.clone();
            files[1] = store_rows(&decoders, &file);
            model_files::load_files(&files, decoders.store.snapshot().bound(), false, &CancelToken::new())
        };
        let lists = |state: &State| -> Vec<Vec<_>> {
            state.neighborhoods.iter().map(|list| list.iter().collect()).collect()
        };
        let sections: Vec<([u8; 8], Vec<u8>)> =
            input.sections.iter().map(|(tag, content)| (*tag, content.to_vec())).collect();
        assert_eq!(lists(&load(input.version, &sections).expect("intact")), expected);
        let at = |tag: &[u8; 8]| sections.iter().position(|(other, _)| other == tag).expect("there");
        let (counts, places, large) = (at(b"counts\0\0"), at(b"large-at"), at(b"large\0\0\0"));
        // Version 1.
        let mut old = sections.clone();
        old.truncate(counts + 1);
        let all = expected.iter().flatten().flat_map(|&(_, count): &(u32, u32)| count.to_le_bytes());
        old[counts].1 = all.collect();
        assert_eq!(lists(&load(1, &old).expect("intact")), expected);
        // Places and counts that do not belong together.
        let is_damage = |section: usize, change: &dyn Fn(&mut Vec<u8>)| {
            let mut changed = sections.clone();
            change(&mut changed[section].1);
            matches!(load(input.version, &changed), Err(Error::Store(StoreError::Damaged { .. })))
        };
        assert!(!is_damage(counts, &|_| ()));
        assert!(is_damage(counts, &|bytes| bytes[3] = 0));
        assert!(is_damage(counts, &|bytes| bytes[0] = 1));
        assert!(is_damage(counts, &|bytes| bytes.truncate(5)));
        assert!(is_damage(places, &|bytes| bytes[0] = 2));
        assert!(is_damage(places, &|bytes| bytes[15] = 1));
        assert!(is_damage(places, &|bytes| bytes.rotate_left(8)));
        assert!(is_damage(large, &|bytes| bytes.truncate(8)));
    }

    /// `cargo test -p hedgerow-model --lib seeds_of_all_targets -- --ignored` after a change of a format.
    #[test]
    #[ignore = "it writes into the source tree"]
    fn seeds_of_all_targets() {
        let folder = tempfile::tempdir().expect("a folder");
        let decoders = Decoders::new(folder.path());
        let seed = |name: &str, path: &Path| {
            let bytes = std::fs::read(path).expect("there");
            write_seed("model_files", name, &SectionInput::of_file(&bytes).to_bytes());
        };
        for (name, file) in ["model", "neighborhoods", "embeddings"].iter().zip(&decoders.files) {
            seed(name, file.path());
        }
        let rows = decoders.rows();
        store_rows(&decoders, &RowChanges::all(&rows).file(&rows));
        seed("changed_rows", &decoders.store.path().join(format!("{SCRATCH}.aside")));
        // A refresh leaves its record, and an interrupted training its state.
        let store = &decoders.store;
        let engine = Engine::open(Arc::clone(store)).expect("opened");
        let mut batch = Batch::new();
        let (pin, board) = (NodeRef { kind: "pin", key: "1" }, NodeRef { kind: "board", key: "2" });
        batch.link(pin, board, Edge::default()).expect("valid");
        store.commit(&batch).expect("committed");
        engine.refresh(false, &CancelToken::new()).expect("refreshed");
        engine.persist(&CancelToken::new()).expect("stored");
        seed("refreshes", &store.path().join("refreshes.aside"));
        let options = TrainOptions { dim: 2, epochs: 2, threads: 1, ..TrainOptions::new(["pin"]) };
        let cancel = CancelToken::new();
        let mut observer = |event: &TrainEvent| {
            if matches!(event, TrainEvent::Epoch(_)) {
                cancel.cancel();
            }
        };
        let trained = engine.training(&options).observer(&mut observer).run(&cancel);
        assert!(trained.expect("published").cancelled);
        seed("training", &store.path().join("training.aside"));
        seed_of_version_1();
    }
}

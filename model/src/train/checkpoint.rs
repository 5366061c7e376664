//! The state of a training after an epoch, in a sidecar file of the store. A run that resumes from it gives the
//! result of an uninterrupted one. FORMAT.md has the layout. Knows nothing of how epochs are made.

use hedgerow_storage::{DerivedSet, Epoch, Error as StoreError, NodeName, SectionFile, SectionWriter};
use serde::{Deserialize, Serialize};

use crate::config::error::Error;
use crate::config::json::epoch_number;
use crate::config::model_config::ModelConfig;
use crate::config::options::TrainOptions;
use crate::config::{json, legacy};
use crate::factors::held_out_ranking::RankingQuality;
use crate::network::encoder::Encoder;
use crate::network::hash_embedding;
use crate::network::hash_embedding::{HashEmbedding, TrainedRows};
use crate::network::parameter_vector::ParameterVector;
use crate::network::weights::Weights;
use crate::train::adam::Adam;
use crate::train::event::EpochReport;

/// The name of the sidecar file.
pub(crate) const NAME: &str = "training";
const KIND: [u8; 4] = *b"TRNG";
/// In version 1 the section `run` was lines of text.
const VERSION: u32 = 2;

/// The input of a run, which is the same in all its epochs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Origin {
    pub(crate) options: TrainOptions,
    /// The epoch of the graph.
    #[serde(with = "epoch_number")]
    pub(crate) graph: Epoch,
    /// BLAKE3 of the caller's pairs in hexadecimal digits.
    pub(crate) pairs: Option<String>,
}

/// The parts of a run that change with each epoch.
pub(crate) struct Progress {
    pub(crate) encoder: Encoder,
    pub(crate) adam: Adam,
    /// The best epoch so far, from 1, and its parameters.
    pub(crate) best: Option<(u32, ParameterVector)>,
    pub(crate) best_recall: f32,
    /// The quality of the best whole score, if epochs are compared by it.
    pub(crate) best_score: Option<RankingQuality>,
    /// Consecutive epochs without progress.
    pub(crate) worse: u32,
    pub(crate) epochs: Vec<EpochReport>,
}

impl Progress {
    pub(crate) fn new(mut encoder: Encoder) -> Self {
        let adam = Adam::new(&mut encoder);
        Self { encoder, adam, best: None, best_recall: 0.0, best_score: None, worse: 0, epochs: Vec::new() }
    }

    /// Replaces the sidecar file durably.
    pub(crate) fn save(&self, set: DerivedSet<'_>, origin: &Origin) -> Result<(), StoreError> {
        let Self { encoder, adam, best, epochs, .. } = self;
        let (rows, rest) = (encoder.table.rows.values(), ParameterVector::rest(encoder));
        // The parameters of the last epoch are stored anyway.
        let earlier_best = best.as_ref().filter(|(epoch, _)| *epoch as usize != epochs.len());
        let mut file = SectionWriter::new(KIND, VERSION);
        file.section(*b"run\0\0\0\0\0", json::text_of(&self.summary(origin)).into_bytes());
        file.section(*b"bits\0\0\0\0", vec![encoder.table.bits()]);
        file.section(*b"trained\0", encoder.table.trained.rows());
        file.section_chunks(*b"now\0\0\0\0\0", || [rows, rest.as_slice()].into_iter());
        file.section_chunks(*b"first\0\0\0", || adam.moments().map(|(first, _)| first));
        file.section_chunks(*b"second\0\0", || adam.moments().map(|(_, second)| second));
        file.section(
            *b"best\0\0\0\0",
            earlier_best.map_or(&[][..], |(_, parameters)| parameters.0.as_slice()),
        );
        set.write_sidecar(NAME, &file)
    }

    fn summary(&self, origin: &Origin) -> Summary {
        Summary {
            origin: origin.clone(),
            steps: self.adam.steps(),
            best: self.best.as_ref().map_or(0, |(epoch, _)| *epoch),
            best_recall: self.best_recall,
            best_score: self.best_score.clone(),
            worse: self.worse,
            epochs: self.epochs.clone(),
        }
    }
}

/// The section `run`: everything except parameters and moments.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Summary {
    pub(crate) origin: Origin,
    /// Steps of the optimizer.
    steps: i32,
    /// The best epoch, from 1.
    best: u32,
    best_recall: f32,
    #[serde(default)]
    best_score: Option<RankingQuality>,
    worse: u32,
    pub(crate) epochs: Vec<EpochReport>,
}

/// An opened checkpoint, of which everything is read that needs no graph.
pub(crate) struct Checkpoint {
    file: SectionFile,
    pub(crate) summary: Summary,
}

impl Checkpoint {
    /// Opens the checkpoint. `None` if there is none.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] with file and section.
    pub(crate) fn open(set: DerivedSet<'_>) -> Result<Option<Self>, Error> {
        let Some(file) = set.sidecar(NAME)? else { return Ok(None) };
        file.require(KIND, VERSION)?;
        let damaged = |reason: String| file.damaged("section 'run'", reason);
        let text = std::str::from_utf8(file.section(*b"run\0\0\0\0\0")?);
        let text = text.map_err(|error| damaged(error.to_string()))?;
        let summary: Summary =
            json::parse(text, legacy::training).map_err(|error| damaged(error.to_string()))?;
        let Summary { origin, best, epochs, .. } = &summary;
        origin.options.validate().map_err(|error| damaged(error.to_string()))?;
        let is_numbered = epochs.iter().zip(1..).all(|(report, epoch)| report.epoch == epoch);
        if !is_numbered || !(1..=epochs.len()).contains(&(*best as usize)) {
            return Err(damaged("epochs that do not follow one another".to_owned()).into());
        }
        Ok(Some(Self { file, summary }))
    }

    /// Checks that graph and pairs are those that the run began with.
    ///
    /// # Errors
    /// [`Error::GraphChanged`] or [`Error::PairsChanged`].
    pub(crate) fn require(&self, graph: Epoch, pairs: Option<&str>) -> Result<(), Error> {
        let origin = &self.summary.origin;
        if graph != origin.graph {
            return Err(Error::GraphChanged { trained: origin.graph, found: graph });
        }
        let trained = origin.pairs.as_deref();
        if pairs != trained {
            let trained =
                if trained.is_some() { "pairs of the caller's" } else { "no pairs of the caller's" };
            let found = match pairs {
                None => "none",
                Some(_) if origin.pairs.is_some() => "others",
                Some(_) => "some",
            };
            return Err(Error::PairsChanged { trained, found });
        }
        Ok(())
    }

    /// Reads the rest, for a model configuration made from the same options and graph.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] with file and section.
    pub(crate) fn progress(self, config: &ModelConfig) -> Result<Progress, Error> {
        let Self { file, summary } = self;
        let damaged = |place: &str| -> Error {
            file.damaged(format!("section '{place}'"), "does not fit the other sections").into()
        };
        let bits = match file.section_u32(*b"bits\0\0\0\0")? {
            &[bits] if hash_embedding::BITS.contains(&bits) => bits,
            _ => return Err(damaged("bits")),
        };
        let trained = file.section_u32(*b"trained\0")?;
        if !TrainedRows::is_valid(bits, trained) {
            return Err(damaged("trained"));
        }
        let table = HashEmbedding::zeros(TrainedRows::new(bits, trained.iter().copied()), config.dim);
        let weights = Weights::zeros(config.conv, config.layers, config.dim, config.dense_width());
        let mut encoder = Encoder { table, weights };
        if !ParameterVector::unpack(file.section_f32(*b"now\0\0\0\0\0")?, &mut encoder) {
            return Err(damaged("now"));
        }
        let (first, second) = (file.section_f32(*b"first\0\0\0")?, file.section_f32(*b"second\0\0")?);
        let adam =
            Adam::restored(&mut encoder, summary.steps, first, second).ok_or_else(|| damaged("first"))?;
        let best = if summary.best as usize == summary.epochs.len() {
            ParameterVector::of(&encoder)
        } else {
            let parameters = file.section_f32(*b"best\0\0\0\0")?;
            if parameters.len() != file.section_f32(*b"now\0\0\0\0\0")?.len() {
                return Err(damaged("best"));
            }
            ParameterVector(parameters.to_vec())
        };
        Ok(Progress {
            encoder,
            adam,
            best: Some((summary.best, best)),
            best_recall: summary.best_recall,
            best_score: summary.best_score,
            worse: summary.worse,
            epochs: summary.epochs,
        })
    }
}

/// Removes the checkpoint of a training that has ended.
pub(crate) fn discard(set: DerivedSet<'_>) -> Result<(), StoreError> {
    set.remove_sidecar(NAME)
}

/// A digest that identifies pairs: BLAKE3 of their names in order.
pub(crate) fn digest_of_pairs(pairs: &[(NodeName, NodeName)]) -> String {
    let mut hasher = blake3::Hasher::new();
    for name in pairs.iter().flat_map(|(query, item)| [query, item]) {
        let name = name.to_string();
        hasher.update(&(name.len() as u64).to_le_bytes());
        hasher.update(name.as_bytes());
    }
    hasher.finalize().to_hex().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::options::{Loss, Positives};

    /// The section of a training that version 1 wrote, with two targets and options that are no defaults.
    const VERSION_1: &str = "graph 1\npairs 0a1b\noption target movie\noption target user\noption dim 16\n\
        option layers 2\noption conv light\noption walks 200\noption visits 3\noption stop 0.5\noption top 50\n\
        option min_visits 3\noption walk_seed 9\noption ids auto\noption popularity true\noption damping true\n\
        option epochs 6\noption pairs_per_epoch 200000\noption batch 2048\noption negatives 4000\n\
        option hard_negatives 2\noption hard_ranks 10-90\noption positives walks\noption history 20\n\
        option loss margin\noption margin 0.1\noption temperature 0.1\noption learning_rate 0.003\n\
        option decay 0.85\noption held_out 5000\noption patience 3\noption seed 1\noption negative_power 0\n\
        option pooling importance\noption degree_input false\noption warm false\nsteps 52\nbest 2\n\
        best_recall 0.45898777\nworse 0\n\
        epoch 1 6.382266 - 20951.530992984066 0.45208365 2.484640979\n\
        epoch 2 5.6813054 0.45898777 22419.40231917067 0.43441698 2.328474247\n";

    /// A training that version 1 interrupted must resume with its own options, or its result would be another.
    #[test]
    fn an_interrupted_training_of_version_1_keeps_its_options_and_epochs() {
        let found: Summary = json::parse(VERSION_1, legacy::training).expect("a whole text");
        let mut options = TrainOptions {
            dim: 16,
            epochs: 6,
            hard_negatives: 2,
            hard_ranks: (10, 90),
            positives: Positives::Walks,
            history: 20,
            loss: Loss::Margin,
            learning_rate: 0.003,
            patience: 3,
            ..TrainOptions::new(["movie", "user"])
        };
        (options.walks.min_visits, options.walks.seed) = (3, 9);
        assert_eq!(found.origin.options, options);
        assert_eq!((found.origin.graph, found.origin.pairs.as_deref()), (Epoch::new(1), Some("0a1b")));
        assert_eq!((found.steps, found.best, found.best_recall, found.worse), (52, 2, 0.458_987_77, 0));
        let recalls: Vec<_> = found.epochs.iter().map(|epoch| (epoch.epoch, epoch.recall)).collect();
        assert_eq!(recalls, [(1, None), (2, Some(0.458_987_77))]);
        // The text of today reads back as the same.
        let text = json::text_of(&found);
        let again: Summary = json::parse(&text, |_| None).expect("its own text");
        assert_eq!((again.origin, again.epochs), (found.origin, found.epochs));
    }
}

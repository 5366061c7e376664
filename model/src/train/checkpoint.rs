//! The state of a training between two epochs, kept beside the store: all that a run needs to go on as if it had never
//! stopped. The layout is in FORMAT.md. Knows nothing of how epochs are made.

use std::fmt::Write as _;

use hedgerow_storage::{Epoch, Error as StoreError, NodeName, SectionFile, SectionWriter, Store};

use crate::config::error::Error;
use crate::config::model_config::ModelConfig;
use crate::config::options::TrainOptions;
use crate::network::encoder::Encoder;
use crate::network::hash_embedding;
use crate::network::hash_embedding::{HashEmbedding, Known};
use crate::network::parameter_vector::ParameterVector;
use crate::network::weights::Weights;
use crate::train::adam::Adam;
use crate::train::event::EpochReport;

/// The name that it is kept under.
const NAME: &str = "training";
const KIND: [u8; 4] = *b"TRNG";
const VERSION: u32 = 1;

/// What a run is of: the same from its first epoch to its last.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Origin {
    pub(crate) options: TrainOptions,
    /// The graph.
    pub(crate) graph: Epoch,
    /// BLAKE3 of the caller's pairs, in hexadecimal digits.
    pub(crate) pairs: Option<String>,
}

/// What changes from epoch to epoch.
pub(crate) struct Progress {
    pub(crate) encoder: Encoder,
    pub(crate) adam: Adam,
    /// The epoch that is to be kept, from 1, and what it gave.
    pub(crate) best: Option<(u32, ParameterVector)>,
    pub(crate) best_recall: f32,
    /// Epochs in a row that were worse.
    pub(crate) worse: u32,
    pub(crate) epochs: Vec<EpochReport>,
}

impl Progress {
    pub(crate) fn new(mut encoder: Encoder) -> Self {
        let adam = Adam::new(&mut encoder);
        Self { encoder, adam, best: None, best_recall: 0.0, worse: 0, epochs: Vec::new() }
    }

    /// Keeps it durably in the place of what was kept before.
    pub(crate) fn keep(&self, store: &Store, origin: &Origin) -> Result<(), StoreError> {
        let Self { encoder, adam, best, epochs, .. } = self;
        let (rows, rest) = (encoder.table.rows.values(), ParameterVector::rest(encoder));
        // Where the last epoch is the best, its state stands there already.
        let other = best.as_ref().filter(|(epoch, _)| *epoch as usize != epochs.len());
        let mut file = SectionWriter::new(KIND, VERSION);
        file.section(*b"run\0\0\0\0\0", self.to_text(origin).into_bytes());
        file.section(*b"bits\0\0\0\0", vec![encoder.table.bits()]);
        file.section(*b"trained\0", encoder.table.known.rows());
        file.section_chunks(*b"now\0\0\0\0\0", || [rows, rest.as_slice()].into_iter());
        file.section_chunks(*b"first\0\0\0", || adam.moments().map(|(first, _)| first));
        file.section_chunks(*b"second\0\0", || adam.moments().map(|(_, second)| second));
        file.section(*b"best\0\0\0\0", other.map_or(&[][..], |(_, packed)| packed.0.as_slice()));
        store.write_sidecar(NAME, &file)
    }

    fn to_text(&self, origin: &Origin) -> String {
        let mut text = format!("graph {}\n", origin.graph);
        let mut line = |name: &str, value: &dyn std::fmt::Display| {
            writeln!(text, "{name} {value}").expect("text takes whatever is written");
        };
        if let Some(pairs) = &origin.pairs {
            line("pairs", pairs);
        }
        for (name, value) in origin.options.lines() {
            line("option", &format_args!("{name} {value}"));
        }
        line("steps", &self.adam.steps());
        line("best", &self.best.as_ref().map_or(0, |(epoch, _)| *epoch));
        line("best_recall", &self.best_recall);
        line("worse", &self.worse);
        for epoch in &self.epochs {
            let EpochReport { epoch, loss, recall, pairs_per_second, mean_cosine, seconds } = epoch;
            let recall = recall.map_or_else(|| "-".to_owned(), |recall| recall.to_string());
            line(
                "epoch",
                &format_args!("{epoch} {loss} {recall} {pairs_per_second} {mean_cosine} {seconds}"),
            );
        }
        text
    }
}

/// What was kept last, read as far as it can be without the graph.
pub(crate) struct Checkpoint {
    file: SectionFile,
    pub(crate) origin: Origin,
    pub(crate) epochs: Vec<EpochReport>,
    steps: i32,
    best: u32,
    best_recall: f32,
    worse: u32,
}

impl Checkpoint {
    /// # Errors
    /// [`StoreError::Damaged`] with the file and the place.
    pub(crate) fn open(store: &Store) -> Result<Option<Self>, Error> {
        let Some(file) = store.sidecar(NAME)? else { return Ok(None) };
        file.require(KIND, VERSION)?;
        let origin = Origin {
            options: TrainOptions { targets: Vec::new(), ..TrainOptions::default() },
            graph: Epoch::new(0),
            pairs: None,
        };
        let read = file.clone();
        let mut found =
            Self { file, origin, epochs: Vec::new(), steps: 0, best: 0, best_recall: 0.0, worse: 0 };
        let is_read = std::str::from_utf8(read.section(*b"run\0\0\0\0\0")?).is_ok_and(|text| {
            let mut lines = text.lines().map(|line| line.split_once(' '));
            lines.all(|line| line.is_some_and(|(name, value)| found.set(name, value).is_some()))
        });
        let is_valid = found.origin.options.validate().is_ok()
            && found.epochs.iter().zip(1..).all(|(report, epoch)| report.epoch == epoch)
            && (1..=found.epochs.len()).contains(&(found.best as usize));
        if !is_read || !is_valid {
            return Err(read.damaged("section 'run'", "a line that says nothing").into());
        }
        Ok(Some(found))
    }

    fn set(&mut self, name: &str, value: &str) -> Option<()> {
        match name {
            "graph" => self.origin.graph = Epoch::new(value.parse().ok()?),
            "pairs" => self.origin.pairs = Some(value.to_owned()),
            "option" => {
                let (name, value) = value.split_once(' ')?;
                self.origin.options.set(name, value)?;
            }
            "steps" => self.steps = value.parse().ok()?,
            "best" => self.best = value.parse().ok()?,
            "best_recall" => self.best_recall = value.parse().ok()?,
            "worse" => self.worse = value.parse().ok()?,
            "epoch" => {
                let fields: Vec<&str> = value.split(' ').collect();
                let [epoch, loss, recall, pairs_per_second, mean_cosine, seconds] = fields[..] else {
                    return None;
                };
                self.epochs.push(EpochReport {
                    epoch: epoch.parse().ok()?,
                    loss: loss.parse().ok()?,
                    recall: if recall == "-" { None } else { Some(recall.parse().ok()?) },
                    pairs_per_second: pairs_per_second.parse().ok()?,
                    mean_cosine: mean_cosine.parse().ok()?,
                    seconds: seconds.parse().ok()?,
                });
            }
            _ => return None,
        }
        Some(())
    }

    /// Refuses a graph or pairs that are not those the run began with.
    pub(crate) fn require(&self, graph: Epoch, pairs: Option<&str>) -> Result<(), Error> {
        if graph != self.origin.graph {
            return Err(Error::GraphChanged { trained: self.origin.graph, found: graph });
        }
        let trained = self.origin.pairs.as_deref();
        if pairs != trained {
            let trained =
                if trained.is_some() { "pairs of the caller's" } else { "no pairs of the caller's" };
            let found = match pairs {
                None => "none",
                Some(_) if self.origin.pairs.is_some() => "others",
                Some(_) => "some",
            };
            return Err(Error::OtherPairs { trained, found });
        }
        Ok(())
    }

    /// The rest of it, for a recipe made of the same options and graph.
    pub(crate) fn progress(self, recipe: &ModelConfig) -> Result<Progress, Error> {
        let file = &self.file;
        let damaged = |place: &str| -> Error {
            file.damaged(format!("section '{place}'"), "does not fit the other sections").into()
        };
        let bits = match file.section_u32(*b"bits\0\0\0\0")? {
            &[bits] if hash_embedding::BITS.contains(&bits) => bits,
            _ => return Err(damaged("bits")),
        };
        let trained = file.section_u32(*b"trained\0")?;
        if !Known::can_be(bits, trained) {
            return Err(damaged("trained"));
        }
        let table = HashEmbedding::zeros(Known::new(bits, trained.iter().copied()), recipe.dim);
        let weights = Weights::zeros(recipe.conv, recipe.layers, recipe.dim, recipe.dense_width());
        let mut encoder = Encoder { table, weights };
        if !ParameterVector::unpack(file.section_f32(*b"now\0\0\0\0\0")?, &mut encoder) {
            return Err(damaged("now"));
        }
        let (first, second) = (file.section_f32(*b"first\0\0\0")?, file.section_f32(*b"second\0\0")?);
        let adam = Adam::restored(&mut encoder, self.steps, first, second).ok_or_else(|| damaged("first"))?;
        let best = if self.best as usize == self.epochs.len() {
            ParameterVector::of(&encoder)
        } else {
            let packed = file.section_f32(*b"best\0\0\0\0")?;
            if packed.len() != file.section_f32(*b"now\0\0\0\0\0")?.len() {
                return Err(damaged("best"));
            }
            ParameterVector(packed.to_vec())
        };
        Ok(Progress {
            encoder,
            adam,
            best: Some((self.best, best)),
            best_recall: self.best_recall,
            worse: self.worse,
            epochs: self.epochs,
        })
    }
}

/// Forgets what was kept: the training that it is of has ended.
pub(crate) fn discard(store: &Store) -> Result<(), StoreError> {
    store.remove_sidecar(NAME)
}

/// What tells pairs from other pairs: BLAKE3 of their names, in their order.
pub(crate) fn digest_of_pairs(pairs: &[(NodeName, NodeName)]) -> String {
    let mut hasher = blake3::Hasher::new();
    for name in pairs.iter().flat_map(|(query, item)| [query, item]) {
        let name = name.to_string();
        hasher.update(&(name.len() as u64).to_le_bytes());
        hasher.update(name.as_bytes());
    }
    hasher.finalize().to_hex().to_string()
}

//! The files of a generation: its model, and the state derived with it. FORMAT.md has their layouts. Inconsistent
//! files are reported as damage.

use std::sync::Arc;

use hedgerow_storage::{CancelToken, Derived, Error as StoreError, NodeIx, SectionFile, SectionWriter};
use ndarray::Array1;
use rayon::prelude::*;

use crate::config::degree;
use crate::config::error::Error;
use crate::config::graph_constants::GraphConstants;
use crate::config::model_config::ModelConfig;
use crate::factors::item_factors::ItemFactors;
use crate::factors::model_factors::ModelFactors;
use crate::linalg::huge_matrix::HugeMatrix;
use crate::linalg::rounded_rows::{Round, RoundedRows, round, round_to_unit_length, stored_width};
use crate::network::encoder::Encoder;
use crate::network::hash_embedding::{HashEmbedding, TrainedRows};
use crate::network::parameters;
use crate::network::parameters::LoadedModel;
use crate::network::weights::Weights;
use crate::state::layer_rows::{ABSENT, State};
use crate::state::learning_curve::LearningCurve;
use crate::state::neighborhood_lists::{
    ListsBuilder, Neighborhood, NeighborhoodLists, PackedLists, StoredLists, count_byte,
};
use crate::state::row_changes::StoredRows;

/// The model of the generation before, without rows: a rollback makes it current again.
pub(crate) const PREVIOUS_MODEL: &str = "previous-model";
/// The names of the three files in the manifest.
pub(crate) const MODEL: &str = "model";
pub(crate) const NEIGHBORHOODS: &str = "neighborhoods";
pub(crate) const EMBEDDINGS: &str = "embeddings";

/// In version 1 the configuration and the learning curve were lines of text.
const MODEL_VERSION: u32 = 2;
/// In version 1 counts had four bytes.
const NEIGHBORHOODS_VERSION: u32 = 2;
/// In version 1 rows were summed without fused products, and in version 2 they were not rounded. So their bits are different.
const EMBEDDINGS_VERSION: u32 = 3;
/// The first version with rounded rows.
const ROUNDED_VERSION: u32 = 3;

/// A matrix is followed by rows of zeros, one for this many rows: a process that maps the file adds rows there.
const ROOM: usize = 64;
/// Rows whose counts are written together.
const ROWS_TOGETHER: usize = 1 << 14;
/// Neighbors that a thread compares as one task.
const COMPARED_TOGETHER: usize = 1 << 16;
static ZEROS: [f32; 4096] = [0.0; 4096];

/// The section of the learning curve, which older files lack.
const CURVE: [u8; 8] = *b"epochs\0\0";

/// The sections of the factors of a kind. The last byte is its place in the configuration.
const ITEM_IDS: [u8; 8] = *b"itemids\0";
const ITEM_FACTORS: [u8; 8] = *b"factors\0";
const PULLS: [u8; 8] = *b"pulls\0\0\0";

/// The file of a model: its configuration, token table, weights, learning curve and factors, which are those of the state.
pub(crate) fn model_file<'a>(
    state: &'a State,
    factors: &'a [ItemFactors],
    curve: &LearningCurve,
) -> SectionWriter<'a> {
    let State { config, encoder, .. } = state;
    let mut weights = Vec::new();
    for (_, values) in encoder.weights.clone().tensors_mut() {
        weights.extend_from_slice(values);
    }
    let mut file = SectionWriter::new(*b"MODL", MODEL_VERSION);
    file.section(*b"recipe\0\0", config.to_text().into_bytes());
    file.section(*b"bits\0\0\0\0", vec![encoder.table.bits()]);
    file.section(*b"trained\0", encoder.table.trained.rows());
    file.section(*b"table\0\0\0", encoder.table.rows.values());
    file.section(*b"bias\0\0\0\0", encoder.table.bias.to_vec());
    file.section(*b"weights\0", weights);
    file.section(CURVE, curve.to_text().into_bytes());
    for (kind, factors) in factors.iter().enumerate() {
        file.section(numbered(ITEM_IDS, kind), factors.ids.as_slice());
        file.section(numbered(ITEM_FACTORS, kind), factors.z.as_flattened());
        file.section(numbered(PULLS, kind), factors.pulls.as_flattened());
    }
    file
}

/// The file of the rows: their nodes, degree levels and neighborhoods.
pub(crate) fn neighborhoods_file(state: &State) -> SectionWriter<'_> {
    let mut offsets = vec![0u64];
    for neighborhood in state.neighborhoods.iter() {
        offsets.push(offsets[offsets.len() - 1] + neighborhood.len() as u64);
    }
    let lists = &state.neighborhoods;
    let (large_places, large_counts): (Vec<u64>, Vec<u32>) = large_counts(lists).unzip();
    let mut file = SectionWriter::new(*b"NBHD", NEIGHBORHOODS_VERSION);
    file.section(*b"nodes\0\0\0", state.nodes.iter().map(|node| node.get()).collect::<Vec<u32>>());
    file.section(*b"alive\0\0\0", state.alive.iter().map(|&alive| u8::from(alive)).collect::<Vec<u8>>());
    file.section(*b"levels\0\0", state.levels.as_slice());
    file.section(*b"offsets\0", offsets);
    file.section_chunks(*b"rows\0\0\0\0", || lists.iter().map(|list| list.rows));
    let count_bytes = |first: usize| -> Vec<u8> {
        let some = (first..lists.rows().min(first + ROWS_TOGETHER)).map(|row| lists.get(row as u32));
        some.flat_map(Neighborhood::counts).map(count_byte).collect()
    };
    file.section_chunks(*b"counts\0\0", move || (0..lists.rows()).step_by(ROWS_TOGETHER).map(count_bytes));
    file.section(*b"large-at", large_places);
    file.section(*b"large\0\0\0", large_counts);
    file
}

/// The counts that do not fit a byte, and their places among all.
fn large_counts(lists: &NeighborhoodLists) -> impl Iterator<Item = (u64, u32)> + '_ {
    let all = (0..).zip(lists.iter().flat_map(Neighborhood::counts));
    all.filter(|&(_, count)| u32::from(count_byte(count)) != count)
}

/// The file of the matrices: rows of every layer, messages, embeddings and biases.
pub(crate) fn embeddings_file<'a>(state: &'a State) -> SectionWriter<'a> {
    let mut file = SectionWriter::new(*b"EMBD", EMBEDDINGS_VERSION);
    let zeros = |rows: usize, width: usize| {
        let room = rows.div_ceil(ROOM) * width;
        (0..room).step_by(ZEROS.len()).map(move |at| &ZEROS[..ZEROS.len().min(room - at)])
    };
    let mut section = |tag: [u8; 8], rows: &'a RoundedRows| {
        let matrix = rows.stored();
        let all = move || std::iter::once(matrix.values()).chain(zeros(matrix.rows(), matrix.width()));
        file.section_chunks(tag, all);
    };
    for (layer, matrix) in state.hidden.iter().enumerate() {
        section(numbered(*b"hidden\0\0", layer), matrix);
    }
    for (layer, matrix) in state.messages.iter().enumerate() {
        section(numbered(*b"message\0", layer), matrix);
    }
    let vectors = &state.vectors;
    let all = move || vectors.pieces().chain(zeros(vectors.rows(), vectors.width()));
    file.section_chunks(*b"vectors\0", all);
    file.section(*b"bias\0\0\0\0", state.bias.as_slice());
    file
}

fn numbered(mut tag: [u8; 8], layer: usize) -> [u8; 8] {
    tag[7] = b'0' + layer as u8;
    tag
}

/// Reads a published generation of a store whose node numbers are below `bound`; with `is_mapped` it maps the matrices. Returns
/// the state, the rows that the store has, and true if the rows have the bits that a rebuild would give.
///
/// # Errors
/// [`hedgerow_storage::Error::Damaged`] with file and section if the files are inconsistent; a cancellation.
pub(crate) fn load(
    derived: &Derived,
    bound: u32,
    is_mapped: bool,
    cancel: &CancelToken,
) -> Result<(State, StoredRows, bool), Error> {
    let files = [derived.file(MODEL)?, derived.file(NEIGHBORHOODS)?, derived.file(EMBEDDINGS)?];
    let mut state = load_files(&files, bound, is_mapped, cancel)?;
    let stored = StoredRows::read(derived, &mut state, bound)?;
    // Who maps the rows asks for few of them.
    if !is_mapped {
        state.make_reverse_lists();
    }
    state.epoch = derived.refreshed;
    files.iter().for_each(SectionFile::release_pages);
    Ok((state, stored, files[2].version() == EMBEDDINGS_VERSION))
}

/// Reads model, neighborhoods and embeddings, without reverse lists.
///
/// # Errors
/// As for [`load`].
pub(crate) fn load_files(
    files: &[SectionFile; 3],
    bound: u32,
    is_mapped: bool,
    cancel: &CancelToken,
) -> Result<State, Error> {
    let [model, neighborhoods, embeddings] = files;
    let LoadedModel { config, encoder, factors } = load_model(model, is_mapped)?;
    let mut state = State::new(config, Arc::new(encoder), factors);
    load_neighborhoods(&mut state, neighborhoods, bound)?;
    load_embeddings(&mut state, embeddings, is_mapped, cancel)?;
    Ok(state)
}

/// Reads the learning curve. `None` if the file is older than learning curves.
///
/// # Errors
/// As for [`load`].
pub(crate) fn load_curve(file: &SectionFile) -> Result<Option<LearningCurve>, Error> {
    if !file.has(CURVE) {
        return Ok(None);
    }
    let text = std::str::from_utf8(file.section(CURVE)?).ok();
    let curve = text.and_then(LearningCurve::from_text);
    Ok(Some(curve.ok_or_else(|| file.damaged("epochs", "not a learning curve"))?))
}

/// Reads the configuration.
///
/// # Errors
/// As for [`load`].
pub(crate) fn load_config(file: &SectionFile) -> Result<ModelConfig, Error> {
    file.require(*b"MODL", MODEL_VERSION)?;
    let text = std::str::from_utf8(file.section(*b"recipe\0\0")?)
        .map_err(|_| file.damaged("recipe", "does not fit the other sections"))?;
    let config = ModelConfig::from_text(text).map_err(|reason| file.damaged("recipe", reason))?;
    parameters::check(&config).map_err(|error| file.damaged("recipe", error.to_string()))?;
    Ok(config)
}

/// Reads configuration and parameters; with `is_mapped` it maps the token table, and reads factors when they are first used.
///
/// # Errors
/// As for [`load`].
pub(crate) fn load_model(file: &SectionFile, is_mapped: bool) -> Result<LoadedModel, Error> {
    let config = load_config(file)?;
    let damaged = |place: &str| file.damaged(place, "does not fit the other sections");
    let bits = match file.section_u32(*b"bits\0\0\0\0")? {
        [bits] if *bits <= 24 => *bits,
        _ => return Err(damaged("bits").into()),
    };
    let numbers = file.section_u32(*b"trained\0")?;
    let biases = file.section_f32(*b"bias\0\0\0\0")?;
    if !TrainedRows::is_valid(bits, numbers) || biases.len() != numbers.len() {
        return Err(damaged("trained").into());
    }
    let trained = Arc::new(TrainedRows::new(bits, numbers.iter().copied()));
    if file.section_len(*b"table\0\0\0") != Some(numbers.len() * config.dim * size_of::<f32>()) {
        return Err(damaged("table").into());
    }
    let rows = matrix_of(file, *b"table\0\0\0", (numbers.len(), config.dim), is_mapped)?;
    let rows = rows.ok_or_else(|| damaged("table"))?;
    let bias = Array1::from(biases.to_vec());
    let mut stored = file.section_f32(*b"weights\0")?;
    if stored.len() != Weights::count(config.conv, config.layers, config.dim, config.dense_width()) {
        return Err(damaged("weights").into());
    }
    let mut weights = Weights::zeros(config.conv, config.layers, config.dim, config.dense_width());
    for (_, values) in weights.tensors_mut() {
        let (these, rest) = stored.split_at(values.len());
        values.copy_from_slice(these);
        stored = rest;
    }
    let factors = if is_mapped {
        let (constants, file) = (config.graph.clone(), file.clone());
        ModelFactors::read_later(move || read_factors(&constants, &file, true))
    } else {
        ModelFactors::new(read_factors(&config.graph, file, false)?)
    };
    Ok(LoadedModel {
        config,
        encoder: Encoder { table: HashEmbedding { trained, rows, bias }, weights },
        factors,
    })
}

fn read_factors(
    constants: &[GraphConstants],
    file: &SectionFile,
    is_mapped: bool,
) -> Result<Vec<ItemFactors>, Error> {
    let factors = constants.iter().enumerate().map(|(kind, constants)| {
        let ids = file.section_u64(numbered(ITEM_IDS, kind))?;
        let (z, pulls) = (numbered(ITEM_FACTORS, kind), numbered(PULLS, kind));
        let (constants, ids) = (constants.clone(), ids.to_vec());
        let factors = if is_mapped {
            ItemFactors::map(constants, ids, file.shared_f32(z)?, file.shared_f32(pulls)?)
        } else {
            ItemFactors::read(constants, ids, file.section_f32(z)?, file.section_f32(pulls)?)
        };
        factors.map_err(|reason| file.damaged("factors", reason).into())
    });
    factors.collect()
}

fn load_neighborhoods(state: &mut State, file: &SectionFile, bound: u32) -> Result<(), Error> {
    file.require(*b"NBHD", NEIGHBORHOODS_VERSION)?;
    let damaged = |place: &str| -> StoreError { file.damaged(place, "does not fit the other sections") };
    let nodes = file.section_u32(*b"nodes\0\0\0")?;
    let (alive, levels) = (file.section(*b"alive\0\0\0")?, file.section(*b"levels\0\0")?);
    let offsets = file.section_u64(*b"offsets\0")?;
    let rows = file.section_u32(*b"rows\0\0\0\0")?;
    let count = nodes.len();
    if alive.len() != count || levels.len() != count || offsets.len() != count + 1 {
        return Err(damaged("nodes").into());
    }
    if nodes.iter().any(|&node| node >= bound) {
        return Err(damaged("nodes").into());
    }
    if levels.iter().any(|&level| level >= degree::levels()) {
        return Err(damaged("levels").into());
    }
    // Without an early end, so that the compiler compares many at once.
    let largest = rows.par_chunks(COMPARED_TOGETHER).map(|rows| rows.iter().copied().fold(0, u32::max)).max();
    if largest.is_some_and(|largest| largest as usize >= count) {
        return Err(damaged("rows").into());
    }
    state.row_of = vec![ABSENT; bound as usize];
    for (row, &node) in nodes.iter().enumerate() {
        state.row_of[node as usize] = row as u32;
        state.nodes.push(NodeIx::new(node));
    }
    state.alive = alive.iter().map(|&alive| alive != 0).collect();
    state.levels = levels.to_vec();
    let lists = if file.version() < NEIGHBORHOODS_VERSION {
        lists_of_version_1(offsets, rows, file.section_u32(*b"counts\0\0")?)
    } else {
        let stored = StoredLists {
            offsets: file.shared_u64(*b"offsets\0")?,
            rows: file.shared_u32(*b"rows\0\0\0\0")?,
            counts: file.shared_bytes(*b"counts\0\0")?,
            large_places: file.shared_u64(*b"large-at")?,
            large_counts: file.shared_u32(*b"large\0\0\0")?,
        };
        PackedLists::of_file(stored).map(NeighborhoodLists::new)
    };
    state.neighborhoods = lists.ok_or_else(|| damaged("offsets"))?;
    Ok(())
}

/// The lists of a file of version 1. `None` if its sections do not fit each other.
fn lists_of_version_1(offsets: &[u64], rows: &[u32], counts: &[u32]) -> Option<NeighborhoodLists> {
    let mut lists = ListsBuilder::default();
    let mut reached = 0;
    for ends in offsets.windows(2) {
        let range = ends[0] as usize..ends[1] as usize;
        let list = rows.get(range.clone())?.iter().zip(counts.get(range.clone())?);
        if range.start != reached || list.clone().any(|(_, &count)| count == 0) {
            return None;
        }
        lists.push(list.map(|(&row, &count)| (row, count)));
        reached = range.end;
    }
    (reached == rows.len() && reached == counts.len()).then(|| lists.finish())
}

fn load_embeddings(
    state: &mut State,
    file: &SectionFile,
    is_mapped: bool,
    cancel: &CancelToken,
) -> Result<(), Error> {
    file.require(*b"EMBD", EMBEDDINGS_VERSION)?;
    let rows = state.rows();
    // One each for the vectors and the biases.
    let stage = cancel.stage("matrices", (state.hidden.len() + state.messages.len() + 2) as u64);
    let is_rounded = file.version() >= ROUNDED_VERSION;
    let matrix = |tag: [u8; 8], dim: usize, round: Round| -> Result<RoundedRows, Error> {
        stage.advance(1)?;
        let width = if is_rounded { stored_width(dim) } else { dim };
        let matrix = matrix_of(file, tag, (rows, width), is_mapped && is_rounded)?.ok_or_else(|| {
            let place = String::from_utf8_lossy(&tag).trim_end_matches('\0').to_owned();
            file.damaged(place, format!("does not hold {rows} rows of {width}"))
        })?;
        if is_rounded {
            return Ok(RoundedRows::from_stored(dim, matrix).expect("it was read with this width"));
        }
        let mut rounded = RoundedRows::zeros(rows, dim);
        let all = (0..if dim == 0 { 0 } else { rows }).zip(matrix.values().chunks_exact(dim.max(1)));
        all.for_each(|(row, numbers)| round(numbers, rounded.stored_mut().row_mut(row)));
        Ok(rounded)
    };
    for layer in 0..state.hidden.len() {
        state.hidden[layer] = matrix(numbered(*b"hidden\0\0", layer), state.config.dim, round)?;
    }
    for layer in 0..state.messages.len() {
        let width = state.encoder.weights.layers[layer].width();
        state.messages[layer] = matrix(numbered(*b"message\0", layer), width, round)?;
    }
    state.vectors = matrix(*b"vectors\0", state.config.dim, round_to_unit_length)?.into();
    stage.advance(1)?;
    let bias = file.section_f32(*b"bias\0\0\0\0")?;
    if bias.len() != rows {
        return Err(file.damaged("bias", format!("does not hold {rows} numbers")).into());
    }
    state.bias = bias.to_vec();
    stage.end();
    Ok(())
}

/// A matrix of a section, which may have room behind the rows. `None` if the section has another length. The rows of a mapped file are
/// not verified yet.
fn matrix_of(
    file: &SectionFile,
    tag: [u8; 8],
    (rows, width): (usize, usize),
    is_mapped: bool,
) -> Result<Option<HugeMatrix>, Error> {
    let most = (rows + rows.div_ceil(ROOM)) * width;
    if is_mapped && file.section_len(tag).is_some_and(|len| len > 0) {
        let section = file.private_f32(tag)?;
        return Ok(if section.len() > most { None } else { HugeMatrix::mapped(rows, width, section) });
    }
    let values = file.section_f32(tag)?;
    if values.len() > most {
        return Ok(None);
    }
    Ok(values.get(..rows * width).and_then(|values| HugeMatrix::from_values(rows, width, values)))
}

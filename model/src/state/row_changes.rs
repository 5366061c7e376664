//! The rows that refreshes changed since all rows were stored, and the files that hold them: one for each of the last persists, or
//! for some of them together. Owns which rows the next file holds. FORMAT.md has the layout.

use std::ops::Range;

use hedgerow_storage::{Derived, Epoch, Error as StoreError, NodeIx, SectionFile, SectionWriter};

use crate::config::degree;
use crate::config::error::Error;
use crate::linalg::rounded_rows::{Round, RoundedRows, round, round_to_unit_length};
use crate::state::incremental::ChangedRows;
use crate::state::layer_rows::{ABSENT, State};
use crate::state::neighborhood_lists::{Neighborhood, Visited};
use crate::state::row_set::RowSet;

const KIND: [u8; 4] = *b"ROWS";
/// In version 1 rows were not rounded.
const VERSION: u32 = 2;

/// Files of changes are merged with those of all rows if they exceed one in this many of them. Reading changes costs as much as reading
/// rows.
const LARGEST_SHARE: usize = 4;
/// A file is stored again with newer changes unless it has more than this many times their rows. So files shrink from old to new,
/// and there are few of them.
const LARGEST_RATIO: usize = 2;

/// The rows that the store has.
pub(crate) struct StoredRows {
    /// The epoch that they reflect.
    pub(crate) epoch: Epoch,
    /// The files of changes, oldest first.
    files: Vec<StoredChanges>,
    /// The changes that the store does not have yet, oldest first, merged as files are: a refresh adds to few rows, not to all that
    /// changed since the last persist.
    unstored: Vec<RowChanges>,
}

/// The changes in a file. Later places hold newer changes.
struct StoredChanges {
    place: usize,
    changes: RowChanges,
}

/// The next file of changes.
pub(crate) struct NextFile {
    /// Older files that stay.
    kept: Vec<usize>,
    place: usize,
    changes: RowChanges,
}

/// Rows that changed. Memory: four bytes for each.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct RowChanges {
    /// Rows of new nodes, and of nodes that were removed, came back or got another degree level.
    nodes: RowSet,
    /// Rows with another neighborhood.
    neighborhoods: RowSet,
    /// By layer below the last, beginning with the input: rows with another row or message.
    layers: Vec<RowSet>,
    /// Rows with another embedding or bias.
    embeddings: RowSet,
}

impl StoredRows {
    /// All rows are stored as of this epoch.
    pub(crate) fn whole(epoch: Epoch) -> Self {
        Self { epoch, files: Vec::new(), unstored: Vec::new() }
    }

    /// Adds the rows that a refresh changed. `new` are the rows that it added, and `layers` the number of layers whose rows are kept.
    pub(crate) fn add(&mut self, changed: &ChangedRows, new: Range<usize>, layers: usize) {
        let dirty = &changed.dirty;
        let new = new.map(|row| row as u32);
        let mut changes = RowChanges {
            nodes: dirty.weights.union(dirty.added_or_removed.iter()).union(new),
            neighborhoods: dirty.neighborhoods.clone(),
            layers: changed.layers[..layers].to_vec(),
            embeddings: changed.visible.clone(),
        };
        while let Some(before) = self.unstored.pop_if(|before| before.len() <= LARGEST_RATIO * changes.len())
        {
            changes.add(&before);
        }
        self.unstored.push(changes);
    }

    /// The file that brings the store up to date. `None` if all rows should be stored: more changed than is worth a file.
    pub(crate) fn next_file(&self, state: &State) -> Option<NextFile> {
        let mut changes = RowChanges::default();
        self.unstored.iter().for_each(|unstored| changes.add(unstored));
        if changes.len() > largest_changes(state) {
            return None;
        }
        let mut kept = self.files.len();
        while kept > 0 && self.files[kept - 1].changes.len() <= LARGEST_RATIO * changes.len() {
            kept -= 1;
            changes.add(&self.files[kept].changes);
        }
        let merged = self.files.get(kept).map(|file| file.place);
        let place = merged.unwrap_or_else(|| self.files.last().map_or(0, |file| file.place + 1));
        Some(NextFile { kept: self.files[..kept].iter().map(|file| file.place).collect(), place, changes })
    }

    /// Notes that the next file was stored.
    pub(crate) fn stored(&mut self, epoch: Epoch, next: NextFile) {
        let NextFile { kept, place, changes } = next;
        self.epoch = epoch;
        self.files.truncate(kept.len());
        self.files.extend((!changes.is_empty()).then_some(StoredChanges { place, changes }));
        self.unstored.clear();
    }

    /// True if the files of changes are so large that they should be merged with those of all rows.
    pub(crate) fn should_merge(&self, state: &State) -> bool {
        self.files.iter().map(|file| file.changes.len()).sum::<usize>() > largest_changes(state)
    }

    /// Notes the files that are left after a merge.
    pub(crate) fn merged(&mut self, derived: &Derived) {
        self.files.retain(|file| derived.has(&file_name(file.place)));
    }

    /// Applies the changes in all files to the rows that were stored together, without reverse lists.
    ///
    /// # Errors
    /// Damage, where a file does not fit the rows.
    pub(crate) fn read(derived: &Derived, state: &mut State, bound: u32) -> Result<Self, Error> {
        let mut stored = Self::whole(derived.refreshed);
        let mut places: Vec<usize> = derived.names().filter_map(place_of).collect();
        places.sort_unstable();
        for place in places {
            let file = derived.file(&file_name(place))?;
            stored.files.push(StoredChanges { place, changes: RowChanges::read(&file, state, bound)? });
            file.release_pages();
        }
        Ok(stored)
    }
}

impl NextFile {
    /// The names of the older files that stay.
    pub(crate) fn kept(&self) -> impl Iterator<Item = String> {
        self.kept.iter().copied().map(file_name)
    }

    /// Verifies the rows of the new file, where they are those of a mapped file.
    ///
    /// # Errors
    /// Damage of the file.
    pub(crate) fn verify(&self, state: &State) -> Result<(), StoreError> {
        let RowChanges { layers, embeddings, .. } = &self.changes;
        for (layer, rows) in layers.iter().enumerate() {
            let matrices = state.hidden.get(layer).into_iter().chain(state.messages.get(layer));
            matrices.into_iter().try_for_each(|matrix| matrix.stored().verify_rows(rows.rows()))?;
        }
        state.vectors.verify_rows(embeddings.rows())
    }

    /// The name of the new file, and its content. `None` if nothing changed.
    pub(crate) fn content<'a>(&'a self, state: &'a State) -> Option<(String, SectionWriter<'a>)> {
        (!self.changes.is_empty()).then(|| (file_name(self.place), self.changes.file(state)))
    }
}

const FILE_NAME: &str = "changed-rows-";

/// The name of the file at a place.
fn file_name(place: usize) -> String {
    format!("{FILE_NAME}{place}")
}

/// The place of a file of changes; `None` for another file.
fn place_of(name: &str) -> Option<usize> {
    name.strip_prefix(FILE_NAME)?.parse().ok()
}

/// True for a file of changes.
pub(crate) fn is_file_of_changes(name: &str) -> bool {
    place_of(name).is_some()
}

/// The changes that are worth files of their own: a part of a node, a neighborhood, a row of each layer and an embedding of each row.
fn largest_changes(state: &State) -> usize {
    state.rows() * (state.hidden.len() + 3) / LARGEST_SHARE
}

impl RowChanges {
    fn add(&mut self, other: &Self) {
        let Self { nodes, neighborhoods, layers, embeddings } = self;
        layers.resize(layers.len().max(other.layers.len()), RowSet::default());
        let sets = [nodes, neighborhoods, embeddings].into_iter().chain(layers);
        let others = [&other.nodes, &other.neighborhoods, &other.embeddings].into_iter().chain(&other.layers);
        for (set, other) in sets.zip(others) {
            *set = set.union(other.iter());
        }
    }

    /// The number of changed rows of all kinds.
    fn len(&self) -> usize {
        let layers: usize = self.layers.iter().map(RowSet::len).sum();
        self.nodes.len() + self.neighborhoods.len() + layers + self.embeddings.len()
    }

    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Everything, for samples of a file.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn all(state: &State) -> Self {
        let all = || RowSet::all(state.rows());
        let layers = state.hidden.iter().map(|_| all()).collect();
        Self { nodes: all(), neighborhoods: all(), layers, embeddings: all() }
    }

    /// The file of the changed rows as they are now.
    pub(crate) fn file<'a>(&'a self, state: &'a State) -> SectionWriter<'a> {
        let mut file = SectionWriter::new(KIND, VERSION);
        file.section(*b"count\0\0\0", vec![state.rows() as u64]);
        // Nodes.
        let nodes = self.nodes.rows();
        let of_nodes = move |of: fn(&State, usize) -> u8| -> Vec<u8> {
            nodes.iter().map(|&row| of(state, row as usize)).collect()
        };
        file.section(*b"nodes-at", nodes);
        file.section(
            *b"nodes\0\0\0",
            nodes.iter().map(|&row| state.nodes[row as usize].get()).collect::<Vec<u32>>(),
        );
        file.section(*b"alive\0\0\0", of_nodes(|state, row| u8::from(state.alive[row])));
        file.section(*b"levels\0\0", of_nodes(|state, row| state.levels[row]));
        // Neighborhoods.
        let lists: Vec<Neighborhood<'_>> =
            self.neighborhoods.iter().map(|row| state.neighborhoods.get(row)).collect();
        let mut offsets = vec![0u64];
        for list in &lists {
            offsets.push(offsets[offsets.len() - 1] + list.len() as u64);
        }
        file.section(*b"hoods-at", self.neighborhoods.rows());
        file.section(*b"offsets\0", offsets);
        file.section(
            *b"rows\0\0\0\0",
            lists.iter().flat_map(|list| list.rows).copied().collect::<Vec<u32>>(),
        );
        file.section(*b"counts\0\0", lists.iter().flat_map(|list| list.counts()).collect::<Vec<u32>>());
        // Matrices, row by row.
        let mut matrix = |tag: [u8; 8], rows: &'a RowSet, of: &'a RoundedRows| {
            let stored = of.stored();
            file.section_chunks(tag, move || rows.rows().iter().map(move |&row| stored.row(row as usize)));
        };
        for (layer, rows) in self.layers.iter().enumerate() {
            matrix(numbered(*b"hidden\0\0", layer), rows, &state.hidden[layer]);
            if let Some(messages) = state.messages.get(layer) {
                matrix(numbered(*b"message\0", layer), rows, messages);
            }
        }
        let embeddings = self.embeddings.rows();
        let vectors = move || embeddings.iter().map(|&row| state.vectors.stored_row(row as usize));
        file.section_chunks(*b"vectors\0", vectors);
        for (layer, rows) in self.layers.iter().enumerate() {
            file.section(numbered(*b"layerat\0", layer), rows.rows());
        }
        file.section(*b"vectorat", embeddings);
        file.section(
            *b"bias\0\0\0\0",
            embeddings.iter().map(|&row| state.bias[row as usize]).collect::<Vec<f32>>(),
        );
        file
    }

    /// Reads a file, and applies it to the rows before it.
    pub(crate) fn read(file: &SectionFile, state: &mut State, bound: u32) -> Result<Self, Error> {
        file.require(KIND, VERSION)?;
        let &[count] = file.section_u64(*b"count\0\0\0")? else { return Err(misfit(file, "count").into()) };
        let count =
            usize::try_from(count).ok().filter(|&count| count >= state.rows() && count < ABSENT as usize);
        let count = count.ok_or_else(|| misfit(file, "count"))?;
        let rows = |tag: [u8; 8]| -> Result<RowSet, Error> {
            let rows = file.section_u32(tag)?;
            let is_ascending = rows.is_sorted_by(|a, b| a < b);
            let is_known = rows.last().is_none_or(|&last| (last as usize) < count);
            if is_ascending && is_known {
                Ok(rows.iter().copied().collect())
            } else {
                Err(misfit(file, "rows").into())
            }
        };
        let nodes = rows(*b"nodes-at")?;
        read_nodes(file, &nodes, state, count, bound)?;
        let neighborhoods = rows(*b"hoods-at")?;
        read_neighborhoods(file, &neighborhoods, state)?;
        state.grow_layers()?;
        let is_rounded = file.version() == VERSION;
        let matrix = |tag: [u8; 8], rows: &RowSet, to: &mut RoundedRows, round: Round| -> Result<(), Error> {
            let values = file.section_f32(tag)?;
            let width = if is_rounded { to.stored().width() } else { to.dim() };
            if values.len() != rows.len() * width {
                return Err(misfit(file, "matrix").into());
            }
            for (row, values) in rows.iter().zip(values.chunks_exact(width.max(1))) {
                let stored = to.stored_mut().row_mut(row as usize);
                if is_rounded { stored.copy_from_slice(values) } else { round(values, stored) }
            }
            Ok(())
        };
        let mut layers = Vec::new();
        for layer in 0..state.hidden.len() {
            let changed = rows(numbered(*b"layerat\0", layer))?;
            matrix(numbered(*b"hidden\0\0", layer), &changed, &mut state.hidden[layer], round)?;
            if let Some(messages) = state.messages.get_mut(layer) {
                matrix(numbered(*b"message\0", layer), &changed, messages, round)?;
            }
            layers.push(changed);
        }
        let embeddings = rows(*b"vectorat")?;
        let vectors = state.vectors.whole_mut().expect("readers have nothing of rows that are being read");
        matrix(*b"vectors\0", &embeddings, vectors, round_to_unit_length)?;
        let biases = file.section_f32(*b"bias\0\0\0\0")?;
        if biases.len() != embeddings.len() {
            return Err(misfit(file, "bias").into());
        }
        embeddings.iter().zip(biases).for_each(|(row, &bias)| state.bias[row as usize] = bias);
        Ok(Self { nodes, neighborhoods, layers, embeddings })
    }
}

/// Applies nodes, their liveness and their degree levels; adds rows up to `count`.
fn read_nodes(
    file: &SectionFile,
    rows: &RowSet,
    state: &mut State,
    count: usize,
    bound: u32,
) -> Result<(), Error> {
    let nodes = file.section_u32(*b"nodes\0\0\0")?;
    let (alive, levels) = (file.section(*b"alive\0\0\0")?, file.section(*b"levels\0\0")?);
    let is_whole = [nodes.len(), alive.len(), levels.len()] == [rows.len(); 3];
    if !is_whole || levels.iter().any(|&level| level >= degree::levels()) {
        return Err(misfit(file, "nodes").into());
    }
    for (at, row) in rows.iter().enumerate() {
        let (node, row) = (NodeIx::new(nodes[at]), row as usize);
        let is_new =
            row == state.rows() && nodes[at] < bound && state.row_of.get(node.index()) == Some(&ABSENT);
        if is_new {
            state.add_row(node);
        }
        if state.nodes.get(row) != Some(&node) {
            return Err(misfit(file, "nodes").into());
        }
        state.alive[row] = alive[at] != 0;
        state.levels[row] = levels[at];
    }
    if state.rows() == count { Ok(()) } else { Err(misfit(file, "nodes").into()) }
}

fn read_neighborhoods(file: &SectionFile, rows: &RowSet, state: &mut State) -> Result<(), Error> {
    let offsets = file.section_u64(*b"offsets\0")?;
    let (neighbors, counts) = (file.section_u32(*b"rows\0\0\0\0")?, file.section_u32(*b"counts\0\0")?);
    let is_known = |&neighbor: &u32| (neighbor as usize) < state.rows();
    if offsets.len() != rows.len() + 1 || neighbors.len() != counts.len() || !neighbors.iter().all(is_known) {
        return Err(misfit(file, "offsets").into());
    }
    for (row, pair) in rows.iter().zip(offsets.windows(2)) {
        let range = pair[0] as usize..pair[1] as usize;
        let these = neighbors.get(range.clone()).zip(counts.get(range));
        let (neighbors, counts) = these.ok_or_else(|| misfit(file, "offsets"))?;
        let list: Vec<Visited> = neighbors.iter().copied().zip(counts.iter().copied()).collect();
        state.neighborhoods.set(row, &list);
    }
    Ok(())
}

fn misfit(file: &SectionFile, place: &str) -> StoreError {
    file.damaged(place, "does not fit the other sections or the rows before")
}

fn numbered(mut tag: [u8; 8], layer: usize) -> [u8; 8] {
    tag[7] = b'0' + layer as u8;
    tag
}

//! Incremental refresh of a state, in stages: neighborhoods, inputs, layers, embeddings. A rebuild takes the same
//! stages with every row dirty, so the two cannot differ. Knows nothing of generations or readers.

use std::sync::Arc;
use std::time::Instant;

use hedgerow_storage::{CancelToken, Changes, Error as StoreError, NodeIx, Snapshot};
use hedgerow_walker::Walker;

use crate::config::degree;
use crate::config::error::Error;
use crate::config::model_config::ModelConfig;
use crate::config::report::{RefreshReport, milliseconds};
use crate::factors::model_factors::ModelFactors;
use crate::linalg::rounded_rows::{RoundedRows, round, round_to_unit_length};
use crate::linalg::shared_rows::SharedRows;
use crate::network::encoder::Encoder;
use crate::network::inputs::Inputs;
use crate::state::bad_row::FirstBadRow;
use crate::state::layer_rows::State;
use crate::state::neighborhood_lists::{ListsBuilder, Visited};
use crate::state::neighborhoods::{walk_all_rows, walk_rows};
use crate::state::replace_rows::{replace_rows, replace_shared_rows};
use crate::state::row_set::RowSet;

/// Rows whose inputs are gathered at a time. A row's tokens and dense numbers take more memory than the row.
const INPUTS_TOGETHER: usize = 1 << 20;

/// The limit of the search for affected sources.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SearchLimit {
    /// It ends when a rebuild costs less.
    Rebuild,
    /// It finds all sources.
    Unlimited,
}

/// Hops of a rebuild for each neighbor that the search for affected sources may ask. A rebuild makes 50 to 90 million hops a second on a
/// core, the search asks 20 to 40 million neighbors. So a search that ends without a result takes a fifth of a rebuild at most.
const HOPS_PER_ASKED: u64 = 8;
/// Neighbors that may be asked in any graph, some 30 ms: in a small one both ways are short.
const FEWEST_ASKED: u64 = 1_000_000;

/// The result of a refresh.
pub(crate) struct StateUpdate {
    pub(crate) report: RefreshReport,
    /// The rows that changed. `None` after a rebuild.
    pub(crate) changed_rows: Option<ChangedRows>,
}

/// The rows that changed at each stage.
pub(crate) struct ChangedRows {
    pub(crate) dirty: DirtyRows,
    /// Rows with different bits, by layer, beginning with the input. Those of the last layer are the embeddings.
    pub(crate) layers: Vec<RowSet>,
    /// Rows whose embedding, bias or degree changed, or that were added or removed.
    pub(crate) visible: RowSet,
}

impl ChangedRows {
    /// The rows that readers have a copy of something of that may have changed: also those with other features.
    pub(crate) fn for_readers(&self) -> RowSet {
        self.visible.union(self.dirty.inputs.iter())
    }
}

/// The rows that may differ from the graph.
pub(crate) struct DirtyRows {
    /// Rows with a different neighborhood.
    pub(crate) neighborhoods: RowSet,
    /// Rows whose input may be different.
    pub(crate) inputs: RowSet,
    /// Rows with a different weight in the neighborhoods of others.
    pub(crate) weights: RowSet,
    /// Rows of added or removed nodes. They are recomputed in every layer, because the zeros of a new row were never
    /// computed.
    pub(crate) added_or_removed: RowSet,
}

impl State {
    /// A state computed from `snapshot` alone, without reverse lists.
    ///
    /// # Errors
    /// A row that is not finite; a cancellation.
    /// # Cost
    /// All walks, and every row of every layer.
    pub(crate) fn build(
        config: ModelConfig,
        encoder: Arc<Encoder>,
        factors: ModelFactors,
        snapshot: &Snapshot,
        cancel: &CancelToken,
    ) -> Result<(Self, RefreshReport), Error> {
        let mut state = Self::new(config, encoder, factors);
        let mut report = RefreshReport::new(snapshot.epoch(), true);
        state.walk_all(snapshot, cancel, &mut report)?;
        state.embed_all(snapshot, cancel, &mut report)?;
        Ok((state, report))
    }

    /// The first half of [`State::build`]: rows, neighborhoods and degrees, without embeddings. A training needs no more.
    pub(crate) fn build_neighborhoods(
        config: ModelConfig,
        snapshot: &Snapshot,
        cancel: &CancelToken,
    ) -> Result<Self, Error> {
        let encoder = Arc::new(Encoder::empty(&config));
        let mut state = Self::new(config, encoder, ModelFactors::default());
        state.walk_all(snapshot, cancel, &mut RefreshReport::new(snapshot.epoch(), true))?;
        Ok(state)
    }

    /// The second half of [`State::build`], with the trained weights.
    pub(crate) fn embed_with(
        mut self,
        encoder: Arc<Encoder>,
        snapshot: &Snapshot,
        cancel: &CancelToken,
    ) -> Result<Self, Error> {
        self.encoder = encoder;
        let mut report = RefreshReport::new(snapshot.epoch(), true);
        self.embed_all(snapshot, cancel, &mut report)?;
        Ok(self)
    }

    /// Computes all rows: every row counts as dirty.
    fn embed_all(
        &mut self,
        snapshot: &Snapshot,
        cancel: &CancelToken,
        report: &mut RefreshReport,
    ) -> Result<(), Error> {
        let all = RowSet::all(self.rows());
        let dirty = DirtyRows {
            neighborhoods: all.clone(),
            inputs: all.clone(),
            weights: all.clone(),
            added_or_removed: all,
        };
        self.embed(snapshot, dirty, cancel, report)?;
        Ok(())
    }

    /// Updates the state to `snapshot`. `changes` lead there from the state's epoch.
    ///
    /// A changed draw leads to a changed walk, then to a changed neighborhood, to changed rows of layers, and to a
    /// changed embedding. After each stage, rows whose bits did not change go no further.
    ///
    /// `None` if the search for affected sources reached its limit, or if a walk visits a node without a row: the rows are not those of
    /// this graph.
    ///
    /// # Errors
    /// A row that is not finite; a cancellation. After an error or `None`, rows of two epochs are mixed. The state can then
    /// only be rebuilt.
    /// # Determinism
    /// The state is equal to the bit to one that [`State::build`] makes.
    /// # Cost
    /// The walks from affected sources, and the rows that depend on them.
    pub(crate) fn update(
        &mut self,
        snapshot: &Snapshot,
        changes: &Changes,
        limit: SearchLimit,
        cancel: &CancelToken,
    ) -> Result<Option<StateUpdate>, Error> {
        let mut report = RefreshReport::new(snapshot.epoch(), false);
        let dirty = self.walk_changed(snapshot, changes, limit, cancel, &mut report)?;
        let Some(dirty) = dirty else { return Ok(None) };
        let changed_rows = self.embed(snapshot, dirty, cancel, &mut report)?;
        Ok(Some(StateUpdate { report, changed_rows: Some(changed_rows) }))
    }

    /// Makes a row for each node of the embedded kinds, and walks from all.
    fn walk_all(
        &mut self,
        snapshot: &Snapshot,
        cancel: &CancelToken,
        report: &mut RefreshReport,
    ) -> Result<(), Error> {
        for policy in self.config.policies.clone() {
            if let Some(kind) = snapshot.kind_ix(&policy.kind) {
                for node in snapshot.nodes_of(kind) {
                    self.number_row(node);
                }
            }
        }
        let counted = self.config.counted(snapshot);
        for row in 0..self.rows() {
            self.levels[row] = degree::level(counted.degree(snapshot, self.nodes[row]));
        }
        report.dirty_nodes = self.rows() as u64;
        report.sources = self.rows() as u64;
        let since = Instant::now();
        // Kinds have their rows one after another, so the lists come in the order of the rows.
        let (mut lists, row_of) = (ListsBuilder::default(), &self.row_of);
        walk_all_rows(&self.config, snapshot, &self.nodes, cancel, |visits| {
            lists.push(visits.iter().map(|visit| (row_of[visit.node.index()], visit.count)));
        })?;
        self.neighborhoods = lists.finish();
        report.ms.walks = milliseconds(since);
        report.neighborhoods = self.neighborhoods.iter().filter(|list| !list.is_empty()).count() as u64;
        Ok(())
    }

    /// Finds the dirty rows, and renews their neighborhoods. `None` as for [`State::update`].
    fn walk_changed(
        &mut self,
        snapshot: &Snapshot,
        changes: &Changes,
        limit: SearchLimit,
        cancel: &CancelToken,
        report: &mut RefreshReport,
    ) -> Result<Option<DirtyRows>, Error> {
        let (mut added_or_removed, mut inputs, mut weights) = (Vec::new(), Vec::new(), Vec::new());
        // Changed nodes: their inputs, and their rows if they were added or removed.
        for &node in &changes.nodes {
            let Some(row) = self.row_or_new(snapshot, node) else { continue };
            inputs.push(row);
            if self.alive[row as usize] != snapshot.is_alive(node) {
                self.alive[row as usize] = snapshot.is_alive(node);
                added_or_removed.push(row);
            }
        }
        // Ends of changed edges: their degree levels.
        let counted = self.config.counted(snapshot);
        for &(_, node) in changes.lists.keys() {
            let Some(row) = self.row_or_new(snapshot, node) else { continue };
            let level = degree::level(counted.degree(snapshot, node));
            if self.levels[row as usize] != level {
                self.levels[row as usize] = level;
                weights.push(row);
                inputs.push(row);
            }
        }

        let since = Instant::now();
        // Sources of which some walk takes another step.
        let mut sources = added_or_removed.clone();
        for policy in &self.config.policies {
            if snapshot.kind_ix(&policy.kind).is_some() {
                let walker = Walker::new(snapshot, self.config.walks, policy)?;
                let hops = (walker.hops_per_source() * self.rows()) as u64;
                let most_asked = match limit {
                    SearchLimit::Rebuild => FEWEST_ASKED.max(hops / HOPS_PER_ASKED),
                    SearchLimit::Unlimited => u64::MAX,
                };
                let found = walker.affected_sources_within(changes, most_asked, cancel)?;
                let Some(found) = found else { return Ok(None) };
                sources.extend(found.into_iter().filter_map(|node| self.row(node)));
            }
        }
        let sources: RowSet = sources.into_iter().collect();
        report.ms.reach = milliseconds(since);
        report.dirty_nodes = touched_nodes(changes);
        report.sources = sources.len() as u64;
        let neighborhoods = self.walk_again(snapshot, sources.rows(), cancel, report)?;
        let set = |rows: Vec<u32>| rows.into_iter().collect::<RowSet>();
        Ok(neighborhoods.map(|neighborhoods| DirtyRows {
            neighborhoods,
            inputs: set(inputs),
            weights: set(weights),
            added_or_removed: set(added_or_removed),
        }))
    }

    /// Walks from the listed rows. Returns the rows whose neighborhood is different now; `None` as for
    /// [`State::update`].
    fn walk_again(
        &mut self,
        snapshot: &Snapshot,
        sources: &[u32],
        cancel: &CancelToken,
        report: &mut RefreshReport,
    ) -> Result<Option<RowSet>, Error> {
        let since = Instant::now();
        let mut changed = Vec::new();
        for walked in
            walk_rows(&self.config, self.config.walks, snapshot, &self.nodes, sources, None, cancel)?
        {
            for (row, visits) in walked.iter() {
                let counted = visits.iter().map(|visit| Some((self.row(visit.node)?, visit.count)));
                let Some(neighborhood) = counted.collect::<Option<Vec<Visited>>>() else { return Ok(None) };
                if self.set_neighborhood(row, &neighborhood) {
                    changed.push(row);
                }
            }
        }
        let changed: RowSet = changed.into_iter().collect();
        report.ms.walks = milliseconds(since);
        report.neighborhoods = changed.len() as u64;
        Ok(Some(changed))
    }

    /// Recomputes the rows that depend on dirty rows, layer by layer. Every computed row is checked at once, so that an
    /// error names the node where it began, and not those that pool it.
    fn embed(
        &mut self,
        snapshot: &Snapshot,
        dirty: DirtyRows,
        cancel: &CancelToken,
        report: &mut RefreshReport,
    ) -> Result<ChangedRows, Error> {
        let since = Instant::now();
        self.grow_layers()?;
        let (inputs, bias_changed) = self.embed_inputs(snapshot, &dirty, cancel, report)?;
        let mut layers = vec![inputs];
        for layer in 0..self.config.layers {
            // No other check is made if a layer has nothing to compute.
            cancel.check()?;
            layers.push(self.embed_layer(layer, &layers[layer], &dirty, snapshot, cancel, report)?);
        }
        if self.config.layers == 0 {
            self.embed_without_layers(&layers[0], snapshot, cancel)?;
        }
        let visible = layers[self.config.layers]
            .union(bias_changed.iter())
            .union(dirty.weights.iter())
            .union(dirty.added_or_removed.iter());
        report.rows.push(visible.len() as u64);
        report.ms.layers = milliseconds(since);
        self.epoch = snapshot.epoch();
        Ok(ChangedRows { dirty, layers, visible })
    }

    /// Recomputes inputs and biases of rows whose features may have changed. Returns the rows with a different input,
    /// and those with a different bias.
    fn embed_inputs(
        &mut self,
        snapshot: &Snapshot,
        dirty: &DirtyRows,
        cancel: &CancelToken,
        report: &mut RefreshReport,
    ) -> Result<(RowSet, RowSet), Error> {
        let recomputed = dirty.inputs.union(dirty.added_or_removed.iter());
        report.rows.push(recomputed.len() as u64);
        let stage = cancel.stage("inputs", recomputed.len() as u64);
        let (mut changed, mut bias_changed, bad_row) = (Vec::new(), Vec::new(), FirstBadRow::default());
        let pass = self.encoder.input_pass(recomputed.len());
        for rows in recomputed.rows().chunks(INPUTS_TOGETHER) {
            let rows: RowSet = rows.iter().copied().collect();
            let nodes: Vec<NodeIx> = rows.iter().map(|row| self.nodes[row as usize]).collect();
            let levels: Vec<u8> = rows.iter().map(|row| self.levels[row as usize]).collect();
            let inputs = Inputs::gather(snapshot, &self.config, &nodes, &levels);
            let tokens = self.encoder.table.verified_sums_of(&inputs.tokens)?;
            // Biases are compared bit by bit.
            for (row, &new) in rows.iter().zip(&self.encoder.bias(&tokens, &inputs.log_degrees)) {
                bad_row.check(&[row], &[new]);
                let old = &mut self.bias[row as usize];
                if old.to_bits() != new.to_bits() {
                    *old = new;
                    bias_changed.push(row);
                }
            }
            let dense = inputs.dense.as_slice().expect("inputs are gathered in standard layout");
            let width = inputs.dense.ncols();
            let compute = |first: usize, rows: &[u32], h: &mut [f32]| {
                pass.rows(&tokens, first, &dense[first * width..][..rows.len() * width], h);
                bad_row.check(rows, h);
            };
            changed.extend(replace_rows(&mut self.hidden[0], &rows, &stage, round, compute)?.iter());
        }
        bad_row.found(self, snapshot)?;
        stage.end();
        changed.extend(dirty.added_or_removed.iter());
        Ok((changed.into_iter().collect(), bias_changed.into_iter().collect()))
    }

    /// The embeddings of a model without layers: unit vectors of the inputs.
    fn embed_without_layers(
        &mut self,
        changed: &RowSet,
        snapshot: &Snapshot,
        cancel: &CancelToken,
    ) -> Result<(), Error> {
        let (output, inputs) = (self.encoder.output_pass(changed.len()), &self.hidden[0]);
        inputs.stored().verify_rows(changed.rows())?;
        let (bad_row, stage) = (FirstBadRow::default(), cancel.stage("embeddings", changed.len() as u64));
        replace_shared_rows(&mut self.vectors, changed, &stage, round_to_unit_length, |_, rows, vectors| {
            output.vectors(&inputs.gather(rows), vectors);
            bad_row.check(rows, vectors);
        })?;
        bad_row.found(self, snapshot)?;
        stage.end();
        Ok(())
    }

    /// Recomputes rows of layer `layer + 1`: those whose own row or neighborhood changed, and those with a neighbor
    /// whose message or weight changed. The rows of the last layer are not kept, but the embeddings that it gives. Returns the
    /// rows that are different now.
    fn embed_layer(
        &mut self,
        layer: usize,
        changed: &RowSet,
        dirty: &DirtyRows,
        snapshot: &Snapshot,
        cancel: &CancelToken,
        report: &mut RefreshReport,
    ) -> Result<RowSet, Error> {
        // Messages of changed rows.
        let (weights, bad_row) = (&self.encoder.weights.layers[layer], FirstBadRow::default());
        let own_rows = &self.hidden[layer];
        let mut changed_messages = if weights.width() == 0 {
            changed.clone()
        } else {
            let pass = weights.pass(changed.len());
            let stage = cancel.stage("messages", changed.len() as u64);
            let message = |_, rows: &[u32], z: &mut [f32]| {
                pass.message(&own_rows.gather(rows), z);
                bad_row.check(rows, z);
            };
            let changed_messages = replace_rows(&mut self.messages[layer], changed, &stage, round, message)?;
            bad_row.found(self, snapshot)?;
            stage.end();
            changed_messages
        };
        if self.config.damping {
            changed_messages = changed_messages.union(dirty.weights.iter());
        }
        // The rows that read a changed message, by the reverse lists, besides those that changed themselves.
        let mut recomputed = changed.union(dirty.neighborhoods.iter());
        if recomputed.len() < self.rows() {
            recomputed = recomputed.union(self.reverse.readers_of(&changed_messages, &self.neighborhoods));
        }
        report.rows.push(recomputed.len() as u64);
        // Pooling and update, and after the last layer the output, band by band.
        let is_last = layer + 1 == self.config.layers;
        let pass = weights.pass(recomputed.len());
        let output = is_last.then(|| self.encoder.output_pass(recomputed.len()));
        let mut next = if is_last {
            NextRows::Vectors(std::mem::take(&mut self.vectors))
        } else {
            NextRows::Hidden(std::mem::take(&mut self.hidden[layer + 1]))
        };
        let own_rows = &self.hidden[layer];
        let messages = if weights.width() == 0 { own_rows } else { &self.messages[layer] };
        own_rows.stored().verify_rows(recomputed.rows())?;
        self.verify_neighbors(&recomputed, messages)?;
        let stage = cancel.stage("layer", recomputed.len() as u64);
        let compute = |_, rows: &[u32], into: &mut [f32]| {
            let mut pooled = vec![0.0; rows.len() * messages.dim()];
            self.importances(rows).multiply_rounded_into(0, messages, &mut pooled);
            pass.update(&own_rows.gather(rows), &pooled, into, &mut vec![0.0; rows.len()]);
            if let Some(output) = &output {
                let last = into.to_vec();
                output.vectors(&last, into);
            }
            bad_row.check(rows, into);
        };
        let changed_rows = match &mut next {
            NextRows::Hidden(rows) => replace_rows(rows, &recomputed, &stage, round, compute),
            NextRows::Vectors(rows) => {
                replace_shared_rows(rows, &recomputed, &stage, round_to_unit_length, compute)
            }
        };
        match next {
            NextRows::Hidden(rows) => self.hidden[layer + 1] = rows,
            NextRows::Vectors(rows) => self.vectors = rows,
        }
        let changed_rows = changed_rows?;
        bad_row.found(self, snapshot)?;
        stage.end();
        Ok(changed_rows.union(dirty.added_or_removed.iter()))
    }

    /// Verifies the messages of all neighbors of some rows.
    fn verify_neighbors(&self, rows: &RowSet, messages: &RoundedRows) -> Result<(), StoreError> {
        if messages.stored().is_verified() {
            return Ok(());
        }
        let neighbors = rows.iter().flat_map(|row| self.neighborhoods.get(row).rows);
        let neighbors: RowSet = neighbors.copied().collect();
        messages.stored().verify_rows(neighbors.rows())
    }

    /// Appends zeros for new rows to every layer. Rows that must move are verified first.
    pub(super) fn grow_layers(&mut self) -> Result<(), StoreError> {
        let rows = self.rows();
        for matrix in self.hidden.iter_mut().chain(&mut self.messages) {
            if !matrix.stored().has_room(rows) {
                matrix.stored().verify()?;
            }
            matrix.grow(rows);
        }
        if !self.vectors.has_room(rows) {
            self.vectors.verify()?;
        }
        self.vectors.grow(rows);
        self.bias.resize(rows, 0.0);
        Ok(())
    }
}

/// The rows that a layer gives.
enum NextRows {
    Hidden(RoundedRows),
    /// Those of the last layer.
    Vectors(SharedRows),
}

/// The number of nodes that changed, or are an end of a changed edge.
pub(crate) fn touched_nodes(changes: &Changes) -> u64 {
    let mut touched = changes.nodes.clone();
    touched.extend(changes.lists.keys().map(|&(_, node)| node));
    touched.len() as u64
}

//! The rows of all tables, made from the graph and the embeddings one by one.
//! They are in the order of the stable ids, so stores with the same content give the same rows.

use hedgerow::{CancelToken, EmbeddingExport, NodeIx, RelationIx, RelationOptions, Snapshot};
use indicatif::ProgressBar;

use crate::core::failure::Failure;
use crate::output::printer::Output;
use crate::output::progress::new_bar;
use crate::transfer::manifest::{Counts, DenseBlock, ExportFormat, InputPosition, Manifest, RelationEntry};
use crate::transfer::table_schema::{Column, ColumnValue, TABLES, Table};

use crate::transfer::export::property_values::{PropertyValues, push_json};
use crate::transfer::export::table_writer::TableWriter;

/// Rows between two checks of the token and updates of the progress bar.
const STRIDE: u64 = 4096;

/// The graph and the embeddings that are exported.
pub(super) struct ExportRows<'a> {
    pub(super) snapshot: &'a Snapshot,
    pub(super) embeddings: Option<&'a EmbeddingExport<'a>>,
    /// All nodes by stable id.
    pub(super) nodes: Vec<NodeIx>,
    /// Dense blocks by name.
    pub(super) blocks: Vec<(String, usize)>,
    pub(super) values: PropertyValues<'a>,
    format: ExportFormat,
    counts: Counts,
    cancel: &'a CancelToken,
    bar: ProgressBar,
    done: u64,
}

/// An edge. The ends are in the order of the names of their kinds, then of their stable ids.
pub(super) struct Edge<'a> {
    pub(super) relation: &'a str,
    pub(super) src: NodeIx,
    pub(super) dst: NodeIx,
    pub(super) weight: f32,
    pub(super) time: Option<i64>,
}

/// A function that creates the writer of a table.
type Make<'a> = dyn FnMut(Table, Vec<Column>) -> Result<Box<dyn TableWriter>, Failure> + 'a;

impl<'a> ExportRows<'a> {
    pub(super) fn new(
        snapshot: &'a Snapshot,
        embeddings: Option<&'a EmbeddingExport<'a>>,
        format: ExportFormat,
        cancel: &'a CancelToken,
        out: Output,
    ) -> Self {
        // All nodes by stable id.
        let mut nodes: Vec<NodeIx> = (0..snapshot.bound()).map(NodeIx::new).collect();
        nodes.retain(|&node| snapshot.is_alive(node));
        nodes.sort_unstable_by_key(|&node| snapshot.stable_id(node));
        // Rows of each table.
        let relations = (0..snapshot.relation_count()).map(|at| RelationIx::new(at as u16));
        let blocks = snapshot.dense_blocks();
        let values = PropertyValues::new(snapshot);
        let has_features = |node: &&NodeIx| {
            !snapshot.tokens(**node).is_empty()
                || blocks.iter().any(|(block, _)| snapshot.dense(**node, block).is_some())
        };
        let neighbors = |node: &NodeIx| Some(embeddings?.row(*node)?.neighborhood.len() as u64);
        let counts = Counts {
            nodes: nodes.len() as u64,
            features: nodes.iter().filter(has_features).count() as u64,
            edges: relations.map(|relation| snapshot.edge_count(relation)).sum(),
            neighborhoods: nodes.iter().filter_map(neighbors).sum(),
            embeddings: embeddings.map_or(0, EmbeddingExport::count),
            values: (!values.all().is_empty()).then(|| values.count()),
        };
        // Steps of the progress bar.
        let Counts { nodes: node_count, features, edges, neighborhoods, embeddings: embedded, .. } = counts;
        let total = match format {
            ExportFormat::Csv | ExportFormat::Jsonl | ExportFormat::Parquet => {
                node_count + features + values.count() + edges + neighborhoods + embedded
            }
            ExportFormat::Graphml => node_count + edges,
            ExportFormat::Npy | ExportFormat::Tensorboard => embedded,
            ExportFormat::Safetensors => 1,
        };
        let bar = new_bar(total, "{bar:30} {percent:>3} %  {msg}  {eta} left", out);
        Self { snapshot, embeddings, nodes, blocks, values, format, counts, cancel, bar, done: 0 }
    }

    /// The manifest without its files.
    pub(super) fn manifest(&self, guarded: bool) -> Result<Manifest, Failure> {
        let mut manifest = Manifest::new(self.format, guarded, self.snapshot.epoch().get());
        if let Some(embeddings) = self.embeddings {
            let digest = embeddings.digest(self.cancel)?;
            manifest.generation = Some(digest.generation.get());
            manifest.digest = Some(digest.digest);
        }
        manifest.counts = self.counts;
        manifest.set_properties(self.values.entries());
        manifest.relations = self.relation_entries();
        let block = |(name, width): &(String, usize)| DenseBlock { name: name.clone(), width: *width };
        manifest.dense = self.blocks.iter().map(block).collect();
        let input = |(source, position): (&str, hedgerow::Position)| InputPosition {
            source: source.to_owned(),
            offset: position.offset,
            lines: position.lines,
            check: position.check,
        };
        manifest.positions = self.snapshot.positions().map(input).collect();
        Ok(manifest)
    }

    /// The relations with options, by name.
    fn relation_entries(&self) -> Vec<RelationEntry> {
        let entry = |relation: RelationIx| {
            let RelationOptions { half_life, is_dislike } = self.snapshot.relation_options(relation);
            RelationEntry {
                name: self.snapshot.relation_name(relation).to_owned(),
                half_life: half_life.map(|half_life| half_life.as_micros() as u64),
                is_dislike,
            }
        };
        let relations = (0..self.snapshot.relation_count()).map(|at| entry(RelationIx::new(at as u16)));
        let mut with_options: Vec<RelationEntry> =
            relations.filter(|entry| entry.half_life.is_some() || entry.is_dislike).collect();
        with_options.sort_by(|one, other| one.name.cmp(&other.name));
        with_options
    }

    /// Counts a row; now and then shows progress and stops after a Ctrl-C.
    pub(super) fn step(&mut self, what: &'static str) -> Result<(), Failure> {
        self.done += 1;
        if self.done.is_multiple_of(STRIDE) {
            if self.cancel.is_cancelled() {
                self.bar.finish_and_clear();
                return Err(Failure::Interrupted("interrupted; nothing was exported".to_owned()));
            }
            self.bar.set_position(self.done);
            self.bar.set_message(what);
        }
        Ok(())
    }

    pub(super) fn id(&self, node: NodeIx) -> u64 {
        self.snapshot.stable_id(node).get()
    }

    /// Writes all tables; that of values only where the store has a property.
    pub(super) fn tables(&mut self, make: &mut Make<'_>) -> Result<(), Failure> {
        let names: Vec<String> = self.blocks.iter().map(|(name, _)| name.clone()).collect();
        let is_there = |table: &Table| *table != Table::Values || self.counts.values.is_some();
        let tables: Vec<Table> = TABLES.into_iter().filter(is_there).collect();
        for table in tables {
            let mut writer = make(table, table.columns(&names))?;
            match table {
                Table::Nodes => self.write_nodes(&mut *writer)?,
                Table::Features => self.write_features(&mut *writer)?,
                Table::Values => self.write_values(&mut *writer)?,
                Table::Edges => self.write_edges(&mut *writer)?,
                Table::Neighborhoods => self.write_neighborhoods(&mut *writer)?,
                Table::Embeddings => self.write_embeddings(&mut *writer)?,
            }
            writer.end()?;
        }
        self.bar.finish_and_clear();
        Ok(())
    }

    fn write_nodes(&mut self, writer: &mut dyn TableWriter) -> Result<(), Failure> {
        for at in 0..self.nodes.len() {
            let node = self.nodes[at];
            let name = self.snapshot.name(node);
            writer.row(&[
                ColumnValue::Id(self.id(node)),
                ColumnValue::Text(&name.kind),
                ColumnValue::Text(&name.key),
            ])?;
            self.step("nodes")?;
        }
        Ok(())
    }

    fn write_features(&mut self, writer: &mut dyn TableWriter) -> Result<(), Failure> {
        for at in 0..self.nodes.len() {
            let node = self.nodes[at];
            let tokens = self.snapshot.tokens(node);
            let rows: Vec<Option<&[f32]>> =
                self.blocks.iter().map(|(block, _)| self.snapshot.dense(node, block)).collect();
            if tokens.is_empty() && rows.iter().all(Option::is_none) {
                continue;
            }
            let name = written(self.snapshot, node);
            let mut cells =
                vec![ColumnValue::Id(self.id(node)), ColumnValue::Text(&name), ColumnValue::Texts(&tokens)];
            cells.extend(rows.into_iter().map(ColumnValue::Numbers));
            writer.row(&cells)?;
            self.step("features")?;
        }
        Ok(())
    }

    fn write_values(&mut self, writer: &mut dyn TableWriter) -> Result<(), Failure> {
        let (snapshot, mut json) = (self.snapshot, String::new());
        for at in 0..self.nodes.len() {
            let node = self.nodes[at];
            let values: Vec<_> = self.values.of(node).collect();
            if values.is_empty() {
                continue;
            }
            let name = written(snapshot, node);
            for (property, value) in values {
                json.clear();
                push_json(&value, &mut json);
                writer.row(&[
                    ColumnValue::Id(self.id(node)),
                    ColumnValue::Text(&name),
                    ColumnValue::Text(snapshot.property(property).name),
                    ColumnValue::Json(&json),
                ])?;
                self.step("values")?;
            }
        }
        Ok(())
    }

    fn write_edges(&mut self, writer: &mut dyn TableWriter) -> Result<(), Failure> {
        let snapshot = self.snapshot;
        self.edges(&mut |edge| {
            let (src, dst) = (written(snapshot, edge.src), written(snapshot, edge.dst));
            writer.row(&[
                ColumnValue::Text(edge.relation),
                ColumnValue::Text(&src),
                ColumnValue::Text(&dst),
                ColumnValue::Number(edge.weight),
                ColumnValue::Time(edge.time),
                ColumnValue::Id(snapshot.stable_id(edge.src).get()),
                ColumnValue::Id(snapshot.stable_id(edge.dst).get()),
            ])
        })
    }

    /// Passes every edge once, by the name of the relation, then by the smaller stable id.
    pub(super) fn edges(
        &mut self,
        take: &mut dyn FnMut(Edge<'_>) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let (snapshot, unit) = (self.snapshot, self.snapshot.time_unit());
        let mut relations: Vec<RelationIx> =
            (0..snapshot.relation_count()).map(|at| RelationIx::new(at as u16)).collect();
        relations.sort_by_key(|&relation| snapshot.relation_name(relation));
        for relation in relations {
            let name = snapshot.relation_name(relation);
            for at in 0..self.nodes.len() {
                let node = self.nodes[at];
                let id = snapshot.stable_id(node);
                for (other, weight, time) in snapshot.list(relation, node).iter() {
                    if snapshot.stable_id(other) < id {
                        continue;
                    }
                    let kind = |node| snapshot.kind_name(snapshot.kind(node));
                    let (src, dst) = if kind(other) < kind(node) { (other, node) } else { (node, other) };
                    let time = time.map(|time| unit.to_microseconds(time));
                    take(Edge { relation: name, src, dst, weight, time })?;
                    self.step("edges")?;
                }
            }
        }
        Ok(())
    }

    fn write_neighborhoods(&mut self, writer: &mut dyn TableWriter) -> Result<(), Failure> {
        let Some(embeddings) = self.embeddings else { return Ok(()) };
        for at in 0..self.nodes.len() {
            let Some(row) = embeddings.row(self.nodes[at]) else { continue };
            let sum: u32 = row.neighborhood.iter().map(|(_, visits)| visits).sum();
            for (rank, &(neighbor, visits)) in (1..).zip(&row.neighborhood) {
                writer.row(&[
                    ColumnValue::Id(self.id(row.node)),
                    ColumnValue::Count(rank),
                    ColumnValue::Id(self.id(neighbor)),
                    ColumnValue::Count(u64::from(visits)),
                    ColumnValue::Number(visits as f32 / sum as f32),
                ])?;
                self.step("neighborhoods")?;
            }
        }
        Ok(())
    }

    fn write_embeddings(&mut self, writer: &mut dyn TableWriter) -> Result<(), Failure> {
        let Some(embeddings) = self.embeddings else { return Ok(()) };
        for at in 0..self.nodes.len() {
            let Some(row) = embeddings.row(self.nodes[at]) else { continue };
            let name = written(self.snapshot, row.node);
            writer.row(&[
                ColumnValue::Id(self.id(row.node)),
                ColumnValue::Text(&name),
                ColumnValue::Number(row.bias),
                ColumnValue::Numbers(Some(&row.vector)),
            ])?;
            self.step("embeddings")?;
        }
        Ok(())
    }
}

/// The name `kind:key`, without escapes.
fn written(snapshot: &Snapshot, node: NodeIx) -> String {
    let name = snapshot.name(node);
    format!("{}:{}", name.kind, name.key)
}

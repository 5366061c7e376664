//! The rows of all tables, taken off the graph and the embeddings one by one.
//! Their order is that of the stable ids, so stores of the same content give the same rows.

use hedgerow::{CancelToken, EmbeddingExport, NodeIx, RelationIx, Snapshot};
use indicatif::ProgressBar;

use crate::core::failure::Failure;
use crate::output::printer::Output;
use crate::output::progress::new_bar;
use crate::transfer::columns::{Cell, Column, TABLES, Table};
use crate::transfer::manifest::{Block, Counts, Form, Input, Manifest};

use crate::transfer::export::sheet::Sheet;

/// Rows between two looks at the token and the clock.
const STRIDE: u64 = 4096;

/// What is exported.
pub(super) struct Rows<'a> {
    pub(super) snapshot: &'a Snapshot,
    pub(super) learned: Option<&'a EmbeddingExport<'a>>,
    /// Living nodes by stable id.
    pub(super) nodes: Vec<NodeIx>,
    /// Dense blocks by name.
    pub(super) blocks: Vec<(String, usize)>,
    form: Form,
    counts: Counts,
    cancel: &'a CancelToken,
    bar: ProgressBar,
    done: u64,
}

/// An edge, its ends in order of their kinds' names, then of their stable ids.
pub(super) struct Edge<'a> {
    pub(super) relation: &'a str,
    pub(super) src: NodeIx,
    pub(super) dst: NodeIx,
    pub(super) weight: f32,
    pub(super) time: Option<i64>,
}

/// Makes the file of a table.
type Make<'a> = dyn FnMut(Table, Vec<Column>) -> Result<Box<dyn Sheet>, Failure> + 'a;

impl<'a> Rows<'a> {
    pub(super) fn new(
        snapshot: &'a Snapshot,
        learned: Option<&'a EmbeddingExport<'a>>,
        form: Form,
        cancel: &'a CancelToken,
        out: Output,
    ) -> Self {
        let mut nodes: Vec<NodeIx> = (0..snapshot.bound()).map(NodeIx::new).collect();
        nodes.retain(|&node| snapshot.is_alive(node));
        nodes.sort_unstable_by_key(|&node| snapshot.stable_id(node));
        let relations = (0..snapshot.relation_count()).map(|at| RelationIx::new(at as u16));
        let blocks = snapshot.dense_blocks();
        let described = |node: &&NodeIx| {
            !snapshot.tokens(**node).is_empty()
                || blocks.iter().any(|(block, _)| snapshot.dense(**node, block).is_some())
        };
        let neighbors = |node: &NodeIx| Some(learned?.row(*node)?.neighborhood.len() as u64);
        let counts = Counts {
            nodes: nodes.len() as u64,
            features: nodes.iter().filter(described).count() as u64,
            edges: relations.map(|relation| snapshot.edge_count(relation)).sum(),
            neighborhoods: nodes.iter().filter_map(neighbors).sum(),
            embeddings: learned.map_or(0, EmbeddingExport::count),
        };
        let Counts { nodes: of_nodes, features, edges, neighborhoods, embeddings } = counts;
        let total = match form {
            Form::Csv | Form::Jsonl | Form::Parquet => {
                of_nodes + features + edges + neighborhoods + embeddings
            }
            Form::Graphml => of_nodes + edges,
            Form::Npy | Form::Tensorboard => embeddings,
            Form::Safetensors => 1,
        };
        let bar = new_bar(total, "{bar:30} {percent:>3} %  {msg}  {eta} left", out);
        Self { snapshot, learned, nodes, blocks, form, counts, cancel, bar, done: 0 }
    }

    /// What the manifest says of it, the files left out.
    pub(super) fn manifest(&self, guarded: bool) -> Result<Manifest, Failure> {
        let mut manifest = Manifest::new(self.form, guarded, self.snapshot.epoch().get());
        if let Some(learned) = self.learned {
            let digest = learned.digest(self.cancel)?;
            manifest.generation = Some(digest.generation.get());
            manifest.digest = Some(digest.digest);
        }
        manifest.counts = self.counts;
        let block = |(name, width): &(String, usize)| Block { name: name.clone(), width: *width };
        manifest.dense = self.blocks.iter().map(block).collect();
        let input = |(source, position): (&str, hedgerow::Position)| Input {
            source: source.to_owned(),
            offset: position.offset,
            lines: position.lines,
            check: position.check,
        };
        manifest.positions = self.snapshot.positions().map(input).collect();
        Ok(manifest)
    }

    /// Counts a row, and hears a Ctrl-C now and then.
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

    /// Writes all five tables.
    pub(super) fn tables(&mut self, make: &mut Make<'_>) -> Result<(), Failure> {
        let names: Vec<String> = self.blocks.iter().map(|(name, _)| name.clone()).collect();
        for table in TABLES {
            let mut sheet = make(table, table.columns(&names))?;
            match table {
                Table::Nodes => self.write_nodes(&mut *sheet)?,
                Table::Features => self.write_features(&mut *sheet)?,
                Table::Edges => self.write_edges(&mut *sheet)?,
                Table::Neighborhoods => self.write_neighborhoods(&mut *sheet)?,
                Table::Embeddings => self.write_embeddings(&mut *sheet)?,
            }
            sheet.end()?;
        }
        self.bar.finish_and_clear();
        Ok(())
    }

    fn write_nodes(&mut self, sheet: &mut dyn Sheet) -> Result<(), Failure> {
        for at in 0..self.nodes.len() {
            let node = self.nodes[at];
            let name = self.snapshot.name(node);
            sheet.row(&[Cell::Id(self.id(node)), Cell::Text(&name.kind), Cell::Text(&name.key)])?;
            self.step("nodes")?;
        }
        Ok(())
    }

    fn write_features(&mut self, sheet: &mut dyn Sheet) -> Result<(), Failure> {
        for at in 0..self.nodes.len() {
            let node = self.nodes[at];
            let tokens = self.snapshot.tokens(node);
            let rows: Vec<Option<&[f32]>> =
                self.blocks.iter().map(|(block, _)| self.snapshot.dense(node, block)).collect();
            if tokens.is_empty() && rows.iter().all(Option::is_none) {
                continue;
            }
            let name = written(self.snapshot, node);
            let mut cells = vec![Cell::Id(self.id(node)), Cell::Text(&name), Cell::Words(&tokens)];
            cells.extend(rows.into_iter().map(Cell::Reals));
            sheet.row(&cells)?;
            self.step("features")?;
        }
        Ok(())
    }

    fn write_edges(&mut self, sheet: &mut dyn Sheet) -> Result<(), Failure> {
        let snapshot = self.snapshot;
        self.edges(&mut |edge| {
            let (src, dst) = (written(snapshot, edge.src), written(snapshot, edge.dst));
            sheet.row(&[
                Cell::Text(edge.relation),
                Cell::Text(&src),
                Cell::Text(&dst),
                Cell::Real(edge.weight),
                Cell::Time(edge.time),
                Cell::Id(snapshot.stable_id(edge.src).get()),
                Cell::Id(snapshot.stable_id(edge.dst).get()),
            ])
        })
    }

    /// Every edge once: relations by name, then by the smaller stable id.
    pub(super) fn edges(
        &mut self,
        take: &mut dyn FnMut(Edge<'_>) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let snapshot = self.snapshot;
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
                    take(Edge { relation: name, src, dst, weight, time })?;
                    self.step("edges")?;
                }
            }
        }
        Ok(())
    }

    fn write_neighborhoods(&mut self, sheet: &mut dyn Sheet) -> Result<(), Failure> {
        let Some(learned) = self.learned else { return Ok(()) };
        for at in 0..self.nodes.len() {
            let Some(row) = learned.row(self.nodes[at]) else { continue };
            let sum: u32 = row.neighborhood.iter().map(|(_, visits)| visits).sum();
            for (rank, &(neighbor, visits)) in (1..).zip(&row.neighborhood) {
                sheet.row(&[
                    Cell::Id(self.id(row.node)),
                    Cell::Count(rank),
                    Cell::Id(self.id(neighbor)),
                    Cell::Count(u64::from(visits)),
                    Cell::Real(visits as f32 / sum as f32),
                ])?;
                self.step("neighborhoods")?;
            }
        }
        Ok(())
    }

    fn write_embeddings(&mut self, sheet: &mut dyn Sheet) -> Result<(), Failure> {
        let Some(learned) = self.learned else { return Ok(()) };
        for at in 0..self.nodes.len() {
            let Some(row) = learned.row(self.nodes[at]) else { continue };
            let name = written(self.snapshot, row.node);
            sheet.row(&[
                Cell::Id(self.id(row.node)),
                Cell::Text(&name),
                Cell::Real(row.bias),
                Cell::Reals(Some(row.vector)),
            ])?;
            self.step("embeddings")?;
        }
        Ok(())
    }
}

/// `kind:key`, every character as it is.
fn written(snapshot: &Snapshot, node: NodeIx) -> String {
    let name = snapshot.name(node);
    format!("{}:{}", name.kind, name.key)
}

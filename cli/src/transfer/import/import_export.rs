//! `import --from`: the manifest and the checksums of an export, then its graph as one load, its features and values in batches, its
//! model.
//! The result must agree with the counts and the digest of the manifest.
//! The store is made in a temporary folder that is renamed at the end, so an import that fails leaves nothing.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hedgerow::{Batch, Engine, KindIx, NodeIx, Position, RelationOptions, Snapshot, Store};

use crate::core::failure::Failure;
use crate::core::location::Place;
use crate::input::blocks::BLOCK;
use crate::output::progress::{Progress, new_bar};
use crate::output::value::rounded;
use crate::session::context::Context;
use crate::transfer::atomic_dir::{AtomicDir, is_free};
use crate::transfer::edges::row_state::RowState;
use crate::transfer::edges::signals::Signals;
use crate::transfer::import::bulk_import::BulkImport;
use crate::transfer::import::edges::EdgeRows;
use crate::transfer::import::export_tables::VerifiedExport;
use crate::transfer::import::manifest_check;
use crate::transfer::import::manifest_check::anew;
use crate::transfer::manifest::{Counts, ExportFormat, MANIFEST, Manifest};
use crate::transfer::model_file;
use crate::transfer::model_file::MODEL;
use crate::transfer::table_schema::Table;

/// Makes a store of an export. With `any_digest` its embeddings may have another digest.
pub(super) fn run(
    ctx: &mut Context,
    path: &Path,
    folder: &Path,
    any_digest: bool,
    started: Instant,
) -> Result<(), Failure> {
    let manifest = Manifest::open(folder)?;
    // Exports that cannot be read, and stores that cannot be made.
    if !matches!(manifest.format, ExportFormat::Csv | ExportFormat::Jsonl | ExportFormat::Parquet) {
        return Err(Failure::Refused(format!(
            "{} is an export in a format that cannot be imported: export as csv, jsonl or parquet",
            folder.display()
        )));
    }
    if cfg!(not(feature = "parquet")) && manifest.format == ExportFormat::Parquet {
        return Err(Failure::no_parquet());
    }
    if ctx.read_only {
        return Err(Failure::Usage(
            "--from makes a new store, which --read-only cannot: leave it out".to_owned(),
        ));
    }
    if !is_free(path)? {
        return Err(Failure::Refused(format!(
            "{} holds something: --from makes a new store, so name a new or empty folder",
            path.display()
        )));
    }
    // The manifest and every file are verified before the store is made.
    manifest_check::check(&manifest, folder)?;
    let bytes = manifest.files.iter().map(|entry| entry.bytes).sum();
    let bar = new_bar(bytes, "{bar:30} {percent:>3} %  verifying checksums  {eta} left", ctx.out);
    let verified = manifest.verify(folder, ctx.cancel(), &mut |bytes| bar.inc(bytes));
    bar.finish_and_clear();
    verified?;
    let new_folder = AtomicDir::beside(path)?;
    let export = VerifiedExport { folder, manifest };
    let embedded = {
        let store = Store::options().create(true).open(new_folder.path())?;
        let store = Arc::new(store);
        export.import_graph(ctx, &store)?;
        export.check_graph(&store.snapshot())?;
        export.check_derived_tables(ctx)?;
        export.install_model(ctx, &store)?
    };
    let Counts { nodes, edges, features, .. } = export.manifest.counts;
    let values = export.manifest.counts.of(Table::Values);
    let (digest, generation) = embedded.unzip();
    if digest != export.manifest.digest {
        let problem = export.other_digest(digest.as_deref());
        if !any_digest {
            let remedy = "export anew, or accept it with --any-digest";
            return Err(export.problem(&format!("{problem}; {remedy}")));
        }
        ctx.out.note(&format!("warning: {problem}"));
    }
    new_folder.finish(false)?;
    ctx.out.record(vec![
        ("nodes", nodes.into()),
        ("edges", edges.into()),
        ("features", features.into()),
        ("values", values.into()),
        ("rejected", 0.into()),
        ("generation", generation.into()),
        ("digest", digest.clone().into()),
        ("same_digest", (digest == export.manifest.digest).into()),
        ("seconds", rounded(started.elapsed().as_secs_f64(), 3)),
    ])
}

impl VerifiedExport<'_> {
    /// Imports graph, features, properties and input positions.
    fn import_graph(&self, ctx: &Context, store: &Store) -> Result<(), Failure> {
        // Nodes and edges are one load.
        let progress = Progress::new(self.size(&[Table::Nodes, Table::Edges]), "edges", ctx.out);
        let state = RowState::of_export(self.manifest.time_unit());
        let mut bulk = BulkImport::new(ctx, store, progress, None, state);
        for relation in &self.manifest.relations {
            let half_life = relation.half_life.map(Duration::from_micros);
            let options = RelationOptions { half_life, is_dislike: relation.is_dislike };
            bulk.declare_relation(&relation.name, options)?;
        }
        for table in [Table::Nodes, Table::Edges] {
            for entry in self.manifest.files_of(table) {
                let (lines, form) = self.rows(table, entry)?;
                let rows = EdgeRows { signals: Signals::default(), comment: None, form };
                let before = bulk.added();
                bulk.read_file(lines, &rows, BLOCK).map_err(with_nothing_imported)?;
                self.expect_rows(entry, bulk.added() - before)?;
            }
        }
        let totals = bulk.write()?;
        self.expect_count("edges", totals.edges, self.manifest.counts.edges)?;
        // Features, properties and their values, then the positions of followed inputs.
        let mut batch = Batch::new();
        for entry in self.manifest.files_of(Table::Features) {
            self.read_features(entry, ctx, store, &mut batch).map_err(with_nothing_imported)?;
        }
        self.read_properties(ctx, store, &mut batch)?;
        for input in &self.manifest.positions {
            let (offset, lines, check) = (input.offset, input.lines, input.check);
            batch.set_position(&input.source, Position { offset, lines, check })?;
        }
        store.commit(&batch)?;
        Ok(store.checkpoint(&ctx.watched())?)
    }

    /// Refuses a graph that does not have the nodes, features, values and dense blocks that the manifest says.
    fn check_graph(&self, snapshot: &Snapshot) -> Result<(), Failure> {
        let counts = &self.manifest.counts;
        self.expect_count("nodes", snapshot.node_count(), counts.nodes)?;
        let blocks = snapshot.dense_blocks();
        let has_features = |node: &NodeIx| {
            !snapshot.tokens(*node).is_empty()
                || blocks.iter().any(|(block, _)| snapshot.dense(*node, block).is_some())
        };
        let nodes = (0..snapshot.bound()).map(NodeIx::new).filter(|&node| snapshot.is_alive(node));
        let with_features = nodes.filter(has_features).count() as u64;
        self.expect_count("nodes with features", with_features, counts.features)?;
        self.expect_count("values", value_count(snapshot), counts.of(Table::Values))?;
        for block in &self.manifest.dense {
            // A block without rows has no width in the store.
            let found = blocks.iter().find(|(name, _)| *name == block.name).map(|(_, width)| *width);
            if let Some(found) = found.filter(|found| *found != block.width) {
                let (name, width) = (&block.name, block.width);
                let problem =
                    format!("the rows of block {name:?} have {found} numbers, the manifest says {width}");
                return Err(self.problem(&anew(&problem)));
            }
        }
        Ok(())
    }

    /// Counts the rows of the tables that the model computes.
    fn check_derived_tables(&self, ctx: &Context) -> Result<(), Failure> {
        for table in [Table::Neighborhoods, Table::Embeddings] {
            for entry in self.manifest.files_of(table) {
                self.count_rows(table, entry, ctx).map_err(with_nothing_imported)?;
            }
        }
        Ok(())
    }

    /// The difference of the digest, in words.
    fn other_digest(&self, found: Option<&str>) -> String {
        let shown = |digest: Option<&str>| digest.unwrap_or("none").to_owned();
        let (found, expected) = (shown(found), shown(self.manifest.digest.as_deref()));
        format!(
            "the embeddings have the digest {found}, the manifest says {expected}: the export was changed, or another \
             version wrote it"
        )
    }

    fn expect_count(&self, what: &str, found: u64, expected: u64) -> Result<(), Failure> {
        if found == expected {
            return Ok(());
        }
        let problem = format!("the export holds {found} different {what}, the manifest says {expected}");
        Err(self.problem(&anew(&problem)))
    }

    /// A disagreement with the manifest.
    pub(super) fn problem(&self, problem: &str) -> Failure {
        Place::new(&self.folder.join(MANIFEST).display().to_string(), 1, 1).problem(problem).into()
    }

    /// Installs the model and embeds all nodes; returns the digest and the generation.
    fn install_model(&self, ctx: &Context, store: &Arc<Store>) -> Result<Option<(String, u64)>, Failure> {
        let Some(entry) = self.manifest.files.iter().find(|entry| entry.name == MODEL) else {
            return Ok(None);
        };
        let model = model_file::read(&self.folder.join(&entry.name))?;
        let bar = new_bar(0, "{spinner} embedding", ctx.out);
        let engine = Engine::open(Arc::clone(store))?;
        let generation = engine.install(&model, &ctx.watched())?;
        bar.finish_and_clear();
        let embedded = engine.export_embeddings(&ctx.watched())?;
        self.expect_count("embeddings", embedded.count(), self.manifest.counts.embeddings)?;
        let nodes = (0..embedded.snapshot().bound()).map(NodeIx::new);
        let neighbors = nodes.filter_map(|node| Some(embedded.row(node)?.neighborhood.len() as u64));
        self.expect_count("neighborhoods", neighbors.sum(), self.manifest.counts.neighborhoods)?;
        Ok(Some((embedded.digest(&ctx.watched())?.digest, generation.get())))
    }
}

/// The number of values of all properties.
fn value_count(snapshot: &Snapshot) -> u64 {
    let kinds = (0..snapshot.kind_count()).map(|at| KindIx::new(at as u8));
    kinds
        .flat_map(|kind| snapshot.properties_of(kind))
        .map(|property| snapshot.property(property).count)
        .sum()
}

/// Adds to a failure that the import left nothing.
pub(super) fn with_nothing_imported(failure: Failure) -> Failure {
    match failure {
        Failure::Input(bad) => bad.with_outcome("nothing was imported").into(),
        Failure::Interrupted(_) => Failure::Interrupted("interrupted; nothing was imported".to_owned()),
        other => other,
    }
}

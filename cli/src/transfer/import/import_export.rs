//! `import --from`: the checksums of an export, then its graph as one load, its features in batches, its model last.
//! The store is made in a temporary folder that is renamed at the end, so an import that fails leaves nothing.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use hedgerow::{Batch, Engine, NodeRef, Position, Store};

use crate::core::failure::Failure;
use crate::core::location::{BadInput, Place};
use crate::input::blocks::BLOCK;
use crate::input::delimited::{Delimited, Dialect};
use crate::input::jsonl::{FieldTexts, JsonLine, numbers_of};
use crate::input::lines::Lines;
use crate::input::rows::{LineRows, RowReader};
use crate::input::separator::Separator;
use crate::input::source::Source;
use crate::output::progress::{Progress, new_bar};
use crate::output::value::rounded;
use crate::session::context::Context;
use crate::transfer::atomic_dir::{AtomicDir, is_free};
use crate::transfer::import::bulk_import::BulkImport;
use crate::transfer::import::column_names::{ColumnEnd, EndKind, text};
use crate::transfer::import::edge_columns::EdgeColumns;
use crate::transfer::import::edge_fields::EdgeFields;
use crate::transfer::import::edges::{EdgeForm, EdgeRows};
use crate::transfer::import::node_features::NodeFeatures;
use crate::transfer::manifest::{Counts, ExportFormat, FileEntry, Manifest};
use crate::transfer::model_file;
use crate::transfer::model_file::MODEL;
use crate::transfer::table_schema::{DENSE_PREFIX, Table};

/// Operations in a commit of features.
const BATCH: usize = 10_000;

/// An export whose files have the checksums of its manifest.
struct VerifiedExport<'a> {
    folder: &'a Path,
    manifest: Manifest,
}

pub(super) fn run(ctx: &mut Context, path: &Path, folder: &Path, started: Instant) -> Result<(), Failure> {
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
    // Every file is verified before the store is made.
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
        export.install_model(ctx, &store)?
    };
    new_folder.finish(false)?;
    // A model gives other bytes on processors whose arithmetic differs, which the report says.
    let Counts { nodes, edges, features, .. } = export.manifest.counts;
    let (digest, generation) = embedded.unzip();
    if digest != export.manifest.digest {
        ctx.out.note(
            "warning: the digest is not the one of the export: it was computed on another kind of processor",
        );
    }
    ctx.out.record(vec![
        ("nodes", nodes.into()),
        ("edges", edges.into()),
        ("features", features.into()),
        ("rejected", 0.into()),
        ("generation", generation.into()),
        ("digest", digest.clone().into()),
        ("same_digest", (digest == export.manifest.digest).into()),
        ("seconds", rounded(started.elapsed().as_secs_f64(), 3)),
    ])
}

impl VerifiedExport<'_> {
    /// Imports graph, features and input positions.
    fn import_graph(&self, ctx: &Context, store: &Store) -> Result<(), Failure> {
        // Nodes and edges are one load.
        let progress = Progress::new(self.size(&[Table::Nodes, Table::Edges]), "edges", ctx.out);
        let mut bulk = BulkImport::new(ctx, store, progress, None);
        for table in [Table::Nodes, Table::Edges] {
            for entry in self.manifest.files_of(table) {
                let (lines, form) = self.rows(table, entry)?;
                let rows = EdgeRows { relation: None, comment: None, form };
                bulk.read_file(lines, &rows, BLOCK).map_err(with_nothing_imported)?;
            }
        }
        let totals = bulk.write()?;
        for (what, found, expected) in [
            ("nodes", totals.nodes, self.manifest.counts.nodes),
            ("edges", totals.edges, self.manifest.counts.edges),
        ] {
            if found != expected {
                let place = Place::new(&self.folder.display().to_string(), 1, 1);
                let problem =
                    format!("the files hold {found} different {what}, the manifest says {expected}");
                return Err(place.problem(problem).into());
            }
        }
        // Features, then the positions of followed inputs.
        let mut batch = Batch::new();
        for entry in self.manifest.files_of(Table::Features) {
            self.read_features(entry, ctx, store, &mut batch).map_err(with_nothing_imported)?;
        }
        for input in &self.manifest.positions {
            let (offset, lines, check) = (input.offset, input.lines, input.check);
            batch.set_position(&input.source, Position { offset, lines, check })?;
        }
        store.commit(&batch)?;
        Ok(store.checkpoint(&ctx.watched())?)
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
        Ok(Some((engine.digest(&ctx.watched())?.digest, generation.get())))
    }

    fn size(&self, tables: &[Table]) -> u64 {
        let files = self.manifest.files.iter();
        let of_tables = files.filter(|entry| entry.table.is_some_and(|table| tables.contains(&table)));
        of_tables.map(|entry| entry.bytes).sum()
    }

    fn open(&self, entry: &FileEntry) -> Result<Lines, Failure> {
        let path = entry.path(self.folder).unwrap_or_else(|| self.folder.join(&entry.name));
        Ok(Lines::new(Source::open_plain(&path)?))
    }

    /// The lines of a file of nodes or edges, and the form of its rows.
    fn rows(&self, table: Table, entry: &FileEntry) -> Result<(Lines, EdgeForm), Failure> {
        let lines = self.open(entry)?;
        if self.manifest.format != ExportFormat::Csv {
            let fields = if table == Table::Nodes { EdgeFields::of_nodes() } else { EdgeFields::of_edges() };
            return Ok((lines, EdgeForm::Jsonl(fields)));
        }
        let (records, columns) = self.header(table, lines)?;
        let column = |name: &str| columns.iter().position(|column| column == name);
        let end = |name: &str, kind| ColumnEnd { column: column(name).unwrap_or_default(), kind };
        let (src, dst) = match table {
            Table::Nodes => (end("key", EndKind::Column(column("kind").unwrap_or_default())), None),
            _ => (end("src", EndKind::Written), Some(end("dst", EndKind::Written))),
        };
        let columns = EdgeColumns {
            count: columns.len(),
            named: "the header",
            src,
            dst,
            weight: column("weight"),
            time: column("time"),
            relation: column("relation"),
            is_guarded: self.manifest.guarded,
        };
        Ok((records.into_lines(), EdgeForm::Csv { separator: Separator::Byte(b','), columns }))
    }

    /// Reads the header of a csv file, which must have the columns of its table.
    fn header(&self, table: Table, lines: Lines) -> Result<(Delimited, Vec<String>), Failure> {
        let dialect = Dialect { separator: Some(Separator::Byte(b',')), ..Dialect::default() };
        let records = Delimited::open(lines, &dialect)?;
        let blocks = self.manifest.dense.iter().map(|block| &block.name);
        let expected: Vec<String> = table.columns(blocks).into_iter().map(|column| column.name).collect();
        if records.header()? != expected {
            return Err(records
                .place(0)
                .found(records.raw(), format!("the header {}", expected.join(",")))
                .into());
        }
        Ok((records, expected))
    }

    /// Reads the tokens and dense rows of a file into batches, and commits those that are full.
    fn read_features(
        &self,
        entry: &FileEntry,
        ctx: &Context,
        store: &Store,
        batch: &mut Batch,
    ) -> Result<(), Failure> {
        let lines = self.open(entry)?;
        let bar = new_bar(entry.rows.unwrap_or(0), "{bar:30} {percent:>3} %  features  {eta} left", ctx.out);
        let mut take = |(features, dense): Features<'_>| {
            let rows: Vec<(&str, &[f32])> =
                dense.iter().map(|(block, values)| (*block, values.as_slice())).collect();
            features.stage(&rows, batch)?;
            bar.inc(1);
            if batch.len() >= BATCH {
                store.commit(batch)?;
                batch.clear();
                if ctx.cancel().is_cancelled() {
                    return Err(Failure::Interrupted("interrupted".to_owned()));
                }
            }
            Ok(())
        };
        if self.manifest.format == ExportFormat::Csv {
            let (mut records, _) = self.header(Table::Features, lines)?;
            while records.advance()? {
                take(self.features_of_record(&records)?)?;
            }
        } else {
            let mut rows = LineRows::objects(lines, None);
            while rows.advance()? {
                take(self.features_of_object(rows.lines())?)?;
            }
        }
        bar.finish_and_clear();
        Ok(())
    }

    fn features_of_record(&self, records: &Delimited) -> Result<Features<'_>, BadInput> {
        records.expect_fields(3 + self.manifest.dense.len(), "the header")?;
        let node = NodeRef::parse(text(records, 1, self.manifest.guarded)?);
        let node = node.map_err(|error| records.place(1).problem(error))?.to_name();
        let refuse = |at: usize, json: &str, expected| records.place(at).found(json.as_bytes(), expected);
        let tokens = records.text(2)?;
        let tokens: Vec<String> =
            serde_json::from_str(tokens).map_err(|_| refuse(2, tokens, "a JSON list of texts"))?;
        let mut dense = Vec::new();
        for (at, block) in (3..).zip(&self.manifest.dense) {
            let json = records.text(at)?;
            if !json.is_empty() {
                let values = numbers_of(json).ok_or_else(|| refuse(at, json, "a JSON list of numbers"))?;
                dense.push((block.name.as_str(), values));
            }
        }
        let (place, at_tokens) = (records.place(1), records.place(2));
        let (kind, key) = (node.kind.into(), node.key.into());
        Ok((NodeFeatures { kind, key, tokens: Some(tokens), place, at_tokens }, dense))
    }

    fn features_of_object(&self, lines: &Lines) -> Result<Features<'_>, BadInput> {
        let object = JsonLine::parse(lines)?;
        let node = object.text("node", "a node such as \"pin:1\"")?;
        let node = NodeRef::parse(&node).map_err(|error| object.place("node").problem(error))?.to_name();
        let tokens = match object.texts("tokens")? {
            FieldTexts::List(tokens) => tokens,
            FieldTexts::Text(text) => {
                return Err(object.place("tokens").found(text.as_bytes(), "a list of texts"));
            }
        };
        let mut dense = Vec::new();
        for block in &self.manifest.dense {
            if let Some(values) = object.numbers(&format!("{DENSE_PREFIX}{}", block.name))? {
                dense.push((block.name.as_str(), values));
            }
        }
        let (place, at_tokens) = (object.place("node"), object.place("tokens"));
        let (kind, key) = (node.kind.into(), node.key.into());
        Ok((NodeFeatures { kind, key, tokens: Some(tokens), place, at_tokens }, dense))
    }
}

/// The features of a node, and its rows in dense blocks.
type Features<'a> = (NodeFeatures<'a>, Vec<(&'a str, Vec<f32>)>);

/// Adds to a failure that the import left nothing.
fn with_nothing_imported(failure: Failure) -> Failure {
    match failure {
        Failure::Input(bad) => bad.with_outcome("nothing was imported").into(),
        Failure::Interrupted(_) => Failure::Interrupted("interrupted; nothing was imported".to_owned()),
        other => other,
    }
}

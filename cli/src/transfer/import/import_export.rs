//! An export taken in whole: checksums first, then the graph as one load, features in batches, the model last. The store is
//! made under a temporary name, so it is there whole or not at all.

use std::path::Path;
use std::time::Instant;

use hedgerow::{Batch, Engine, NodeRef, Position, Store};

use crate::core::failure::Failure;
use crate::core::location::{BadInput, Place};
use crate::input::blocks::BLOCK;
use crate::input::delimited::{Delimited, How};
use crate::input::jsonl::{JsonLine, Words};
use crate::input::lines::Lines;
use crate::input::number::narrowed;
use crate::input::separator::Separator;
use crate::input::source::Source;
use crate::output::progress::{Progress, new_bar};
use crate::output::value::rounded;
use crate::session::context::Context;
use crate::transfer::atomic_dir::{AtomicDir, is_free};
use crate::transfer::columns::{DENSE, Table};
use crate::transfer::csv_injection::unguarded;
use crate::transfer::import::bulk::Bulk;
use crate::transfer::import::columns::Columns;
use crate::transfer::import::edges::{Form as RowForm, Rows};
use crate::transfer::import::fields::Fields;
use crate::transfer::import::names::{End, Kind};
use crate::transfer::manifest::{Counts, Entry, Form, Manifest};
use crate::transfer::model;
use crate::transfer::model::MODEL;

/// Changes of features that are committed as one.
const BATCH: usize = 10_000;

/// An export whose files are what its manifest says.
struct Whole<'a> {
    folder: &'a Path,
    manifest: Manifest,
}

pub(super) fn run(ctx: &mut Context, path: &Path, folder: &Path, started: Instant) -> Result<(), Failure> {
    let manifest = Manifest::open(folder)?;
    if !matches!(manifest.format, Form::Csv | Form::Jsonl | Form::Parquet) {
        return Err(Failure::Refused(format!(
            "{} is an export of another form, of which no store is made: export as csv, jsonl or parquet",
            folder.display()
        )));
    }
    if cfg!(not(feature = "parquet")) && manifest.format == Form::Parquet {
        return Err(crate::core::failure::Failure::no_parquet());
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
    let bytes = manifest.files.iter().map(|entry| entry.bytes).sum();
    let bar = new_bar(bytes, "{bar:30} {percent:>3} %  verifying checksums  {eta} left", ctx.out);
    let verified = manifest.verify(folder, ctx.cancel(), &mut |bytes| bar.inc(bytes));
    bar.finish_and_clear();
    verified?;
    let unfinished = AtomicDir::beside(path)?;
    let whole = Whole { folder, manifest };
    let made = {
        let store = Store::options().create(true).open(unfinished.path())?;
        let store = std::sync::Arc::new(store);
        whole.fill(ctx, &store)?;
        whole.learn(ctx, &store)?
    };
    unfinished.finish(false)?;
    let Counts { nodes, edges, features, .. } = whole.manifest.counts;
    let (digest, generation) = made.map_or((None, None), |made| (Some(made.0), Some(made.1)));
    if digest != whole.manifest.digest {
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
        ("same_digest", (digest == whole.manifest.digest).into()),
        ("seconds", rounded(started.elapsed().as_secs_f64(), 3)),
    ])
}

impl Whole<'_> {
    /// Graph and features.
    fn fill(&self, ctx: &Context, store: &Store) -> Result<(), Failure> {
        let progress = Progress::new(self.size(&[Table::Nodes, Table::Edges]), "edges", ctx.out);
        let mut bulk = Bulk::new(ctx, store, progress, None);
        for table in [Table::Nodes, Table::Edges] {
            for entry in self.manifest.files_of(table) {
                let (lines, form) = self.rows(table, entry)?;
                let rows = Rows { relation: None, comment: None, form };
                bulk.read_file(lines, &rows, BLOCK).map_err(nothing_stays)?;
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
        let mut batch = Batch::new();
        for entry in self.manifest.files_of(Table::Features) {
            self.describe(entry, ctx, store, &mut batch).map_err(nothing_stays)?;
        }
        for input in &self.manifest.positions {
            let (offset, lines, check) = (input.offset, input.lines, input.check);
            batch.set_position(&input.source, Position { offset, lines, check })?;
        }
        store.commit(&batch)?;
        Ok(store.checkpoint(&ctx.watched())?)
    }

    /// The model, and what follows from it; the digest and the generation.
    fn learn(&self, ctx: &Context, store: &std::sync::Arc<Store>) -> Result<Option<(String, u64)>, Failure> {
        let Some(entry) = self.manifest.files.iter().find(|entry| entry.name == MODEL) else {
            return Ok(None);
        };
        let model = model::read(&self.folder.join(&entry.name))?;
        let bar = new_bar(0, "{spinner} embedding", ctx.out);
        let engine = Engine::open(std::sync::Arc::clone(store))?;
        let generation = engine.install(&model, &ctx.watched())?;
        bar.finish_and_clear();
        Ok(Some((engine.digest(&ctx.watched())?.digest, generation.get())))
    }

    fn size(&self, tables: &[Table]) -> u64 {
        let files = self.manifest.files.iter();
        let wanted = files.filter(|entry| entry.table.is_some_and(|table| tables.contains(&table)));
        wanted.map(|entry| entry.bytes).sum()
    }

    fn open(&self, entry: &Entry) -> Result<Lines, Failure> {
        let path = entry.path(self.folder).unwrap_or_else(|| self.folder.join(&entry.name));
        Ok(Lines::new(Source::open(&path)?))
    }

    /// The rows of a file of nodes or edges, and how they are read.
    fn rows(&self, table: Table, entry: &Entry) -> Result<(Lines, RowForm), Failure> {
        let lines = self.open(entry)?;
        if self.manifest.format != Form::Csv {
            let fields = if table == Table::Nodes { Fields::of_nodes() } else { Fields::of_edges() };
            return Ok((lines, RowForm::Jsonl(fields)));
        }
        let (records, columns) = self.header(table, lines)?;
        let column = |name: &str| columns.iter().position(|column| column == name);
        let end = |name: &str, kind| End { column: column(name).unwrap_or_default(), kind };
        let (src, dst) = match table {
            Table::Nodes => (end("key", Kind::Column(column("kind").unwrap_or_default())), None),
            _ => (end("src", Kind::Written), Some(end("dst", Kind::Written))),
        };
        let columns = Columns {
            count: columns.len(),
            named: "the header",
            src,
            dst,
            weight: column("weight"),
            time: column("time"),
            relation: column("relation"),
            is_guarded: self.manifest.guarded,
        };
        Ok((records.into_lines(), RowForm::Csv { separator: Separator::Byte(b','), columns }))
    }

    /// The header of a csv file, which must be that of its table.
    fn header(&self, table: Table, lines: Lines) -> Result<(Delimited, Vec<String>), Failure> {
        let how = How { separator: Some(Separator::Byte(b',')), ..How::default() };
        let records = Delimited::open(lines, &how)?;
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

    /// Tokens and dense rows of a file.
    fn describe(
        &self,
        entry: &Entry,
        ctx: &Context,
        store: &Store,
        batch: &mut Batch,
    ) -> Result<(), Failure> {
        let lines = self.open(entry)?;
        let progress =
            new_bar(entry.rows.unwrap_or(0), "{bar:30} {percent:>3} %  features  {eta} left", ctx.out);
        let mut taken = |features: Features| {
            features.stage(batch)?;
            progress.inc(1);
            if batch.len() >= BATCH {
                store.commit(batch)?;
                batch.clear();
                if ctx.cancel().is_cancelled() {
                    return Err(Failure::Interrupted("interrupted".to_owned()));
                }
            }
            Ok(())
        };
        if self.manifest.format == Form::Csv {
            let (mut records, _) = self.header(Table::Features, lines)?;
            while records.advance()? {
                taken(self.of_record(&records)?)?;
            }
        } else {
            let mut lines = lines;
            while lines.advance()? {
                taken(self.of_object(&lines)?)?;
            }
        }
        progress.finish_and_clear();
        Ok(())
    }

    fn of_record(&self, records: &Delimited) -> Result<Features, BadInput> {
        records.expect_fields(3 + self.manifest.dense.len(), "the header")?;
        let node = records.text(1)?;
        let node = if self.manifest.guarded { unguarded(node) } else { node }.to_owned();
        let list = |at: usize| {
            let text = records.text(at)?;
            Ok::<_, BadInput>((text, records.place(at)))
        };
        let (text, place) = list(2)?;
        let tokens = serde_json::from_str(text);
        let tokens = tokens.map_err(|_| place.found(text.as_bytes(), "a JSON list of texts"))?;
        let mut dense = Vec::new();
        for (at, block) in (3..).zip(&self.manifest.dense) {
            let (text, place) = list(at)?;
            if !text.is_empty() {
                let values: Vec<f64> = serde_json::from_str(text)
                    .map_err(|_| place.found(text.as_bytes(), "a JSON list of numbers"))?;
                dense.push((block.name.clone(), values.into_iter().map(narrowed).collect()));
            }
        }
        Ok(Features { node, tokens, dense, place: records.place(1) })
    }

    fn of_object(&self, lines: &Lines) -> Result<Features, BadInput> {
        let object = JsonLine::parse(lines)?;
        let node = object.text("node", "a node such as \"pin:1\"")?.to_owned();
        let tokens = match object.words("tokens")? {
            Words::List(tokens) => tokens,
            Words::Text(text) => {
                return Err(object.place("tokens").found(text.as_bytes(), "a list of texts"));
            }
        };
        let mut dense = Vec::new();
        for block in &self.manifest.dense {
            if let Some(values) = object.reals(&format!("{DENSE}{}", block.name))? {
                dense.push((block.name.clone(), values));
            }
        }
        Ok(Features { node, tokens, dense, place: object.place("node") })
    }
}

/// The features of a node.
struct Features {
    node: String,
    tokens: Vec<String>,
    dense: Vec<(String, Vec<f32>)>,
    place: Place,
}

impl Features {
    fn stage(&self, batch: &mut Batch) -> Result<(), BadInput> {
        let refuse = |error: hedgerow::Error| self.place.clone().problem(error);
        let node = NodeRef::parse(&self.node).map_err(|error| refuse(error.into()))?;
        batch.set_tokens(node, &self.tokens).map_err(|error| refuse(error.into()))?;
        for (block, values) in &self.dense {
            batch.set_dense(node, block, values).map_err(|error| refuse(error.into()))?;
        }
        Ok(())
    }
}

/// The store is not there unless all of it is.
fn nothing_stays(failure: Failure) -> Failure {
    match failure {
        Failure::Input(bad) => bad.with_outcome("nothing was imported").into(),
        Failure::Interrupted(_) => Failure::Interrupted("interrupted; nothing was imported".to_owned()),
        other => other,
    }
}

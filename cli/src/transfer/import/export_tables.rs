//! The tables of an export: their rows in each form, which must be as many as the manifest says and have exactly the columns of
//! their table.

use std::path::Path;

use hedgerow::{Batch, NodeName, NodeRef, Store};

use crate::core::failure::Failure;
use crate::core::location::{BadInput, Place};
use crate::input::delimited::{Delimited, Dialect};
use crate::input::jsonl::{FieldTexts, JsonLine, numbers_of};
use crate::input::lines::Lines;
use crate::input::rows::{LineRows, RowReader};
use crate::input::separator::Separator;
use crate::input::source::Source;
use crate::output::progress::new_bar;
use crate::session::context::Context;
use crate::transfer::edges::column_names::{ColumnEnd, EndKind, text};
use crate::transfer::edges::edge_columns::EdgeColumns;
use crate::transfer::edges::edge_fields::EdgeFields;
use crate::transfer::import::edges::EdgeForm;
use crate::transfer::import::manifest_check::anew;
use crate::transfer::manifest::{ExportFormat, FileEntry, Manifest};
use crate::transfer::table_schema::{DENSE_PREFIX, Table};

/// Operations in a commit of features or values.
const BATCH: usize = 10_000;
/// Rows between two checks for a Ctrl-C.
const STRIDE: u64 = 4096;

/// An export whose files have the checksums of its manifest.
pub(super) struct VerifiedExport<'a> {
    pub(super) folder: &'a Path,
    pub(super) manifest: Manifest,
}

/// A row with the columns of its table.
pub(super) enum TableRow<'a> {
    /// Of a csv.
    Record(&'a Delimited),
    /// Of JSON lines or Parquet.
    Object(&'a JsonLine<'a>),
}

/// The tokens of a node and its rows in dense blocks, with the places of its name and of the tokens.
struct Features<'a> {
    node: NodeName,
    tokens: Vec<String>,
    dense: Vec<(&'a str, Vec<f32>)>,
    place: Place,
    at_tokens: Place,
}

impl Features<'_> {
    fn stage(&self, batch: &mut Batch) -> Result<(), BadInput> {
        let set = batch.set_tokens(&self.node, &self.tokens);
        set.map_err(|error| self.at_tokens.clone().problem(error))?;
        for (block, values) in &self.dense {
            let set = batch.set_dense(&self.node, block, values);
            set.map_err(|error| self.place.clone().problem(format!("its row in {block}: {error}")))?;
        }
        Ok(())
    }
}

impl VerifiedExport<'_> {
    /// The bytes of the files of some tables.
    pub(super) fn size(&self, tables: &[Table]) -> u64 {
        let files = self.manifest.files.iter();
        let of_tables = files.filter(|entry| entry.table.is_some_and(|table| tables.contains(&table)));
        of_tables.map(|entry| entry.bytes).sum()
    }

    /// The lines of a file of nodes or edges, and the form of its rows.
    pub(super) fn rows(&self, table: Table, entry: &FileEntry) -> Result<(Lines, EdgeForm), Failure> {
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
            rules: None,
            is_guarded: self.manifest.guarded,
        };
        Ok((records.into_lines(), EdgeForm::Csv { separator: Separator::Byte(b','), columns }))
    }

    /// Reads the tokens and dense rows of a file into batches, and commits those that are full.
    pub(super) fn read_features(
        &self,
        entry: &FileEntry,
        ctx: &Context,
        store: &Store,
        batch: &mut Batch,
    ) -> Result<(), Failure> {
        self.read_rows(Table::Features, entry, ctx, "features", &mut |row| {
            let features = match row {
                TableRow::Record(records) => self.features_of_record(records)?,
                TableRow::Object(object) => self.features_of_object(object)?,
            };
            features.stage(batch)?;
            commit_full(store, batch)
        })
    }

    /// Counts the rows of a file whose content the import computes itself.
    pub(super) fn count_rows(&self, table: Table, entry: &FileEntry, ctx: &Context) -> Result<(), Failure> {
        self.read_rows(table, entry, ctx, "counting rows", &mut |_| Ok(()))
    }

    /// Passes the rows of a file to `take`. Refuses a row with other columns than the table has, and another number of rows than the
    /// manifest says. `doing` is for the progress bar.
    pub(super) fn read_rows(
        &self,
        table: Table,
        entry: &FileEntry,
        ctx: &Context,
        doing: &str,
        take: &mut dyn FnMut(&TableRow<'_>) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let lines = self.open(entry)?;
        let template = format!("{{bar:30}} {{percent:>3}} %  {doing}  {{eta}} left");
        let bar = new_bar(entry.rows.unwrap_or(0), &template, ctx.out);
        let mut count = 0u64;
        let mut take = |row: &TableRow<'_>| {
            take(row)?;
            count += 1;
            if count.is_multiple_of(STRIDE) {
                bar.set_position(count);
                check_cancelled(ctx)?;
            }
            Ok::<(), Failure>(())
        };
        if self.manifest.format == ExportFormat::Csv {
            let (mut records, columns) = self.header(table, lines)?;
            while records.advance()? {
                records.expect_fields(columns.len(), "the header")?;
                take(&TableRow::Record(&records))?;
            }
        } else {
            let (columns, mut rows) = (self.columns(table), LineRows::objects(lines, None));
            while rows.advance()? {
                let object = JsonLine::parse(rows.lines())?;
                object.expect_exactly(&columns)?;
                take(&TableRow::Object(&object))?;
            }
        }
        bar.finish_and_clear();
        self.expect_rows(entry, count)
    }

    /// Refuses a file with another number of rows than the manifest says.
    pub(super) fn expect_rows(&self, entry: &FileEntry, found: u64) -> Result<(), Failure> {
        let expected = entry.rows.unwrap_or_default();
        if found == expected {
            return Ok(());
        }
        let place = Place::new(&self.folder.join(&entry.name).display().to_string(), 1, 1);
        let problem = format!("the file has {found} rows, the manifest says {expected}");
        Err(place.problem(anew(&problem)).into())
    }

    fn open(&self, entry: &FileEntry) -> Result<Lines, Failure> {
        let path = entry.path(self.folder).unwrap_or_else(|| self.folder.join(&entry.name));
        Ok(Lines::new(Source::open_plain(&path)?))
    }

    /// The names of a table's columns.
    fn columns(&self, table: Table) -> Vec<String> {
        let blocks = self.manifest.dense.iter().map(|block| &block.name);
        table.columns(blocks).into_iter().map(|column| column.name).collect()
    }

    /// Reads the header of a csv file, which must have the columns of its table.
    fn header(&self, table: Table, lines: Lines) -> Result<(Delimited, Vec<String>), Failure> {
        let dialect = Dialect { separator: Some(Separator::Byte(b',')), ..Dialect::default() };
        let records = Delimited::open(lines, &dialect)?;
        let expected = self.columns(table);
        if records.header()? != expected {
            return Err(records
                .place(0)
                .found(records.raw(), format!("the header {}", expected.join(",")))
                .into());
        }
        Ok((records, expected))
    }

    fn features_of_record(&self, records: &Delimited) -> Result<Features<'_>, BadInput> {
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
        Ok(Features { node, tokens, dense, place, at_tokens })
    }

    fn features_of_object(&self, object: &JsonLine<'_>) -> Result<Features<'_>, BadInput> {
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
        Ok(Features { node, tokens, dense, place, at_tokens })
    }
}

/// Commits a batch that is full, and empties it.
pub(super) fn commit_full(store: &Store, batch: &mut Batch) -> Result<(), Failure> {
    if batch.len() >= BATCH {
        store.commit(batch)?;
        batch.clear();
    }
    Ok(())
}

fn check_cancelled(ctx: &Context) -> Result<(), Failure> {
    if ctx.cancel().is_cancelled() {
        return Err(Failure::Interrupted("interrupted".to_owned()));
    }
    Ok(())
}

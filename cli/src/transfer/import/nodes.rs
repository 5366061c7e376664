//! A file of nodes: each row has a key, words for tokens and values of properties, and each dense feature a matrix with one row for each row
//! of the file.

use std::collections::BTreeSet;
use std::io::{Cursor, Read};
use std::path::{Path, PathBuf};

use hedgerow::{Batch, NodeRef, PropertyType, Snapshot};

use crate::core::failure::Failure;
use crate::core::location::BadInput;
use crate::input::delimited::Delimited;
use crate::input::jsonl::JsonLine;
use crate::input::lines::Lines;
use crate::input::npy::Matrix;
use crate::input::rows::{LineRows, RowReader};
use crate::input::source::Source;
use crate::transfer::edges::column_names::{TypedName, required};
use crate::transfer::edges::row_target::RowTarget;
use crate::transfer::import::batch_import::BatchImport;
use crate::transfer::import::node_row::{KindSource, NodeColumns};
use crate::transfer::import::property_columns::{GUESSED_FROM, Guess, PropertyColumn, PropertyFlag};
use crate::transfer::import::{Format, ImportArgs};

/// The field of the key, where no flag names another.
const KEY: &str = "key";
/// Bytes at the start of a file from which types are guessed.
const HEAD: u64 = 1 << 20;

/// A file of nodes whose header is matched with the flags and whose matrices have as many rows as the file.
pub(super) struct NodeFile<'a> {
    rows: NodeRows<'a>,
    /// The header as the file has it.
    header: Option<Vec<u8>>,
    dense: Vec<(&'a str, Matrix)>,
}

/// The rows, and the columns or fields of a node's parts.
enum NodeRows<'a> {
    Csv {
        records: Box<Delimited>,
        width: usize,
        /// The header or the flag that names the columns.
        named: &'static str,
        columns: NodeColumns<'a, usize>,
    },
    Jsonl {
        rows: LineRows,
        columns: NodeColumns<'a, &'a str>,
    },
}

impl<'a> NodeFile<'a> {
    /// `snapshot` is the graph that the rows come to, if there is one.
    pub(super) fn open(
        args: &'a ImportArgs,
        format: Format,
        lines: Lines,
        file: &Path,
        snapshot: Option<&Snapshot>,
    ) -> Result<Self, Failure> {
        if let Some(kind) = &args.kind {
            // The key is a placeholder: only the kind is checked.
            NodeRef::new(kind, "0")?;
        }
        let (properties, lines) = property_columns(args, format, lines, file, snapshot)?;
        let rows = NodeRows::open(args, format, lines, &properties)?;
        let header = match &rows {
            NodeRows::Csv { records, .. } if args.table.columns.is_empty() => Some(records.raw().to_vec()),
            NodeRows::Csv { .. } | NodeRows::Jsonl { .. } => None,
        };
        let open = |(name, path): &'a (String, PathBuf)| Ok((name.as_str(), Matrix::open(path)?));
        let dense = args.dense.iter().map(open).collect::<Result<Vec<_>, Failure>>()?;
        if !dense.is_empty() {
            expect_rows(&dense, file, |lines| NodeRows::open(args, format, lines, &properties))?;
        }
        Ok(Self { rows, header, dense })
    }

    /// The properties with their types, in the order of `--props`.
    pub(super) fn properties(&self) -> Vec<&PropertyColumn> {
        match &self.rows {
            NodeRows::Csv { columns, .. } => columns.properties.iter().map(|(_, column)| column).collect(),
            NodeRows::Jsonl { columns, .. } => columns.properties.iter().map(|(_, column)| column).collect(),
        }
    }

    /// Refuses a matrix whose rows are not as wide as those that the store has in the block already.
    pub(super) fn expect_widths(&self, blocks: &[(String, usize)]) -> Result<(), Failure> {
        for (block, matrix) in &self.dense {
            match blocks.iter().find(|(name, _)| name == block) {
                Some(&(_, width)) if width != matrix.width => {
                    return Err(matrix.bad_width(width, block).into());
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Puts all nodes into an import.
    pub(super) fn read(mut self, import: &mut BatchImport<'_>) -> Result<(), Failure> {
        if let (Some(rejects), Some(header)) = (&mut import.rejects, &self.header) {
            rejects.write(header)?;
        }
        let mut kinds = BTreeSet::new();
        loop {
            let parsed = match self.rows.advance() {
                Ok(false) => return Ok(()),
                Ok(true) => Ok(()),
                Err(Failure::Input(bad)) => Err(bad),
                Err(other) => return Err(other),
            };
            // A bad row has dense rows too, so the matrices advance with every row.
            let dense: Result<Vec<(&str, &[f32])>, Failure> =
                self.dense.iter_mut().map(|(name, matrix)| Ok((*name, matrix.next_row()?))).collect();
            let dense = dense?;
            import.begin(self.rows.line())?;
            let staged = match parsed {
                Ok(()) => self.rows.stage(&dense, &mut import.batch, &mut kinds),
                Err(bad) => Err(*bad),
            };
            match staged {
                Ok(()) => import.staged()?,
                Err(bad) => import.bad(bad, self.rows.raw())?,
            }
        }
    }
}

impl<'a> NodeRows<'a> {
    fn open(
        args: &'a ImportArgs,
        format: Format,
        lines: Lines,
        properties: &[PropertyColumn],
    ) -> Result<Self, Failure> {
        let dialect = args.table.dialect(false);
        match format {
            Format::Csv if args.table.columns.is_empty() => {
                let records = Delimited::open(lines, &dialect)?;
                let names = records.header()?;
                Self::of_columns(records, &names, args, properties)
            }
            Format::Csv => Self::of_columns(
                Delimited::open_bare(lines, &dialect)?,
                &args.table.columns,
                args,
                properties,
            ),
            Format::Jsonl => Self::of_fields(lines, args, properties),
            Format::Adjacency => {
                Err(Failure::Usage("adjacency is a form of edges: nodes come as csv or jsonl".to_owned()))
            }
        }
    }

    /// Matches a header, or what `--columns` says in its place, with the flags.
    fn of_columns(
        records: Delimited,
        names: &[String],
        args: &'a ImportArgs,
        properties: &[PropertyColumn],
    ) -> Result<Self, Failure> {
        let column = |name: &str| required(&records, names, name);
        let key = match &args.key {
            Some(key) => column(key)?,
            None => names.iter().position(|name| TypedName::of(name).is("ID")).unwrap_or(0),
        };
        let labels = names.iter().position(|name| TypedName::of(name).is("LABEL"));
        let kind = match (&args.kind, &args.kind_column, labels) {
            (Some(kind), _, _) => KindSource::Fixed(kind.into()),
            (None, Some(name), _) => KindSource::At(column(name)?),
            (None, None, Some(at)) => KindSource::At(at),
            (None, None, None) => match names.get(key).and_then(|name| TypedName::of(name).group) {
                Some(group) => KindSource::Fixed(group.to_owned().into()),
                None => return Err(without_kind()),
            },
        };
        let tokens = args.tokens.iter().map(|name| Ok((column(name)?, name.as_str())));
        let tokens = tokens.collect::<Result<Vec<_>, BadInput>>()?;
        let properties = properties.iter().map(|property| Ok((column(&property.name)?, property.clone())));
        let properties = properties.collect::<Result<Vec<_>, BadInput>>()?;
        let (token_separator, label) = (args.token_separator.as_deref(), args.label.as_deref());
        let columns = NodeColumns { key, kind, tokens, token_separator, properties, label };
        Ok(Self::Csv { width: names.len(), named: args.table.named_by(), records: records.into(), columns })
    }

    fn of_fields(lines: Lines, args: &'a ImportArgs, properties: &[PropertyColumn]) -> Result<Self, Failure> {
        let kind = match (&args.kind, &args.kind_column) {
            (Some(kind), _) => KindSource::Fixed(kind.into()),
            (None, Some(field)) => KindSource::At(field.as_str()),
            (None, None) => return Err(without_kind()),
        };
        let rows = LineRows::objects(lines, args.table.comment.as_deref());
        let fields = args.props.iter().map(|flag| flag.column.as_str());
        let columns = NodeColumns {
            key: args.key.as_deref().unwrap_or(KEY),
            kind,
            tokens: args.tokens.iter().map(|name| (name.as_str(), name.as_str())).collect(),
            token_separator: args.token_separator.as_deref(),
            properties: fields.zip(properties.iter().cloned()).collect(),
            label: args.label.as_deref(),
        };
        Ok(Self::Jsonl { rows, columns })
    }

    /// Reads the next row; false at the end.
    fn advance(&mut self) -> Result<bool, Failure> {
        match self {
            Self::Csv { records, .. } => records.advance(),
            Self::Jsonl { rows, .. } => rows.advance(),
        }
    }

    fn line(&self) -> u64 {
        match self {
            Self::Csv { records, .. } => records.line(),
            Self::Jsonl { rows, .. } => rows.line(),
        }
    }

    /// The row as the file has it.
    fn raw(&self) -> &[u8] {
        match self {
            Self::Csv { records, .. } => records.raw(),
            Self::Jsonl { rows, .. } => rows.raw(),
        }
    }

    /// Adds the current row to a batch, all of it or nothing.
    fn stage(
        &self,
        dense: &[(&str, &[f32])],
        batch: &mut Batch,
        kinds: &mut BTreeSet<String>,
    ) -> Result<(), BadInput> {
        match self {
            Self::Csv { records, width, named, columns } => {
                records.expect_fields(*width, named)?;
                columns.stage(&**records, dense, batch, kinds)
            }
            Self::Jsonl { rows, columns } => {
                columns.stage(&JsonLine::parse(rows.lines())?, dense, batch, kinds)
            }
        }
    }

    /// The types of the properties, guessed from the first rows. A bad row is left to the import.
    fn guess(mut self) -> Vec<Guess> {
        let mut guesses = vec![Guess::new(); self.property_count()];
        let mut rows = 0;
        while rows < GUESSED_FROM && self.advance().unwrap_or(false) {
            rows += 1;
            match &self {
                Self::Csv { records, columns, .. } => {
                    for (guess, (at, _)) in guesses.iter_mut().zip(&columns.properties) {
                        guess.take_field(records, *at);
                    }
                }
                Self::Jsonl { rows, columns } => {
                    let Ok(object) = JsonLine::parse(rows.lines()) else { continue };
                    for (guess, (at, _)) in guesses.iter_mut().zip(&columns.properties) {
                        guess.take_json(&object, at);
                    }
                }
            }
        }
        guesses
    }

    fn property_count(&self) -> usize {
        match self {
            Self::Csv { columns, .. } => columns.properties.len(),
            Self::Jsonl { columns, .. } => columns.properties.len(),
        }
    }
}

/// The columns of `--props` with their types, and the lines from the start on. Types that nobody gave are guessed.
fn property_columns(
    args: &ImportArgs,
    format: Format,
    lines: Lines,
    file: &Path,
    snapshot: Option<&Snapshot>,
) -> Result<(Vec<PropertyColumn>, Lines), Failure> {
    let known = args.props.iter().map(|flag| flag.known_type(args.kind.as_deref(), snapshot));
    let known: Vec<Option<PropertyType>> = known.collect::<Result<_, _>>()?;
    let column = |(flag, of): (&PropertyFlag, &Option<PropertyType>)| PropertyColumn {
        name: flag.column.clone(),
        of: of.unwrap_or(PropertyType::Text),
    };
    let mut columns: Vec<PropertyColumn> = args.props.iter().zip(&known).map(column).collect();
    if known.iter().all(Option::is_some) {
        return Ok((columns, lines));
    }
    // The start of the file is read, and comes again in front of the rest.
    let (name, mut reader) = (lines.file().to_owned(), lines.into_reader());
    let mut head = Vec::new();
    let read = reader.by_ref().take(HEAD).read_to_end(&mut head);
    read.map_err(|source| Failure::file(file, "read", source))?;
    let start = Lines::resume(Cursor::new(head.clone()), &name, 0);
    let guesses = NodeRows::open(args, format, start, &columns)?.guess();
    for ((column, guess), known) in columns.iter_mut().zip(guesses).zip(known) {
        column.of = known.unwrap_or_else(|| guess.best());
    }
    Ok((columns, Lines::resume(Cursor::new(head).chain(reader), &name, 0)))
}

fn without_kind() -> Failure {
    Failure::Usage(
        "nodes need a kind: give --kind KIND, or --kind-column COL where the file says it".to_owned(),
    )
}

/// Counts the rows of the file in a pass of its own, so that a matrix with another number of rows is refused before any write.
fn expect_rows<'a>(
    dense: &[(&str, Matrix)],
    file: &Path,
    reader: impl FnOnce(Lines) -> Result<NodeRows<'a>, Failure>,
) -> Result<(), Failure> {
    if file.as_os_str() == "-" {
        return Err(Failure::Usage(
            "--dense needs a file that can be read twice, not standard input".to_owned(),
        ));
    }
    let mut rows = reader(Lines::new(Source::open(file)?))?;
    let mut count = 0;
    loop {
        match rows.advance() {
            Ok(true) => count += 1,
            Ok(false) => break,
            // The second pass reports the row.
            Err(Failure::Input(bad)) if !bad.fatal => count += 1,
            Err(other) => return Err(other),
        }
    }
    match dense.iter().find(|(_, matrix)| matrix.rows != count) {
        Some((_, matrix)) => Err(matrix.bad_shape(count, &file.display().to_string()).into()),
        None => Ok(()),
    }
}

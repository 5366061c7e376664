//! A file of nodes: each row has a key and words for tokens, and each dense feature a matrix with one row for each row of the file.

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use hedgerow::NodeRef;

use crate::core::failure::Failure;
use crate::core::location::BadInput;
use crate::input::delimited::Delimited;
use crate::input::jsonl::{FieldTexts, JsonLine};
use crate::input::lines::Lines;
use crate::input::npy::Matrix;
use crate::input::rows::{LineRows, RowReader};
use crate::input::source::Source;
use crate::transfer::import::batch_import::BatchImport;
use crate::transfer::import::column_names::{TypedName, required};
use crate::transfer::import::node_features::{NodeFeatures, push_token, push_tokens};
use crate::transfer::import::row_target::RowTarget;
use crate::transfer::import::{Format, ImportArgs};

/// The field of the key, where no flag names another.
const KEY: &str = "key";

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
        records: Delimited,
        columns: usize,
        /// The header or the flag that names the columns.
        named: &'static str,
        key: usize,
        kind: KindSource<'a, usize>,
        /// Columns of words, with the names that begin their tokens.
        tokens: Vec<(usize, &'a str)>,
    },
    Jsonl {
        rows: LineRows,
        key: &'a str,
        kind: KindSource<'a, &'a str>,
        tokens: &'a [String],
    },
}

/// The source of a node's kind.
enum KindSource<'a, At> {
    Fixed(Cow<'a, str>),
    /// A column or field: a kind, or labels as Neo4j writes them, of which the first counts.
    At(At),
}

impl<'a> NodeFile<'a> {
    pub(super) fn open(
        args: &'a ImportArgs,
        format: Format,
        lines: Lines,
        file: &Path,
    ) -> Result<Self, Failure> {
        if let Some(kind) = &args.kind {
            // The key is a placeholder: only the kind is checked.
            NodeRef::new(kind, "0")?;
        }
        let rows = NodeRows::open(args, format, lines)?;
        let header = match &rows {
            NodeRows::Csv { records, .. } if args.columns.is_empty() => Some(records.raw().to_vec()),
            NodeRows::Csv { .. } | NodeRows::Jsonl { .. } => None,
        };
        let open = |(name, path): &'a (String, PathBuf)| Ok((name.as_str(), Matrix::open(path)?));
        let dense = args.dense.iter().map(open).collect::<Result<Vec<_>, Failure>>()?;
        if !dense.is_empty() {
            expect_rows(&dense, file, |lines| NodeRows::open(args, format, lines))?;
        }
        Ok(Self { rows, header, dense })
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
            let staged = match parsed {
                Ok(()) => self.rows.node().and_then(|node| node.stage(&dense, &mut import.batch)),
                Err(bad) => Err(*bad),
            };
            import.begin(self.rows.line())?;
            match staged {
                Ok(()) => import.staged()?,
                Err(bad) => import.bad(bad, self.rows.raw())?,
            }
        }
    }
}

impl<'a> NodeRows<'a> {
    fn open(args: &'a ImportArgs, format: Format, lines: Lines) -> Result<Self, Failure> {
        let dialect = args.dialect(false);
        match format {
            Format::Csv if args.columns.is_empty() => {
                let records = Delimited::open(lines, &dialect)?;
                let names = records.header()?;
                Self::of_columns(records, &names, args)
            }
            Format::Csv => Self::of_columns(Delimited::open_bare(lines, &dialect)?, &args.columns, args),
            Format::Jsonl => Self::of_fields(lines, args),
            Format::Adjacency => {
                Err(Failure::Usage("adjacency is a form of edges: nodes come as csv or jsonl".to_owned()))
            }
        }
    }

    /// Matches a header, or what `--columns` says in its place, with the flags.
    fn of_columns(records: Delimited, names: &[String], args: &'a ImportArgs) -> Result<Self, Failure> {
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
        Ok(Self::Csv { columns: names.len(), named: args.named_by(), records, key, kind, tokens })
    }

    fn of_fields(lines: Lines, args: &'a ImportArgs) -> Result<Self, Failure> {
        let kind = match (&args.kind, &args.kind_column) {
            (Some(kind), _) => KindSource::Fixed(kind.into()),
            (None, Some(field)) => KindSource::At(field.as_str()),
            (None, None) => return Err(without_kind()),
        };
        let rows = LineRows::objects(lines, args.comment.as_deref());
        Ok(Self::Jsonl { rows, key: args.key.as_deref().unwrap_or(KEY), kind, tokens: &args.tokens })
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

    /// Parses the current row.
    fn node(&self) -> Result<NodeFeatures<'_>, BadInput> {
        match self {
            Self::Csv { records, columns, named, key, kind, tokens } => {
                // The kind, which is fixed or in a column.
                records.expect_fields(*columns, named)?;
                let kind = match kind {
                    KindSource::Fixed(kind) => kind.as_ref(),
                    KindSource::At(at) => first_label(records.text(*at)?),
                };
                // The words of the token columns.
                let mut words = Vec::new();
                for (at, name) in tokens {
                    push_tokens(records.text(*at)?, name, &mut words);
                }
                let at_tokens = records.place(tokens.first().map_or(*key, |(at, _)| *at));
                Ok(NodeFeatures {
                    kind: kind.into(),
                    key: records.text(*key)?.into(),
                    tokens: (!tokens.is_empty()).then_some(words),
                    place: records.place(*key),
                    at_tokens,
                })
            }
            Self::Jsonl { rows, key, kind, tokens } => {
                // The kind, which is fixed or in a field.
                let object = JsonLine::parse(rows.lines())?;
                let kind = match kind {
                    KindSource::Fixed(kind) => Cow::Borrowed(kind.as_ref()),
                    KindSource::At(field) => object.text(field, "a kind")?,
                };
                // A text is split into words, a list holds one word in each item.
                let mut words = Vec::new();
                for field in *tokens {
                    match object.texts(field)? {
                        FieldTexts::Text(text) => push_tokens(&text, field, &mut words),
                        FieldTexts::List(list) => {
                            for word in &list {
                                push_token(word, field, &mut words);
                            }
                        }
                    }
                }
                Ok(NodeFeatures {
                    kind,
                    key: object.key(key)?,
                    tokens: (!tokens.is_empty()).then_some(words),
                    place: object.place(key),
                    at_tokens: object.place(tokens.first().map_or(key, |field| field.as_str())),
                })
            }
        }
    }
}

fn without_kind() -> Failure {
    Failure::Usage(
        "nodes need a kind: give --kind KIND, or --kind-column COL where the file says it".to_owned(),
    )
}

/// The first of the labels of a node of Neo4j, `A;B` or `:A:B`.
fn first_label(text: &str) -> &str {
    text.trim().trim_start_matches(':').split([';', ':']).next().unwrap_or_default()
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

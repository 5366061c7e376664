//! Nodes with their features: a key a line, tokens from columns, dense rows from matrices that run beside the file.

use std::path::{Path, PathBuf};

use hedgerow::{Batch, NodeRef};

use super::loader::Loader;
use super::target::Target;
use crate::failure::Failure;
use crate::place::BadInput;
use crate::reading::delimited::Delimited;
use crate::reading::lines::Lines;
use crate::reading::matrix::Matrix;
use crate::reading::source::Source;

/// A file of nodes whose header was understood and whose matrices have the right number of rows.
pub(super) struct Plan<'a> {
    kind: &'a str,
    records: Delimited,
    columns: usize,
    /// Column and the prefix of its tokens.
    tokens: Vec<(usize, &'a str)>,
    dense: Vec<(&'a str, Matrix)>,
}

impl<'a> Plan<'a> {
    pub(super) fn open(
        kind: &'a str,
        tokens: &'a [String],
        dense: &'a [(String, PathBuf)],
        lines: Lines,
        file: &Path,
    ) -> Result<Self, Failure> {
        // Any key will do to have the kind checked.
        NodeRef::new(kind, "0")?;
        let records = Delimited::open(lines)?;
        let names = records.header()?;
        let column = |wanted: &'a String| {
            names.iter().position(|name| name == wanted).map(|at| (at, wanted.as_str())).ok_or_else(|| {
                let problem = format!("the header has no column {wanted:?}, it has {}", names.join(", "));
                records.place(0).problem(problem)
            })
        };
        let tokens = tokens.iter().map(column).collect::<Result<Vec<_>, _>>()?;
        let open = |(name, path): &'a (String, PathBuf)| Ok((name.as_str(), Matrix::open(path)?));
        let dense = dense.iter().map(open).collect::<Result<Vec<_>, Failure>>()?;
        if !dense.is_empty() {
            expect_rows(&dense, file)?;
        }
        Ok(Self { kind, columns: names.len(), records, tokens, dense })
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

    pub(super) fn run(mut self, loader: &mut Loader<'_>) -> Result<(), Failure> {
        if let Some(rejects) = &mut loader.rejects {
            rejects.write(self.records.raw())?;
        }
        loop {
            let parsed = match self.records.advance() {
                Ok(false) => return Ok(()),
                Ok(true) => Ok(()),
                Err(Failure::Input(bad)) => Err(bad),
                Err(other) => return Err(other),
            };
            // A bad line has its dense row too, so the matrices move on with every line.
            let rows: Result<Vec<(&str, &[f32])>, Failure> =
                self.dense.iter_mut().map(|(name, matrix)| Ok((*name, matrix.next_row()?))).collect();
            let rows = rows?;
            let staged = match parsed {
                Ok(()) => {
                    stage(self.kind, &self.records, self.columns, &self.tokens, &rows, &mut loader.batch)
                }
                Err(bad) => Err(*bad),
            };
            loader.begin(self.records.line())?;
            match staged {
                Ok(()) => loader.staged()?,
                Err(bad) => loader.bad(bad, self.records.raw())?,
            }
        }
    }
}

/// A line's operations; the batch is only touched once everything in the line is known to be good.
fn stage(
    kind: &str,
    records: &Delimited,
    columns: usize,
    tokens: &[(usize, &str)],
    rows: &[(&str, &[f32])],
    batch: &mut Batch,
) -> Result<(), BadInput> {
    records.expect_fields(columns)?;
    let refuse = |at: usize, error: &dyn std::fmt::Display| records.place(at).problem(error);
    let node = NodeRef::new(kind, records.text(0)?).map_err(|error| refuse(0, &error))?;
    let mut words = Vec::new();
    for (at, name) in tokens {
        split(records.text(*at)?, name, &mut words);
    }
    for (name, values) in rows {
        if let Some(at) = values.iter().position(|value| !value.is_finite()) {
            let problem =
                format!("value {} of its row in {name} is {}, expected a finite number", at + 1, values[at]);
            return Err(refuse(0, &problem));
        }
    }
    if tokens.is_empty() {
        batch.add_node(node).map_err(|error| refuse(0, &error))?;
    } else {
        batch.set_tokens(node, &words).map_err(|error| refuse(tokens[0].0, &error))?;
    }
    for (name, values) in rows {
        batch.set_dense(node, name, values).map_err(|error| refuse(0, &error))?;
    }
    Ok(())
}

/// Adds the tokens of a cell: `col=word`, lower-cased; the store drops repetitions.
fn split(cell: &str, column: &str, tokens: &mut Vec<String>) {
    let mut add = |word: &str| {
        let word = word.trim();
        if !word.is_empty() {
            tokens.push(format!("{column}={}", word.to_lowercase()));
        }
    };
    if cell.contains('|') {
        cell.split('|').for_each(&mut add);
    } else {
        cell.split_whitespace().for_each(&mut add);
    }
}

/// Counts the lines of the file in a pass of its own, so that a matrix that does not fit is refused before any write.
fn expect_rows(dense: &[(&str, Matrix)], file: &Path) -> Result<(), Failure> {
    if file.as_os_str() == "-" {
        return Err(Failure::Usage(
            "--dense needs a file that can be read twice, not standard input".to_owned(),
        ));
    }
    let mut records = Delimited::open(Lines::new(Source::open(file)?))?;
    let mut count = 0;
    loop {
        match records.advance() {
            Ok(true) => count += 1,
            Ok(false) => break,
            // The row is reported when it is read for good.
            Err(Failure::Input(bad)) if !bad.fatal => count += 1,
            Err(other) => return Err(other),
        }
    }
    match dense.iter().find(|(_, matrix)| matrix.rows != count) {
        Some((_, matrix)) => Err(matrix.bad_shape(count, &file.display().to_string()).into()),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_split_on_bars_or_white_space() {
        let mut tokens = Vec::new();
        split("Sci-Fi|Film Noir||", "genre", &mut tokens);
        split(" Toy  Story ", "title", &mut tokens);
        assert_eq!(tokens, ["genre=sci-fi", "genre=film noir", "title=toy", "title=story"]);
    }
}

//! Edges from the columns of a table: a bulk load into an empty store, batches into any other.

use std::collections::BTreeSet;

use arrow_array::{ArrayRef, RecordBatch};
use hedgerow::{
    Batch, BulkLoad, CancelToken, Commit, Edge, EdgeBuffer, Epoch, NodeRef, RelationOptions, Repeat,
    StorageError, Store,
};
use rayon::prelude::*;

use crate::columns::Column;
use crate::errors::Failure;

/// Rows that one task converts, and edges of one batch.
const ROWS_PER_TASK: usize = 50_000;
const ROWS_PER_BATCH: usize = 250_000;

/// The columns of a table that make edges, by their numbers.
pub(crate) struct EdgeColumns {
    pub(crate) src: End,
    pub(crate) dst: End,
    pub(crate) weight: Option<usize>,
    pub(crate) time: Option<usize>,
    /// Microseconds of a unit of integer times. `None` tells it from the first.
    pub(crate) time_scale: Option<i64>,
    pub(crate) relation: RelationOf,
    pub(crate) options: RelationOptions,
    pub(crate) repeat: Repeat,
}

/// An end of the edges: a kind and the column of its keys.
pub(crate) struct End {
    pub(crate) kind: String,
    pub(crate) column: usize,
}

/// The relation of the edges.
pub(crate) enum RelationOf {
    Default,
    Named(String),
    Column(usize),
}

/// A batch of rows whose columns are decoded, and the number of rows before it.
struct Rows {
    columns: Vec<ArrayRef>,
    names: Vec<String>,
    first: usize,
    count: usize,
}

/// Adds the edges of a table.
///
/// # Visibility
/// In an empty store all edges are durable and visible at once. Otherwise all rows are checked first, and batches of 250,000 follow, each
/// durable by itself.
pub(crate) fn take_edges(
    store: &Store,
    batches: &[RecordBatch],
    columns: &EdgeColumns,
    cancel: &CancelToken,
) -> Result<Vec<Commit>, Failure> {
    let mut first = 0;
    let rows: Vec<Rows> = batches
        .iter()
        .flat_map(|batch| {
            (0..batch.num_rows())
                .step_by(ROWS_PER_TASK)
                .map(move |from| batch.slice(from, ROWS_PER_TASK.min(batch.num_rows() - from)))
        })
        .map(|batch| {
            let rows = Rows {
                columns: batch.columns().iter().map(Column::decoded).collect(),
                names: batch.schema().fields().iter().map(|field| field.name().clone()).collect(),
                first,
                count: batch.num_rows(),
            };
            first += rows.count;
            rows
        })
        .collect();
    let scale = match (columns.time_scale, columns.time) {
        (Some(scale), _) => scale,
        (None, None) => 1,
        (None, Some(at)) => {
            let mut scales = rows.iter().map(|rows| rows.column(at).time_scale());
            scales.find_map(Result::transpose).transpose().map_err(Failure::Value)?.unwrap_or(1)
        }
    };
    if store.snapshot().epoch() == Epoch::new(0) {
        return load(store, &rows, columns, scale, cancel);
    }
    // All rows are converted before the first is committed.
    let convert = |rows: &[Rows]| -> Result<Batch, Failure> {
        let mut batch = Batch::new();
        for relation in columns.declared(rows)? {
            batch.declare_relation(&relation, columns.options)?;
        }
        rows.iter().try_for_each(|rows| rows.each(columns, scale, |a, b, edge| batch.link(a, b, edge)))?;
        Ok(batch)
    };
    let changes: Vec<Batch> = batches_of(&rows)
        .par_iter()
        .map(|rows| cancel.check().map_err(Failure::from).and_then(|()| convert(rows)))
        .collect::<Result<_, Failure>>()?;
    if changes.is_empty() {
        return Ok(vec![Commit { epoch: store.snapshot().epoch(), ..Commit::default() }]);
    }
    let stage = cancel.stage("edges committed", changes.len() as u64);
    let committed = changes.iter().map(|batch| {
        stage.advance(1)?;
        Ok(store.commit(batch)?)
    });
    committed.collect()
}

/// The rows of each batch: a stream may come in pieces of any size.
fn batches_of(rows: &[Rows]) -> Vec<&[Rows]> {
    let (mut batches, mut first, mut count) = (Vec::new(), 0, 0);
    for (at, some) in rows.iter().enumerate() {
        if count + some.count > ROWS_PER_BATCH {
            batches.push(&rows[first..at]);
            (first, count) = (at, 0);
        }
        count += some.count;
    }
    batches.push(&rows[first..]);
    batches.retain(|batch| !batch.is_empty());
    batches
}

fn load(
    store: &Store,
    rows: &[Rows],
    columns: &EdgeColumns,
    scale: i64,
    cancel: &CancelToken,
) -> Result<Vec<Commit>, Failure> {
    let buffers: Vec<EdgeBuffer> = rows
        .par_iter()
        .map(|rows| {
            cancel.check()?;
            let mut buffer = EdgeBuffer::new();
            rows.each(columns, scale, |a, b, edge| buffer.link(a, b, edge))?;
            Ok(buffer)
        })
        .collect::<Result<_, Failure>>()?;
    let mut load = BulkLoad::new();
    for relation in columns.declared(rows)? {
        load.declare_relation(&relation, columns.options)?;
    }
    for buffer in &buffers {
        cancel.check()?;
        load.links(buffer)?;
    }
    Ok(vec![store.load(load, cancel)?])
}

impl EdgeColumns {
    /// The relations of some rows whose options are not the default.
    fn declared(&self, rows: &[Rows]) -> Result<BTreeSet<String>, Failure> {
        if self.options == RelationOptions::default() {
            return Ok(BTreeSet::new());
        }
        match &self.relation {
            RelationOf::Named(name) => Ok(BTreeSet::from([name.clone()])),
            RelationOf::Default => {
                let (one, other) = (&self.src.kind, &self.dst.kind);
                Ok(BTreeSet::from([format!("{}-{}", one.min(other), one.max(other))]))
            }
            RelationOf::Column(at) => {
                let names = rows.iter().flat_map(|rows| {
                    (0..rows.count).map(move |row| rows.column(*at).text(row).map(str::to_owned))
                });
                names.collect::<Result<_, _>>().map_err(Failure::Value)
            }
        }
    }
}

impl Rows {
    fn column(&self, at: usize) -> Column<'_> {
        Column { name: &self.names[at], array: &self.columns[at], first_row: self.first }
    }

    /// Calls `take` with each edge.
    fn each(
        &self,
        columns: &EdgeColumns,
        scale: i64,
        mut take: impl FnMut(NodeRef<'_>, NodeRef<'_>, Edge<'_>) -> Result<(), StorageError>,
    ) -> Result<(), Failure> {
        let EdgeColumns { src, dst, weight, time, relation, repeat, .. } = columns;
        let (src_keys, dst_keys) = (self.column(src.column), self.column(dst.column));
        let (mut a, mut b) = (String::new(), String::new());
        for row in 0..self.count {
            a.clear();
            b.clear();
            src_keys.key(row, &mut a).map_err(Failure::Value)?;
            dst_keys.key(row, &mut b).map_err(Failure::Value)?;
            let weight = weight.map_or(Ok(1.0), |at| self.column(at).weight(row)).map_err(Failure::Value)?;
            let time = time.map_or(Ok(None), |at| self.column(at).time(row, scale));
            let time = time.map_err(Failure::Value)?;
            let column;
            let relation = match relation {
                RelationOf::Default => None,
                RelationOf::Named(name) => Some(name.as_str()),
                RelationOf::Column(at) => {
                    column = self.column(*at);
                    Some(column.text(row).map_err(Failure::Value)?)
                }
            };
            let edge = Edge { weight, time, relation, repeat: *repeat };
            let (src, dst) = (NodeRef { kind: &src.kind, key: &a }, NodeRef { kind: &dst.kind, key: &b });
            take(src, dst, edge).map_err(|error| match error {
                StorageError::Invalid { .. } => Failure::Value(format!("row {}: {error}", self.first + row)),
                other => other.into(),
            })?;
        }
        Ok(())
    }
}

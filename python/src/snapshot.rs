//! The graph of one epoch as tables and matrices. Later commits do not change it.

use std::sync::Arc;

use arrow_array::builder::{ListBuilder, StringBuilder};
use arrow_array::{
    ArrayRef, BooleanArray, Float32Array, Float64Array, Int64Array, StringArray, TimestampMicrosecondArray,
    UInt64Array,
};
use hedgerow::{KindIx, NodeIx, PropertyIx, PropertyType, PropertyValue, RelationIx, Snapshot};
use numpy::PyArray1;
use pyo3::prelude::*;

use crate::batch::node;
use crate::calls::short;
use crate::errors::{Failure, failure, raise};
use crate::options::to_fields;
use crate::tables::Table;

/// The graph of one epoch.
#[pyclass(frozen, module = "hedgerow._hedgerow", name = "Snapshot")]
pub(crate) struct PySnapshot(pub(crate) Snapshot);

type Columns = Vec<(String, ArrayRef, bool)>;

#[pymethods]
impl PySnapshot {
    #[getter]
    fn epoch(&self) -> u64 {
        self.0.epoch().get()
    }

    #[getter]
    fn node_count(&self) -> u64 {
        self.0.node_count()
    }

    /// The number of nodes of each kind.
    fn kinds(&self) -> Vec<(String, u64)> {
        let kinds = (0..self.0.kind_count()).map(|kind| KindIx::new(kind as u8));
        kinds.map(|kind| (self.0.kind_name(kind).to_owned(), self.0.nodes_of(kind).count() as u64)).collect()
    }

    /// The relations with their number of edges, pairs of kinds, half-life in microseconds, and whether they are dislikes.
    fn relations<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let graph = &self.0;
        let relation = |at: usize| {
            let relation = RelationIx::new(at as u16);
            let kinds = graph.relation_kinds(relation).into_iter();
            let kinds: Vec<(String, String)> =
                kinds.map(|(a, b)| (graph.kind_name(a).to_owned(), graph.kind_name(b).to_owned())).collect();
            let options = graph.relation_options(relation);
            let half_life = options.half_life.map(|half_life| half_life.as_micros() as u64);
            let name = graph.relation_name(relation).to_owned();
            (name, graph.edge_count(relation), kinds, half_life, options.is_dislike)
        };
        to_fields(py, &(0..graph.relation_count()).map(relation).collect::<Vec<_>>())
    }

    fn contains(&self, name: &str) -> PyResult<bool> {
        Ok(self.0.lookup(node(name)?).is_some())
    }

    /// A table of the nodes of a kind: `key`, `degree`, and a column for each property.
    fn nodes(&self, py: Python<'_>, kind: &str) -> PyResult<Table> {
        let kind = self.kind(kind)?;
        Table::new(short(py, || Ok::<_, Failure>(self.node_columns(kind)))?)
    }

    /// A table of the edges of a relation between two kinds: the keys of both ends, `weight` and `time`.
    fn edges(&self, py: Python<'_>, relation: &str, kinds: Option<(String, String)>) -> PyResult<Table> {
        let (relation, kinds) = self.ends(relation, kinds)?;
        Table::new(short(py, || Ok::<_, Failure>(self.edge_columns(relation, kinds)))?)
    }

    /// A table of the neighbors of a node, in one relation or in all: `node` as `kind:key`, `weight`, `time`, `relation`.
    fn neighbors(&self, name: &str, relation: Option<&str>) -> PyResult<Table> {
        let graph = &self.0;
        let node = graph.require(node(name)?).map_err(failure)?;
        let relations = match relation {
            Some(name) => vec![self.relation(name)?],
            None => (0..graph.relation_count()).map(|at| RelationIx::new(at as u16)).collect(),
        };
        let (mut nodes, mut weights) = (Vec::new(), Vec::new());
        let (mut times, mut names) = (Vec::new(), Vec::new());
        for relation in relations {
            for (other, weight, time) in graph.list(relation, node).iter() {
                nodes.push(graph.name(other).to_string());
                weights.push(weight);
                times.push(time.map(|time| graph.time_unit().to_microseconds(time)));
                names.push(graph.relation_name(relation));
            }
        }
        Table::new(vec![
            ("node".into(), Arc::new(StringArray::from(nodes)), false),
            ("weight".into(), Arc::new(Float32Array::from(weights)), false),
            ("time".into(), Arc::new(TimestampMicrosecondArray::from(times).with_timezone("UTC")), true),
            ("relation".into(), Arc::new(StringArray::from(names)), false),
        ])
    }

    /// The edges of a relation as a matrix of rows of one kind: its weights, columns and row starts, and the keys of rows and columns.
    #[expect(clippy::type_complexity, reason = "the parts of a matrix")]
    fn csr<'py>(
        &self,
        py: Python<'py>,
        relation: &str,
        kinds: Option<(String, String)>,
    ) -> PyResult<(
        Bound<'py, PyArray1<f32>>,
        Bound<'py, PyArray1<i64>>,
        Bound<'py, PyArray1<i64>>,
        Vec<String>,
        Vec<String>,
    )> {
        let (relation, (rows, columns)) = self.ends(relation, kinds)?;
        let graph = &self.0;
        let (weights, indices, starts, row_keys, column_keys) = short(py, || {
            let mut number = vec![0_i64; graph.bound() as usize];
            let mut column_keys = Vec::new();
            for (at, node) in (0..).zip(graph.nodes_of(columns)) {
                number[node.index()] = at;
                column_keys.push(graph.name(node).key);
            }
            let (mut weights, mut indices, mut starts) = (Vec::new(), Vec::new(), vec![0]);
            let mut row_keys = Vec::new();
            let mut row: Vec<(i64, f32)> = Vec::new();
            for node in graph.nodes_of(rows) {
                row_keys.push(graph.name(node).key);
                let edges = graph.list(relation, node).iter();
                row.clear();
                row.extend(
                    edges
                        .filter(|&(other, ..)| graph.kind(other) == columns)
                        .map(|(other, weight, _)| (number[other.index()], weight)),
                );
                row.sort_by_key(|&(column, _)| column);
                indices.extend(row.iter().map(|&(column, _)| column));
                weights.extend(row.iter().map(|&(_, weight)| weight));
                starts.push(indices.len() as i64);
            }
            Ok::<_, Failure>((weights, indices, starts, row_keys, column_keys))
        })?;
        let (weights, indices) = (PyArray1::from_vec(py, weights), PyArray1::from_vec(py, indices));
        Ok((weights, indices, PyArray1::from_vec(py, starts), row_keys, column_keys))
    }
}

impl PySnapshot {
    fn kind(&self, name: &str) -> PyResult<KindIx> {
        self.0.kind_ix(name).ok_or_else(|| {
            let kinds: Vec<&str> =
                (0..self.0.kind_count()).map(|at| self.0.kind_name(KindIx::new(at as u8))).collect();
            raise(
                "not_found",
                &format!("no kind {name:?} in the store, which has: {}", kinds.join(", ")),
                None,
            )
        })
    }

    fn relation(&self, name: &str) -> PyResult<RelationIx> {
        let graph = &self.0;
        graph.relation_ix(name).ok_or_else(|| {
            let names = (0..graph.relation_count()).map(|at| graph.relation_name(RelationIx::new(at as u16)));
            let names: Vec<&str> = names.collect();
            let text = format!("no relation {name:?} in the store, which has: {}", names.join(", "));
            raise("not_found", &text, None)
        })
    }

    /// A relation and the kinds of its ends: those that are asked for, or the only ones.
    fn ends(&self, name: &str, kinds: Option<(String, String)>) -> PyResult<(RelationIx, (KindIx, KindIx))> {
        let graph = &self.0;
        let relation = self.relation(name)?;
        if let Some((one, other)) = kinds {
            return Ok((relation, (self.kind(&one)?, self.kind(&other)?)));
        }
        match graph.relation_kinds(relation).as_slice() {
            [kinds] => Ok((relation, *kinds)),
            several => {
                let pairs: Vec<String> = several
                    .iter()
                    .map(|&(a, b)| format!("({:?}, {:?})", graph.kind_name(a), graph.kind_name(b)))
                    .collect();
                let text = format!(
                    "relation {name:?} links several kinds; give kinds as one of {}",
                    pairs.join(", ")
                );
                Err(crate::errors::invalid(&text))
            }
        }
    }

    fn node_columns(&self, kind: KindIx) -> Columns {
        let graph = &self.0;
        let nodes: Vec<NodeIx> = graph.nodes_of(kind).collect();
        let keys: StringArray = nodes.iter().map(|&node| Some(graph.name(node).key)).collect();
        let degrees: UInt64Array = nodes.iter().map(|&node| Some(graph.degree(node))).collect();
        let mut columns: Columns =
            vec![("key".into(), Arc::new(keys), false), ("degree".into(), Arc::new(degrees), false)];
        for property in graph.properties_of(kind) {
            let of = graph.property(property);
            if of.count > 0 {
                columns.push((of.name.to_owned(), self.values(property, of.of, &nodes), true));
            }
        }
        columns
    }

    fn values(&self, property: PropertyIx, of: PropertyType, nodes: &[NodeIx]) -> ArrayRef {
        let reader = self.0.property_reader(property);
        let values = nodes.iter().map(|&node| reader.value(node));
        match of {
            PropertyType::Text => {
                let text = |value| match value {
                    Some(PropertyValue::Text(text)) => Some(text.to_owned()),
                    _ => None,
                };
                Arc::new(values.map(text).collect::<StringArray>())
            }
            PropertyType::Integer => {
                let integer = |value| match value {
                    Some(PropertyValue::Integer(integer)) => Some(integer),
                    _ => None,
                };
                Arc::new(values.map(integer).collect::<Int64Array>())
            }
            PropertyType::Float => {
                let float = |value| match value {
                    Some(PropertyValue::Float(float)) => Some(float),
                    _ => None,
                };
                Arc::new(values.map(float).collect::<Float64Array>())
            }
            PropertyType::Boolean => {
                let boolean = |value| match value {
                    Some(PropertyValue::Boolean(boolean)) => Some(boolean),
                    _ => None,
                };
                Arc::new(values.map(boolean).collect::<BooleanArray>())
            }
            PropertyType::Time => {
                let time = |value| match value {
                    Some(PropertyValue::Time(time)) => Some(time),
                    _ => None,
                };
                Arc::new(values.map(time).collect::<TimestampMicrosecondArray>().with_timezone("UTC"))
            }
            PropertyType::List => {
                let mut lists = ListBuilder::new(StringBuilder::new());
                for value in values {
                    match value {
                        Some(PropertyValue::List(items)) => {
                            for item in items {
                                lists.values().append_value(item);
                            }
                            lists.append(true);
                        }
                        _ => lists.append(false),
                    }
                }
                Arc::new(lists.finish())
            }
        }
    }

    fn edge_columns(&self, relation: RelationIx, (a, b): (KindIx, KindIx)) -> Columns {
        let graph = &self.0;
        let (mut from, mut to, mut weights, mut times) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for node in graph.nodes_of(a) {
            let name = graph.name(node).key;
            for (other, weight, time) in graph.list(relation, node).iter() {
                // An edge within a kind is in the lists of both of its ends.
                if graph.kind(other) == b && (a != b || node <= other) {
                    from.push(name.clone());
                    to.push(graph.name(other).key);
                    weights.push(weight);
                    times.push(time.map(|time| graph.time_unit().to_microseconds(time)));
                }
            }
        }
        let (one, mut other) = (graph.kind_name(a).to_owned(), graph.kind_name(b).to_owned());
        if one == other {
            other.push_str("_2");
        }
        let times = TimestampMicrosecondArray::from(times).with_timezone("UTC");
        vec![
            (one, Arc::new(StringArray::from(from)), false),
            (other, Arc::new(StringArray::from(to)), false),
            ("weight".into(), Arc::new(Float32Array::from(weights)), false),
            ("time".into(), Arc::new(times), true),
        ]
    }
}

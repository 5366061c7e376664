//! A store as text, line by line: its files, the graph, and the records of the log.
//! For people and for comparisons; it cannot be read back.

use std::io::{self, Write};

use crate::checkpoint::manifest::{CURRENT, Manifest};
use crate::checkpoint::published::{MAIN_SET, Published, PublishedSets};
use crate::graph::snapshot::{Property, Snapshot};
use crate::store::handle::Store;
use crate::types::cancel::CancelToken;
use crate::types::error::Error;
use crate::types::ids::{Epoch, KindIx, NodeIx, RelationIx};
use crate::types::ops::{EdgeData, Op};
use crate::types::position::Position;
use crate::types::value_changes;
use crate::types::weights::relation_options::RelationOptions;

impl Store {
    /// Writes the content of the store as text. Each manifest, file, kind, relation, property, position, node, token, value,
    /// row, edge and log record has a line, with the operations of a record below it. Nodes come by number, and an edge comes
    /// with its end of the smaller number. A store that is open read-only has no records.
    ///
    /// # Errors
    /// [`Error::Cancelled`]; errors of `out`, as [`Error::Io`] of the store's folder; damage in the log.
    ///
    /// # Cost
    /// A pass over all data, in constant memory.
    pub fn dump(&self, out: &mut dyn Write, cancel: &CancelToken) -> Result<(), Error> {
        let failed = |e: io::Error| Error::io(self.path(), "dump", e);
        let graph = self.snapshot();
        // The lock keeps files from being replaced between reading the manifest and the records.
        let guard = if self.is_read_only() { None } else { Some(self.writer()?.publishing()?) };
        // The manifest and its files.
        if let Some(manifest) = Manifest::read(&self.disk, CURRENT)? {
            let Manifest { number, epoch, replay_from, log_start, published, .. } = &manifest;
            writeln!(out, "manifest {number} epoch {epoch} covered {replay_from} log-start {log_start}")
                .map_err(failed)?;
            for line in set_lines(published) {
                writeln!(out, "{line}").map_err(failed)?;
            }
            for file in manifest.files() {
                let path = file.path(self.path());
                let name = path.file_name().unwrap_or_default().to_string_lossy();
                writeln!(out, "file {name} bytes {}", file.fingerprint.bytes).map_err(failed)?;
            }
        }
        // The graph: kinds, relations, positions, nodes with their features, edges.
        let mut graph_lines = || -> io::Result<Result<(), Error>> {
            writeln!(out, "graph epoch {} nodes {}", graph.epoch(), graph.node_count())?;
            for at in 0..graph.kind_count() {
                writeln!(out, "kind {at} {}", graph.kind_name(KindIx::new(at as u8)))?;
            }
            let relations = || (0..graph.relation_count()).map(|at| RelationIx::new(at as u16));
            for relation in relations() {
                writeln!(out, "{}", relation_line(&graph, relation))?;
            }
            for kind in (0..graph.kind_count()).map(|at| KindIx::new(at as u8)) {
                let label = graph.label(kind);
                for property in graph.properties_of(kind) {
                    let Property { name, of, count, .. } = graph.property(property);
                    let label = if label == Some(property) { " label" } else { "" };
                    let kind = graph.kind_name(kind);
                    writeln!(out, "property {property} {kind} {name} {of} values {count}{label}")?;
                }
            }
            for (source, position) in graph.positions() {
                writeln!(out, "{}", position_line(source, position))?;
            }
            let blocks = graph.dense_blocks();
            let stage = cancel.stage("nodes", u64::from(graph.bound()));
            for node in (0..graph.bound()).map(NodeIx::new) {
                if let Err(cancelled) = stage.advance(1) {
                    return Ok(Err(cancelled));
                }
                let name = graph.name(node);
                let life = if graph.is_alive(node) { "alive" } else { "removed" };
                writeln!(out, "node {node} {name} id {:016x} {life}", graph.stable_id(node).get())?;
                for token in graph.tokens(node) {
                    writeln!(out, "token {name} {}", token.escape_debug())?;
                }
                for property in graph.properties_of(graph.kind(node)) {
                    if let Some(value) = graph.value(node, property) {
                        let property = graph.property(property).name;
                        writeln!(out, "value {name} {property} {}", value.to_string().escape_debug())?;
                    }
                }
                for (block, _) in &blocks {
                    if let Some(row) = graph.dense(node, block) {
                        writeln!(out, "dense {name} {block} {row:?}")?;
                    }
                }
            }
            stage.end();
            let stage = cancel.stage("lists", u64::from(graph.bound()) * graph.relation_count() as u64);
            for relation in relations() {
                for node in (0..graph.bound()).map(NodeIx::new) {
                    if let Err(cancelled) = stage.advance(1) {
                        return Ok(Err(cancelled));
                    }
                    let list = graph.list(relation, node);
                    for (other, weight, time) in list.iter().filter(|(other, ..)| *other >= node) {
                        let (one, other) = (graph.name(node), graph.name(other));
                        write!(out, "edge {} {one} {other} weight {weight}", graph.relation_name(relation))?;
                        time.map_or(Ok(()), |time| write!(out, " time {time}"))?;
                        writeln!(out)?;
                    }
                }
            }
            stage.end();
            Ok(Ok(()))
        };
        graph_lines().map_err(failed)??;
        // The records of the log.
        let Some(publishing) = guard else { return Ok(()) };
        let writer = self.writer()?;
        let (from, end) = (publishing.manifest.log_start, writer.log_index().end());
        let from = from.max(writer.log_index().start());
        let stage = cancel.stage("log", end - from);
        writer.log.scan(from..end, |head, body| {
            stage.advance(1)?;
            let (seq, epoch, part, parts) = (head.seq, Epoch::new(head.epoch), head.part, head.parts);
            writeln!(out, "record {seq} epoch {epoch} part {part} of {parts} sum {:016x}", head.sum)
                .map_err(failed)?;
            for op in writer.log.ops(head, body)? {
                writeln!(out, "  {}", op_line(&op)).map_err(failed)?;
            }
            Ok(())
        })?;
        stage.end();
        Ok(())
    }
}

fn position_line(source: &str, position: Position) -> String {
    let Position { offset, lines, check } = position;
    format!("position {} offset {offset} lines {lines} check {check:016x}", source.escape_debug())
}

/// The derived sets, and the default one unless it is that of a new store.
fn set_lines(sets: &PublishedSets) -> Vec<String> {
    let default = (sets.default != MAIN_SET).then(|| format!("default {}", sets.default));
    let published = sets.iter().map(|Published { set, generation, refreshed, .. }| {
        let name = if set == MAIN_SET { String::new() } else { format!(" {set}") };
        format!("published{name} generation {generation} refreshed {refreshed}")
    });
    default.into_iter().chain(published).collect()
}

/// A relation with its options.
fn relation_line(graph: &Snapshot, relation: RelationIx) -> String {
    let (name, edges) = (graph.relation_name(relation), graph.edge_count(relation));
    format!("relation {relation} {name} edges {edges}{}", options_text(graph.relation_options(relation)))
}

/// The options of a relation that are not the default ones.
fn options_text(options: RelationOptions) -> String {
    let RelationOptions { half_life, is_dislike } = options;
    let half_life = half_life.map(|half_life| format!(" half-life {} us", half_life.as_micros()));
    format!("{}{}", half_life.unwrap_or_default(), if is_dislike { " dislike" } else { "" })
}

/// The weight and the time of an edge, if there is an edge.
fn edge_text(edge: Option<&EdgeData>) -> String {
    let Some(EdgeData { weight, time }) = edge else { return "none".to_owned() };
    let time = time.map_or_else(String::new, |time| format!(" time {time}"));
    format!("weight {weight}{time}")
}

/// An operation as a line of text, with its texts escaped.
fn op_line(op: &Op) -> String {
    match op {
        Op::Kind { name } => format!("kind {name}"),
        Op::Relation { name } => format!("relation {name}"),
        Op::Node { node, kind, key } => format!("node {node} kind {kind} key {}", key.escape_debug()),
        Op::Live { node, alive } => format!("live {node} {alive}"),
        Op::Clear { node } => format!("clear {node}"),
        Op::Edge { relation, a, b, old, new } => {
            format!("edge {relation} {a} {b} from {} to {}", edge_text(old.as_ref()), edge_text(new.as_ref()))
        }
        Op::Tokens { node, tokens } => format!("tokens {node} {tokens:?}"),
        Op::Dense { node, block, values } => format!("dense {node} {block} {values:?}"),
        Op::Position { source, to: Some(to) } => position_line(source, *to),
        Op::Property { kind, name, of } => format!("property of kind {kind} {name} {of}"),
        Op::Label { kind, property: Some(property) } => format!("label {kind} {property}"),
        Op::Label { kind, property: None } => format!("label {kind} none"),
        Op::Values { node, values } => {
            let changes = value_changes::iter(values).map(|change| match change {
                Ok((property, Some(value))) => format!(" {property}={}", value.escape_ascii()),
                Ok((property, None)) => format!(" {property} removed"),
                Err(what) => format!(" {what}"),
            });
            format!("values {node}{}", changes.collect::<String>())
        }
        Op::RelationOptions { relation, options } => {
            format!("options of relation {relation}{}", options_text((*options).into()))
        }
        Op::Position { source, to: None } => format!("position {} forgotten", source.escape_debug()),
    }
}

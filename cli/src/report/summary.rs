//! The summary of a store: kinds, relations, features, state of the embeddings, bytes on disk, and configuration of the model.

use std::collections::BTreeMap;

use hedgerow::KindIx;
use serde::Serialize;

use crate::core::failure::Failure;
use crate::report::ReportSource;
use crate::session::schema::relations;

/// The summary of a store.
#[derive(Debug, Serialize)]
pub(super) struct Summary {
    epoch: u64,
    /// The epoch that the embeddings reflect.
    embedded: Option<u64>,
    generation: Option<u64>,
    dirty_nodes: u64,
    nodes: u64,
    edges: u64,
    targets: Vec<String>,
    kinds: Vec<String>,
    relations: Vec<Relation>,
    /// The names and widths of the dense blocks.
    dense: Vec<(String, usize)>,
    bytes: BTreeMap<String, u64>,
    recipe: Vec<(String, String)>,
}

#[derive(Debug, Serialize)]
struct Relation {
    name: String,
    kinds: Vec<(String, String)>,
    edges: u64,
}

impl Summary {
    pub(super) fn of(source: &ReportSource<'_>, kinds: &[KindIx]) -> Result<Self, Failure> {
        let (snapshot, status) = (&source.snapshot, source.engine.status());
        let kind_name = |kind: KindIx| snapshot.kind_name(kind).to_owned();
        let mut relations: Vec<Relation> = relations(snapshot)
            .map(|relation| Relation {
                name: snapshot.relation_name(relation).to_owned(),
                kinds: snapshot
                    .relation_kinds(relation)
                    .into_iter()
                    .map(|(a, b)| (kind_name(a), kind_name(b)))
                    .collect(),
                edges: snapshot.edge_count(relation),
            })
            .collect();
        relations.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(Self {
            epoch: snapshot.epoch().get(),
            embedded: status.embedded.map(hedgerow::Epoch::get),
            generation: status.generation.map(hedgerow::Generation::get),
            dirty_nodes: status.dirty_nodes,
            nodes: snapshot.node_count(),
            edges: relations.iter().map(|relation| relation.edges).sum(),
            kinds: kinds.iter().copied().map(kind_name).collect(),
            relations,
            dense: snapshot.dense_blocks(),
            bytes: source.engine.store().sizes().files,
            recipe: if status.generation.is_some() { source.engine.model_config()? } else { Vec::new() },
            targets: status.targets,
        })
    }
}

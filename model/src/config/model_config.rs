//! The configuration of a model: the facts that, with the weights, determine its embeddings. It is stored with the
//! model. Knows the store only to check the kinds to embed.

use std::collections::BTreeMap;

use hedgerow_storage::{KindIx, NodeIx, RelationIx, Snapshot};
use hedgerow_walker::{CountedRelations, Policy, RelationWeights, WalkOptions};
use rayon::prelude::*;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

use crate::config::degree;
use crate::config::error::Error;
use crate::config::graph_constants::GraphConstants;
use crate::config::options::{Conv, Ids, Pooling, TrainOptions};
use crate::config::{json, legacy};

/// The most kinds of a store.
const MAX_KINDS: usize = 255;
/// The most dense blocks of a model.
const MAX_BLOCKS: usize = 65_535;
/// The most kinds with factors: their sections are numbered by one character.
pub(crate) const MAX_FACTORED: usize = 64;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ModelConfig {
    /// The walk policy of each embedded kind, in the order of their names.
    #[serde(rename = "targets", with = "policies")]
    pub(crate) policies: Vec<Policy>,
    #[serde(with = "StoredWalkOptions")]
    pub(crate) walks: WalkOptions,
    pub(crate) dim: usize,
    pub(crate) layers: usize,
    pub(crate) conv: Conv,
    #[serde(default)]
    pub(crate) pooling: Pooling,
    pub(crate) popularity: bool,
    pub(crate) damping: bool,
    /// Kinds whose nodes have identity embeddings.
    pub(crate) identities: Vec<String>,
    /// Adds the log-degree as a dense feature, after those of the blocks.
    #[serde(default)]
    pub(crate) degree_input: bool,
    /// Names and widths of the dense blocks, in the order of concatenation.
    pub(crate) dense: Vec<(String, usize)>,
    /// The relations that count.
    #[serde(default, skip_serializing_if = "RelationWeights::is_empty", with = "relation_weights")]
    pub(crate) relations: RelationWeights,
    /// The moment as of which weights that fade count in sums: the time of the last such edge at training, in microseconds since 1970.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(crate) moment: i64,
    /// The constants of scores from the graph, for the kinds that have factors.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) graph: Vec<GraphConstants>,
}

impl ModelConfig {
    /// The configuration that `options` ask for, with the policies, identities and dense blocks that fit the graph.
    ///
    /// # Errors
    /// Options out of range, a target kind without nodes, or an unknown relation or one without edges.
    pub(crate) fn new(options: &TrainOptions, snapshot: &Snapshot) -> Result<Self, Error> {
        options.validate()?;
        let relations = options.relation_weights()?;
        for (name, _) in relations.iter() {
            let relation = snapshot.relation_ix(name).ok_or_else(|| unknown_relation(name, snapshot))?;
            let refuse = |found, expected| Err(Error::Option { option: "relations", found, expected });
            if snapshot.relation_options(relation).is_dislike {
                return refuse(format!("{name}, whose edges are dislikes"), "relations that walks take");
            }
            if snapshot.edge_count(relation) == 0 {
                return refuse(format!("{name}, which has no edges"), "relations with edges");
            }
        }
        let mut targets = options.targets.clone();
        targets.sort();
        targets.dedup();
        let moment = last_fading_time(snapshot, &relations);
        let mut policies = Vec::new();
        let mut identities = Vec::new();
        let dense = snapshot.dense_blocks();
        for name in &targets {
            let kind = snapshot.kind_ix(name).filter(|&kind| snapshot.nodes_of(kind).next().is_some());
            let kind = kind.ok_or_else(|| unknown_kind(name, snapshot))?;
            policies.push(Policy::default_for(snapshot, kind).with_relations(&relations).as_of(moment));
            let identity = match options.ids {
                Ids::On => true,
                Ids::Off => false,
                Ids::Auto => !has_features(snapshot, kind, &dense),
            };
            if identity {
                identities.push(name.clone());
            }
        }
        Ok(Self {
            policies,
            walks: options.walks,
            dim: options.dim,
            layers: options.layers,
            conv: options.conv,
            pooling: options.pooling,
            popularity: options.popularity,
            damping: options.damping,
            identities,
            degree_input: options.degree_input,
            dense,
            relations,
            moment,
            graph: Vec::new(),
        })
    }

    pub(crate) fn targets(&self) -> impl Iterator<Item = &str> {
        self.policies.iter().map(|policy| policy.kind.as_str())
    }

    pub(crate) fn target_list(&self) -> String {
        self.targets().collect::<Vec<_>>().join(", ")
    }

    /// The factor by which a node of a degree level counts in a history and in a neighborhood. With damping it is one
    /// over the square root of the degree, so that frequent nodes carry less weight; else 1.
    pub(crate) fn influence(&self, level: u8) -> f32 {
        if self.damping { degree::damping(level) } else { 1.0 }
    }

    /// The relations that count in a snapshot.
    pub(crate) fn counted(&self, snapshot: &Snapshot) -> CountedRelations {
        CountedRelations::new(snapshot, &self.relations)
    }

    /// True if the nodes of a kind have identity embeddings.
    pub(crate) fn has_identities(&self, kind: &str) -> bool {
        self.identities.iter().any(|identity| identity == kind)
    }

    pub(crate) fn dense_width(&self) -> usize {
        self.dense.iter().map(|(_, width)| width).sum::<usize>() + usize::from(self.degree_input)
    }

    /// The JSON text that is stored with the model.
    pub(crate) fn to_text(&self) -> String {
        json::text_of(self)
    }

    /// # Errors
    /// The reason why the text is no model configuration.
    pub(crate) fn from_text(text: &str) -> Result<Self, String> {
        let mut config: Self = json::parse(text, legacy::model_config).map_err(|error| error.to_string())?;
        let policies = config.policies.into_iter();
        config.policies =
            policies.map(|policy| policy.with_relations(&config.relations).as_of(config.moment)).collect();
        for (what, found, most) in [
            ("kinds to embed", config.policies.len(), MAX_KINDS),
            ("kinds with identities", config.identities.len(), MAX_KINDS),
            ("dense blocks", config.dense.len(), MAX_BLOCKS),
            ("kinds with factors", config.graph.len(), MAX_FACTORED),
        ] {
            if found > most {
                return Err(format!("it has {found} {what}, expected at most {most}"));
            }
        }
        for (at, graph) in config.graph.iter().enumerate() {
            let is_target = config.targets().any(|target| target == graph.kind);
            if !is_target || config.graph[..at].iter().any(|other| other.kind == graph.kind) {
                return Err(format!(
                    "the constants of kind {} are of no target, or are there twice",
                    graph.kind
                ));
            }
            graph.check()?;
        }
        Ok(config)
    }

    /// Names and values for display, in the order of the text. Fields of objects have names like `walks.seed`.
    pub(crate) fn entries(&self) -> Vec<(String, String)> {
        let mut entries = Vec::new();
        for (name, value) in json::fields_of(self) {
            match value {
                Value::Object(fields) => {
                    let of_fields =
                        fields.iter().map(|(field, value)| (format!("{name}.{field}"), json::shown(value)));
                    entries.extend(of_fields);
                }
                value => entries.push((name, json::shown(&value))),
            }
        }
        entries
    }
}

/// The stored form of [`WalkOptions`].
#[derive(Serialize, Deserialize)]
#[serde(remote = "WalkOptions", deny_unknown_fields)]
pub(crate) struct StoredWalkOptions {
    seed: u64,
    walks: u32,
    visits: u32,
    stop: f32,
    top: u32,
    min_visits: u32,
}

/// The stored form of the policies: an object with the paths of each kind. The weights of paths are those of the relations.
mod policies {
    use super::{BTreeMap, Deserialize, Deserializer, Policy, Serializer};

    pub(super) fn serialize<S: Serializer>(policies: &[Policy], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(policies.iter().map(|policy| (&policy.kind, &policy.paths)))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Policy>, D::Error> {
        let policies = BTreeMap::<String, Vec<Vec<String>>>::deserialize(deserializer)?;
        Ok(policies
            .into_iter()
            .map(|(kind, paths)| Policy { kind, paths, weights: Vec::new(), moment: 0 })
            .collect())
    }
}

/// The stored form of the relations that count: an object with their weights.
mod relation_weights {
    use serde::de::Error as _;

    use super::{BTreeMap, Deserialize, Deserializer, RelationWeights, Serializer};

    pub(super) fn serialize<S: Serializer>(
        weights: &RelationWeights,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_map(weights.iter())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<RelationWeights, D::Error> {
        RelationWeights::new(BTreeMap::<String, f32>::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

pub(crate) fn unknown_kind(kind: &str, snapshot: &Snapshot) -> Error {
    let mut known: Vec<_> =
        (0..snapshot.kind_count()).map(|at| snapshot.kind_name(KindIx::new(at as u8))).collect();
    known.sort_unstable();
    let known = if known.is_empty() { "no nodes at all".to_owned() } else { known.join(", ") };
    Error::UnknownKind { kind: kind.to_owned(), known }
}

pub(crate) fn unknown_relation(relation: &str, snapshot: &Snapshot) -> Error {
    let relations = (0..snapshot.relation_count()).map(|at| RelationIx::new(at as u16));
    let mut known: Vec<&str> = relations.map(|relation| snapshot.relation_name(relation)).collect();
    known.sort_unstable();
    let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
    Error::UnknownRelation { relation: relation.to_owned(), known }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it with a reference")]
fn is_zero(moment: &i64) -> bool {
    *moment == 0
}

/// The time of the last edge whose weight fades, among relations that count; 0 if there is none.
///
/// No clock is read, so that equal stores have equal models. Cost: a pass over the lists of these relations.
fn last_fading_time(snapshot: &Snapshot, relations: &RelationWeights) -> i64 {
    let all = (0..snapshot.relation_count()).map(|at| RelationIx::new(at as u16));
    let fading = all.filter(|&relation| {
        let counts = relations.of(snapshot.relation_name(relation)).is_some();
        let options = snapshot.relation_options(relation);
        counts && !options.is_dislike && options.half_life.is_some()
    });
    let last = |relation| {
        let nodes = (0..snapshot.bound()).into_par_iter().map(NodeIx::new);
        let of_node = |node| snapshot.list(relation, node).iter().filter_map(|(_, _, time)| time).max();
        nodes.filter_map(of_node).max()
    };
    fading.filter_map(last).max().unwrap_or(0)
}

fn has_features(snapshot: &Snapshot, kind: KindIx, dense: &[(String, usize)]) -> bool {
    snapshot.nodes_of(kind).any(|node| {
        !snapshot.tokens(node).is_empty()
            || dense.iter().any(|(block, _)| snapshot.dense(node, block).is_some())
    })
}

#[cfg(test)]
impl ModelConfig {
    /// A configuration for tests: pins walk through boards and through pins, and every part is switched on.
    pub(crate) fn example() -> Self {
        Self {
            policies: vec![Policy {
                kind: "pin".into(),
                paths: vec![vec!["board-pin".into(), "board-pin".into()], vec!["pin-pin".into()]],
                weights: Vec::new(),
                moment: 0,
            }],
            walks: WalkOptions { stop: 0.3, seed: 9, ..WalkOptions::default() },
            dim: 7,
            layers: 3,
            conv: Conv::PinSage,
            pooling: Pooling::Importance,
            popularity: true,
            damping: false,
            identities: vec!["pin".into()],
            degree_input: false,
            dense: vec![("image of it".into(), 12)],
            relations: RelationWeights::default(),
            moment: 0,
            graph: Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{ModelConfig, Pooling, RelationWeights};

    #[test]
    fn the_text_holds_everything() {
        let config = ModelConfig::example();
        let text = config.to_text();
        assert_eq!(ModelConfig::from_text(&text), Ok(config));
        let refused = |text: &str| ModelConfig::from_text(text).expect_err("it is not a configuration");
        assert!(refused(&text.replace("dim", "mood")).contains("mood"));
        assert!(refused("{}").contains("missing"));
        assert!(refused("no such line").contains("missing field"));
    }

    /// The policies are stored without weights, and get those of the relations again.
    #[test]
    fn the_text_holds_the_relations_and_their_weights() {
        let example = ModelConfig::example();
        let weights = [("board-pin".to_owned(), 0.2), ("pin-pin".to_owned(), 1.0)];
        let relations = RelationWeights::new(weights).expect("two weights");
        let policies = example.policies.iter().map(|policy| policy.clone().with_relations(&relations));
        let config = ModelConfig { policies: policies.collect(), relations, ..example };
        assert_eq!(config.policies[0].weights, [0.2, 1.0]);
        let text = config.to_text();
        assert!(text.contains(r#""relations":{"board-pin":0.2,"pin-pin":1.0}"#), "{text}");
        let refused = ModelConfig::from_text(&text.replace("0.2", "-0.2")).expect_err("a weight below 0");
        assert!(refused.contains("a finite weight above 0"), "{refused}");
        assert_eq!(ModelConfig::from_text(&text), Ok(config));
    }

    /// A model from outside may name any number of kinds; each is looked up for each node.
    #[test]
    fn more_kinds_and_blocks_than_a_store_has_are_refused() {
        let kinds: Vec<String> = (0..256).map(|at| format!("kind{at}")).collect();
        let many = ModelConfig { identities: kinds, ..ModelConfig::example() };
        let refused = |config: &ModelConfig| ModelConfig::from_text(&config.to_text()).expect_err("too many");
        assert_eq!(refused(&many), "it has 256 kinds with identities, expected at most 255");
        let dense = (0..65_536).map(|at| (format!("block{at}"), 1)).collect();
        assert!(refused(&ModelConfig { dense, ..ModelConfig::example() }).contains("65536 dense blocks"));
    }

    #[test]
    fn the_lines_of_version_1_say_the_same() {
        let lines = "walk.seed 9\nwalk.walks 200\nwalk.visits 3\nwalk.stop 0.3\nwalk.top 50\nwalk.min_visits 2\ndim 7\n\
            layers 3\nconv pinsage\npopularity true\ndamping false\npooling max\ndegree_input true\n\
            target pin\npath board-pin board-pin\npath pin-pin\nidentity pin\ndense 12 image of it";
        let config = ModelConfig { pooling: Pooling::Max, degree_input: true, ..ModelConfig::example() };
        assert_eq!(ModelConfig::from_text(lines), Ok(config));
        let unusual = lines.replace("pooling max\ndegree_input true\n", "");
        assert_eq!(ModelConfig::from_text(&unusual), Ok(ModelConfig::example()));
        assert!(ModelConfig::from_text("path board-pin").is_err());
    }
}

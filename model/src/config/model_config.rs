//! What it takes, beside the weights, to compute a generation's embeddings again: stored with the model.
//! The text form has a line for each fact, so that a later version can add one and still read the older files.

use hedgerow_storage::{KindIx, Snapshot};
use hedgerow_walker::{Policy, WalkOptions};

use crate::config::degree;
use crate::config::error::Error;
use crate::config::options::{Conv, Ids, Pooling, TrainOptions};

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ModelConfig {
    /// One for each kind that is embedded.
    pub(crate) policies: Vec<Policy>,
    pub(crate) walks: WalkOptions,
    pub(crate) dim: usize,
    pub(crate) layers: usize,
    pub(crate) conv: Conv,
    pub(crate) pooling: Pooling,
    pub(crate) popularity: bool,
    pub(crate) damping: bool,
    /// Kinds whose nodes have identity embeddings.
    pub(crate) identities: Vec<String>,
    /// Whether the log-degree is a dense feature, after those of the blocks.
    pub(crate) degree_input: bool,
    /// Dense blocks and their widths, in the order in which they are joined.
    pub(crate) dense: Vec<(String, usize)>,
}

impl ModelConfig {
    /// # Errors
    /// Options out of range, or a target kind without nodes.
    pub(crate) fn new(options: &TrainOptions, snapshot: &Snapshot) -> Result<Self, Error> {
        options.validate()?;
        let mut targets = options.targets.clone();
        targets.sort();
        targets.dedup();
        let mut policies = Vec::new();
        let mut identities = Vec::new();
        let dense = snapshot.dense_blocks();
        for name in &targets {
            let kind = snapshot.kind_ix(name).filter(|&kind| snapshot.nodes_of(kind).next().is_some());
            let kind = kind.ok_or_else(|| unknown_kind(name, snapshot))?;
            policies.push(Policy::default_for(snapshot, kind));
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
        })
    }

    pub(crate) fn targets(&self) -> impl Iterator<Item = &str> {
        self.policies.iter().map(|policy| policy.kind.as_str())
    }

    pub(crate) fn target_list(&self) -> String {
        self.targets().collect::<Vec<_>>().join(", ")
    }

    /// What a node of a degree's level counts in a history and, beside its visits, in a neighbourhood: with damping one over the
    /// square root of its degree, so that what everybody has says less.
    pub(crate) fn influence(&self, level: u8) -> f32 {
        if self.damping { degree::damping(level) } else { 1.0 }
    }

    pub(crate) fn dense_width(&self) -> usize {
        self.dense.iter().map(|(_, width)| width).sum::<usize>() + usize::from(self.degree_input)
    }

    pub(crate) fn to_text(&self) -> String {
        let mut lines = vec![
            format!("walk.seed {}", self.walks.seed),
            format!("walk.walks {}", self.walks.walks),
            format!("walk.visits {}", self.walks.visits),
            format!("walk.stop {}", self.walks.stop),
            format!("walk.top {}", self.walks.top),
            format!("walk.min_visits {}", self.walks.min_visits),
            format!("dim {}", self.dim),
            format!("layers {}", self.layers),
            format!("conv {}", if self.conv == Conv::Light { "light" } else { "pinsage" }),
            format!("popularity {}", self.popularity),
            format!("damping {}", self.damping),
        ];
        // Only where it is not the usual, so that other models read as before.
        match self.pooling {
            Pooling::Importance => {}
            Pooling::Mean => lines.push("pooling mean".to_owned()),
            Pooling::Max => lines.push("pooling max".to_owned()),
        }
        if self.degree_input {
            lines.push("degree_input true".to_owned());
        }
        for policy in &self.policies {
            lines.push(format!("target {}", policy.kind));
            lines.extend(policy.paths.iter().map(|path| format!("path {}", path.join(" "))));
        }
        lines.extend(self.identities.iter().map(|kind| format!("identity {kind}")));
        lines.extend(self.dense.iter().map(|(name, width)| format!("dense {width} {name}")));
        lines.join("\n")
    }

    /// `None` where a line is not understood.
    pub(crate) fn from_text(text: &str) -> Option<Self> {
        let mut recipe = Self {
            policies: Vec::new(),
            walks: WalkOptions::default(),
            dim: 0,
            layers: 0,
            conv: Conv::Light,
            pooling: Pooling::Importance,
            popularity: false,
            damping: false,
            identities: Vec::new(),
            degree_input: false,
            dense: Vec::new(),
        };
        for line in text.lines() {
            let (name, value) = line.split_once(' ').unwrap_or((line, ""));
            match name {
                "walk.seed" => recipe.walks.seed = value.parse().ok()?,
                "walk.walks" => recipe.walks.walks = value.parse().ok()?,
                "walk.visits" => recipe.walks.visits = value.parse().ok()?,
                "walk.stop" => recipe.walks.stop = value.parse().ok()?,
                "walk.top" => recipe.walks.top = value.parse().ok()?,
                "walk.min_visits" => recipe.walks.min_visits = value.parse().ok()?,
                "dim" => recipe.dim = value.parse().ok()?,
                "layers" => recipe.layers = value.parse().ok()?,
                "conv" if value == "light" => recipe.conv = Conv::Light,
                "conv" if value == "pinsage" => recipe.conv = Conv::PinSage,
                "popularity" => recipe.popularity = value.parse().ok()?,
                "pooling" if value == "mean" => recipe.pooling = Pooling::Mean,
                "pooling" if value == "max" => recipe.pooling = Pooling::Max,
                "degree_input" => recipe.degree_input = value.parse().ok()?,
                "damping" => recipe.damping = value.parse().ok()?,
                "target" => recipe.policies.push(Policy { kind: value.to_owned(), paths: Vec::new() }),
                "path" => {
                    let path = value.split(' ').map(str::to_owned).collect();
                    recipe.policies.last_mut()?.paths.push(path);
                }
                "identity" => recipe.identities.push(value.to_owned()),
                "dense" => {
                    let (width, name) = value.split_once(' ')?;
                    recipe.dense.push((name.to_owned(), width.parse().ok()?));
                }
                _ => return None,
            }
        }
        Some(recipe)
    }
}

pub(crate) fn unknown_kind(kind: &str, snapshot: &Snapshot) -> Error {
    let mut known: Vec<_> =
        (0..snapshot.kind_count()).map(|at| snapshot.kind_name(KindIx::new(at as u8))).collect();
    known.sort_unstable();
    let known = if known.is_empty() { "no nodes at all".to_owned() } else { known.join(", ") };
    Error::UnknownKind { kind: kind.to_owned(), known }
}

fn has_features(snapshot: &Snapshot, kind: KindIx, dense: &[(String, usize)]) -> bool {
    snapshot.nodes_of(kind).any(|node| {
        !snapshot.tokens(node).is_empty()
            || dense.iter().any(|(block, _)| snapshot.dense(node, block).is_some())
    })
}

#[cfg(test)]
impl ModelConfig {
    /// Pins through boards and through pins, with everything switched on.
    pub(crate) fn example() -> Self {
        Self {
            policies: vec![Policy {
                kind: "pin".into(),
                paths: vec![vec!["board-pin".into(), "board-pin".into()], vec!["pin-pin".into()]],
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
        }
    }
}

#[cfg(test)]
mod tests {
    use super::ModelConfig;

    #[test]
    fn the_text_form_holds_everything() {
        let recipe = ModelConfig::example();
        assert_eq!(ModelConfig::from_text(&recipe.to_text()), Some(recipe));
        assert_eq!(ModelConfig::from_text("no such line"), None);
    }
}

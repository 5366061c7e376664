//! The parts of a score, by name.

use std::fmt;

/// A part of a score that ranks alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum ScorePart {
    /// The graph filter.
    Filter,
    /// The graph filter and the residual factors. Factors alone rank nothing: they correct the filter.
    Graph,
    /// The embeddings, with popularity.
    Embeddings,
}

impl ScorePart {
    /// The name, one word.
    pub fn name(self) -> &'static str {
        match self {
            Self::Filter => "filter",
            Self::Graph => "graph",
            Self::Embeddings => "embeddings",
        }
    }
}

impl fmt::Display for ScorePart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

//! Events of a running training: epochs and alarms. Knows nothing of how they come about.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::factors::embedding_weight::WeighedEmbeddings;
use crate::factors::fit::FittedScore;
use crate::state::learning_curve::EpochQuality;

/// The result of an epoch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EpochReport {
    /// Counted from 1.
    pub epoch: u32,
    /// Mean loss of the epoch's examples.
    pub loss: f32,
    /// Share of held-out positives among the 20 best nodes for their query, with all embedded nodes ranked. `None` if
    /// nothing is held out.
    pub recall: Option<f32>,
    /// Share of held-out items among the 20 best by the graph, the factors and the embeddings together. `None` where embeddings answer
    /// alone, or too few lists have held-out items.
    #[serde(default)]
    pub score_recall: Option<f32>,
    /// Examples per second of training.
    pub pairs_per_second: f64,
    /// Mean cosine of random pairs of embeddings. Near 1 the embeddings have collapsed.
    pub mean_cosine: f32,
    /// Seconds of the epoch.
    pub seconds: f64,
}

impl From<&EpochReport> for EpochQuality {
    fn from(report: &EpochReport) -> Self {
        let EpochReport { epoch, loss, recall, mean_cosine, .. } = *report;
        Self { epoch, loss, recall, mean_cosine }
    }
}

/// Seconds of each step of an epoch's work. Sampling and gathering happen in a thread of their own, at the same time
/// as the other two.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct EpochTimes {
    /// Drawing examples and negatives, and walks for neighborhoods with excluded edges.
    pub sampling: f64,
    /// Cutting minibatches out of the graph.
    pub gathering: f64,
    /// The forward pass, the loss and the backward pass.
    pub products: f64,
    /// Steps of the optimizer.
    pub update: f64,
}

/// An event of a running training. Progress within an epoch goes to the observer of the cancel token.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum TrainEvent {
    /// Neighborhoods are complete and the first epoch begins.
    Started {
        /// Nodes to embed.
        nodes: u64,
        /// Positives that epochs draw from.
        positives: u64,
        /// Examples per epoch.
        examples: u64,
    },
    /// The constants and factors of a kind are fitted.
    Fitted(FittedScore),
    /// After the epochs: embeddings have a weight beside the fitted score of a kind.
    Weighed(WeighedEmbeddings),
    /// Times of the epoch that is reported next.
    EpochTimes(EpochTimes),
    /// An epoch has ended.
    Epoch(EpochReport),
    /// A training resumes an interrupted one.
    Resumed {
        /// Complete epochs before the interruption.
        epochs: u32,
    },
    /// The last reported epoch has a problem. The training continues.
    Alarm {
        /// The epoch, counted from 1.
        epoch: u32,
        /// The problem.
        alarm: Alarm,
    },
}

/// A problem that does not end a training. Its text names the remedy.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Alarm {
    /// The mean cosine of random pairs is above [`Self::COLLAPSED`].
    Collapsed {
        /// The mean cosine.
        mean_cosine: f32,
    },
    /// More nodes with an input than [`Self::ZEROS`] have an embedding of zeros. Such a model is not published.
    Zeros {
        /// Their share.
        share: f32,
    },
    /// The epoch's mean loss is above [`Self::GROWN`] times the first epoch's.
    LossGrew {
        /// The epoch's mean loss.
        loss: f32,
        /// The first epoch's mean loss.
        first: f32,
    },
    /// The checkpoint was not written. A resumed training would begin at an earlier epoch, or would not be possible.
    NotKept {
        /// The error of the write.
        reason: String,
    },
}

impl Alarm {
    /// The mean cosine of random pairs above which embeddings count as collapsed into one point.
    pub const COLLAPSED: f32 = 0.9;
    /// The share of the nodes with an input above which embeddings of zeros count as a collapse. Only dead units make
    /// such zeros, and a sound training has none.
    pub const ZEROS: f32 = 0.9;
    /// The multiple of the first epoch's mean loss above which an epoch's loss counts as grown.
    pub const GROWN: f32 = 2.0;

    /// The alarms that the last of these epochs raises.
    pub(crate) fn of(epochs: &[EpochReport]) -> Vec<Self> {
        let (Some(first), Some(last)) = (epochs.first(), epochs.last()) else { return Vec::new() };
        let mut alarms = Vec::new();
        if last.mean_cosine > Self::COLLAPSED {
            alarms.push(Self::Collapsed { mean_cosine: last.mean_cosine });
        }
        if last.loss > Self::GROWN * first.loss {
            alarms.push(Self::LossGrew { loss: last.loss, first: first.loss });
        }
        alarms
    }
}

impl fmt::Display for Alarm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Collapsed { mean_cosine } => write!(
                f,
                "collapse: random pairs have a mean cosine of {mean_cosine:.2}; try a smaller learning rate"
            ),
            Self::Zeros { share } => write!(
                f,
                "collapse: {:.0}% of the nodes with features have an embedding of zeros; try a smaller learning rate",
                share * 100.0
            ),
            Self::LossGrew { loss, first } => write!(
                f,
                "the loss has grown: {loss:.3}, in the first epoch {first:.3}; try a smaller learning rate"
            ),
            Self::NotKept { reason } => {
                write!(f, "the state after this epoch was not kept to go on from: {reason}")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Alarm, EpochReport};

    fn epoch(loss: f32, mean_cosine: f32) -> EpochReport {
        let (recall, score_recall, pairs_per_second, seconds) = (None, None, 1.0, 1.0);
        EpochReport { epoch: 1, loss, recall, score_recall, pairs_per_second, mean_cosine, seconds }
    }

    #[test]
    fn an_alarm_is_of_the_last_epoch_beside_the_first() {
        assert_eq!(Alarm::of(&[]), []);
        assert_eq!(Alarm::of(&[epoch(2.0, 0.1), epoch(3.9, 0.9)]), []);
        let grown = [epoch(2.0, 0.95), epoch(9.0, 0.1), epoch(4.1, 0.1)];
        assert_eq!(Alarm::of(&grown), [Alarm::LossGrew { loss: 4.1, first: 2.0 }]);
        assert_eq!(Alarm::of(&grown[..1]), [Alarm::Collapsed { mean_cosine: 0.95 }]);
    }
}

//! How a generation was learned, epoch by epoch, as it is stored with the model. Without times, so that a training that is
//! made again gives the same file. Knows nothing of how epochs are made.

use serde::{Deserialize, Serialize};

use crate::config::{json, legacy};

/// What an epoch of a training gave, as it is stored with the model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EpochQuality {
    /// From 1.
    pub epoch: u32,
    /// Mean loss of its examples.
    pub loss: f32,
    /// As in [`EpochReport`](crate::EpochReport).
    pub recall: Option<f32>,
    /// As in [`EpochReport`](crate::EpochReport).
    pub mean_cosine: f32,
}

/// The epochs of the training that gave a generation.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct LearningCurve {
    /// All of them, in order.
    pub epochs: Vec<EpochQuality>,
    /// The one whose parameters the generation has; 0 where there was none.
    pub kept: u32,
}

impl LearningCurve {
    pub(crate) fn to_text(&self) -> String {
        json::text_of(self)
    }

    /// `None` where the text is not that of a learning curve.
    pub(crate) fn from_text(text: &str) -> Option<Self> {
        json::parse(text, legacy::learning_curve).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::{EpochQuality, LearningCurve};

    #[test]
    fn a_curve_reads_back_as_it_was_written() {
        let epoch = |epoch, recall| EpochQuality { epoch, loss: 0.1 + 0.2, recall, mean_cosine: -1e-9 };
        let curve = LearningCurve { epochs: vec![epoch(1, Some(1.0 / 3.0)), epoch(2, None)], kept: 1 };
        assert_eq!(LearningCurve::from_text(&curve.to_text()), Some(curve));
        assert_eq!(LearningCurve::from_text("{}"), None);
    }

    #[test]
    fn the_lines_of_version_1_are_read() {
        let epoch = |epoch, recall| EpochQuality { epoch, loss: 0.25, recall, mean_cosine: -1e-9 };
        let curve = LearningCurve { epochs: vec![epoch(1, Some(0.5)), epoch(2, None)], kept: 1 };
        let lines = "epoch 1 0.25 0.5 -0.000000001\nepoch 2 0.25 - -0.000000001\nkept 1\n";
        assert_eq!(LearningCurve::from_text(lines), Some(curve));
        assert_eq!(LearningCurve::from_text(""), Some(LearningCurve::default()));
        for text in ["epoch 1 2", "kept", "kept x", "epoch 1 a - 0", "speed 3"] {
            assert_eq!(LearningCurve::from_text(text), None, "{text}");
        }
    }
}

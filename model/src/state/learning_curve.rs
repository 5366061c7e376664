//! The learning curve of a generation, as it is stored with the model. It has no times, so that repeating a training
//! gives the same file. Knows nothing of how epochs are made.

use serde::{Deserialize, Serialize};

use crate::config::{json, legacy};

/// The quality of an epoch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EpochQuality {
    /// Counted from 1.
    pub epoch: u32,
    /// Mean loss of the epoch's examples.
    pub loss: f32,
    /// See [`EpochReport`](crate::EpochReport).
    pub recall: Option<f32>,
    /// See [`EpochReport`](crate::EpochReport).
    pub mean_cosine: f32,
}

/// The epochs of a generation's training.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct LearningCurve {
    /// All epochs, in order.
    pub epochs: Vec<EpochQuality>,
    /// The epoch whose parameters the generation has; 0 if there is none.
    pub kept: u32,
}

impl LearningCurve {
    pub(crate) fn to_text(&self) -> String {
        json::text_of(self)
    }

    /// `None` if the text is no learning curve.
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

//! How a generation was learned, epoch by epoch, as it is stored with the model. Without times, so that a training that is
//! made again gives the same file. Knows nothing of how epochs are made.

use std::fmt::Write as _;

/// What an epoch of a training gave, as it is stored with the model.
#[derive(Clone, Debug, PartialEq)]
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
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LearningCurve {
    /// All of them, in order.
    pub epochs: Vec<EpochQuality>,
    /// The one whose parameters the generation has; 0 where there was none.
    pub kept: u32,
}

impl LearningCurve {
    /// A line for each epoch, and one that says which was kept.
    pub(crate) fn to_text(&self) -> String {
        let mut text = String::new();
        for EpochQuality { epoch, loss, recall, mean_cosine } in &self.epochs {
            let recall = recall.map_or_else(|| "-".to_owned(), |recall| recall.to_string());
            writeln!(text, "epoch {epoch} {loss} {recall} {mean_cosine}")
                .expect("text takes what is written");
        }
        writeln!(text, "kept {}", self.kept).expect("text takes what is written");
        text
    }

    /// None for a text that does not say it.
    pub(crate) fn from_text(text: &str) -> Option<Self> {
        let mut curve = Self::default();
        for line in text.lines() {
            let fields: Vec<&str> = line.split(' ').collect();
            match fields[..] {
                ["kept", epoch] => curve.kept = epoch.parse().ok()?,
                ["epoch", epoch, loss, recall, mean_cosine] => curve.epochs.push(EpochQuality {
                    epoch: epoch.parse().ok()?,
                    loss: loss.parse().ok()?,
                    recall: if recall == "-" { None } else { Some(recall.parse().ok()?) },
                    mean_cosine: mean_cosine.parse().ok()?,
                }),
                _ => return None,
            }
        }
        Some(curve)
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
        assert_eq!(LearningCurve::from_text(""), Some(LearningCurve::default()));
        for text in ["epoch 1 2", "kept", "kept x", "epoch 1 a - 0", "speed 3"] {
            assert_eq!(LearningCurve::from_text(text), None, "{text}");
        }
    }
}

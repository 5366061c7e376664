//! Degrees at both ends of a synthetic graph, and how much its boards mix topics.

use crate::synthetic::random::{PowerLaw, Random};

/// Topics of a family, whose boards share items where [`Degrees::Even`] is planned.
const FAMILY: u32 = 20;

/// The law of degrees at both ends, and how much boards mix topics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Degrees {
    /// The degree of rank r falls as 1 / (r + 10); a fifth of a board's items has any topic.
    Steep,
    /// The degree of rank r falls as r^-0.55, so that also in a graph of millions no node has most of the edges;
    /// a fifth of a board's items has any topic.
    Flat,
    /// Boards of 2/7 to 12/7 of the mean size; of a hundred items 45 have the board's topic, 15 one of its family, 40 any.
    /// Items have degrees as with [`Self::Steep`].
    Even,
}

impl Degrees {
    /// Ranks that are drawn by this law.
    pub(super) fn ranks(self, count: usize) -> PowerLaw {
        PowerLaw::new(count, |rank| match self {
            // Whole numbers, so that what `generate` writes is the same on every machine.
            Self::Steep | Self::Even => (1 << 32) / (u64::from(rank) + 10),
            Self::Flat => (f64::from(1 << 30) * (f64::from(rank) + 0.25).powf(-0.55)) as u64,
        })
    }

    /// The topic of one item of a board, or none for any topic.
    pub(super) fn topic(self, board: u32, topics: u32, random: &mut Random) -> Option<u32> {
        let (any, family) = if self == Self::Even { (40, 15) } else { (20, 0) };
        match random.below(100) {
            draw if draw < any => None,
            draw if draw < any + family => {
                let near = board / FAMILY * FAMILY + random.below(u64::from(FAMILY)) as u32;
                Some(near.min(topics - 1))
            }
            _ => Some(board),
        }
    }
}

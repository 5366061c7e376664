//! The place in a ranking after which the next page begins, and its text.
//! Must not know how a ranking is made.

use std::fmt;
use std::str::FromStr;

use hedgerow_storage::{Epoch, Generation, Snapshot, StableId};

use crate::config::error::Error;
use crate::query::embeddings::Embeddings;

/// The end of a page of answers. The next page begins after it.
///
/// It names the last answer by its score and its stable id, and the state that the ranking was made from. So it is valid until the next
/// commit, refresh or training. The text is four numbers and the bits of the score, in hexadecimal digits with points between them. A
/// host hands it on as it is.
///
/// ```
/// use hedgerow_model::Cursor;
///
/// let cursor: Cursor = "1.2a.29.3f5a0000.9c0ffee012345678".parse()?;
/// assert_eq!(cursor.to_string(), "1.2a.29.3f5a0000.9c0ffee012345678");
/// assert!("2a.29".parse::<Cursor>().is_err());
/// # Ok::<(), hedgerow_model::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(into = "String", try_from = "String")
)]
pub struct Cursor {
    pub(crate) ranking: RankingState,
    /// The bits of the score.
    score: u32,
    id: StableId,
}

/// The state that a ranking is made from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct RankingState {
    pub(crate) generation: Generation,
    /// The epoch of the graph.
    pub(crate) graph: Epoch,
    /// The epoch that the embeddings reflect.
    pub(crate) embeddings: Epoch,
}

impl RankingState {
    pub(crate) fn of(embeddings: &Embeddings, snapshot: &Snapshot) -> Self {
        let (generation, graph) = (embeddings.generation, snapshot.epoch());
        Self { generation, graph, embeddings: embeddings.epoch }
    }
}

impl fmt::Display for RankingState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { generation, graph, embeddings } = self;
        write!(f, "epoch {graph}, embeddings of epoch {embeddings}, generation {generation}")
    }
}

impl Cursor {
    /// The place of an answer in a ranking.
    pub(crate) fn new(ranking: RankingState, score: f32, id: StableId) -> Self {
        Self { ranking, score: score.to_bits(), id }
    }

    /// The score and the order of the last answer.
    ///
    /// # Errors
    /// [`Error::CursorExpired`] if the ranking is made from another state.
    pub(crate) fn place(&self, now: RankingState) -> Result<(f32, u64), Error> {
        if self.ranking == now {
            return Ok((f32::from_bits(self.score), self.id.get()));
        }
        Err(Error::CursorExpired { found: self.ranking.to_string(), present: now.to_string() })
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let RankingState { generation, graph, embeddings } = self.ranking;
        let (generation, graph, embeddings) = (generation.get(), graph.get(), embeddings.get());
        write!(f, "{generation:x}.{graph:x}.{embeddings:x}.{:x}.{:x}", self.score, self.id.get())
    }
}

impl FromStr for Cursor {
    type Err = Error;

    /// # Errors
    /// [`Error::Option`] for a text that is not a cursor's.
    fn from_str(text: &str) -> Result<Self, Error> {
        let number = |text: &str| u64::from_str_radix(text, 16).ok();
        let numbers = text.split('.').map(number).collect::<Option<Vec<u64>>>();
        let cursor = numbers.and_then(|numbers| {
            let &[generation, graph, embeddings, score, id] = &numbers[..] else { return None };
            let (generation, graph) = (Generation::new(generation), Epoch::new(graph));
            let ranking = RankingState { generation, graph, embeddings: Epoch::new(embeddings) };
            Some(Self { ranking, score: u32::try_from(score).ok()?, id: StableId::new(id) })
        });
        let expected = "the cursor of an answer: five hexadecimal numbers with points between them";
        cursor.ok_or_else(|| Error::Option { option: "after", found: format!("'{text}'"), expected })
    }
}

impl From<Cursor> for String {
    fn from(cursor: Cursor) -> Self {
        cursor.to_string()
    }
}

impl TryFrom<String> for Cursor {
    type Error = Error;

    /// As [`Cursor::from_str`].
    fn try_from(text: String) -> Result<Self, Error> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_reads_back_from_its_text_and_is_valid_in_its_own_state_only() {
        let now = RankingState {
            generation: Generation::new(3),
            graph: Epoch::new(u64::MAX),
            embeddings: Epoch::new(16),
        };
        for score in [0.1 + 0.2, -0.0, f32::MIN_POSITIVE, -1e30] {
            let cursor = Cursor::new(now, score, StableId::new(u64::MAX - 1));
            let read: Cursor = cursor.to_string().parse().expect("its own text");
            assert_eq!(read, cursor);
            let (found, order) = read.place(now).expect("the same state");
            assert_eq!((found.to_bits(), order), (score.to_bits(), u64::MAX - 1));
            for other in [
                RankingState { generation: Generation::new(4), ..now },
                RankingState { graph: Epoch::new(1), ..now },
                RankingState { embeddings: Epoch::new(17), ..now },
            ] {
                assert!(matches!(read.place(other), Err(Error::CursorExpired { .. })));
            }
        }
        for bad in ["", "1.2.3.4", "1.2.3.4.5.6", "1.2.3.100000000.5", "1.2.3.x.5", "1.2.3.-4.5", "1.2.3..5"]
        {
            assert!(bad.parse::<Cursor>().is_err(), "{bad}");
        }
    }
}

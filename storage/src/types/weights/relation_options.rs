//! The meaning of the edges of a relation: how fast their weights fade, and whether they are dislikes.
//! A plain value that is set before a relation has edges; lists and walks give it its effect.

use std::time::Duration;

use crate::types::batch::{Batch, BatchOp};
use crate::types::codec::{Decode, Encode};
use crate::types::error::Error;
use crate::types::names::check_relation;

/// The shortest half-life. With a shorter one, the logarithms of present weights would not fit 32 bits.
pub const MIN_HALF_LIFE: Duration = Duration::from_mins(1);
/// The times of edges whose weights fade lie within as many microseconds of 1970: 2283 years.
pub(crate) const MAX_FADING_TIME: i64 = 1 << 56;
/// The longest half-life: a thousand years.
pub const MAX_HALF_LIFE: Duration = Duration::from_hours(1000 * 365 * 24);

/// The unit of the times of a store's edges.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum TimeUnit {
    /// Microseconds since 1970, UTC.
    Microseconds,
    /// That of the host which wrote them: the store was made by a version that did not define a unit.
    Unknown,
}

impl TimeUnit {
    /// A stored time in microseconds. One of an unknown unit counts as seconds, which the command and its exports had before.
    pub fn to_microseconds(self, time: i64) -> i64 {
        match self {
            Self::Microseconds => time,
            Self::Unknown => time.saturating_mul(1_000_000).max(-i64::MAX),
        }
    }

    /// The time that a store with this unit has for one in microseconds.
    pub fn from_microseconds(self, time: i64) -> i64 {
        match self {
            Self::Microseconds => time,
            Self::Unknown => time.div_euclid(1_000_000),
        }
    }
}

/// The meaning of the edges of a relation. It is the same for all of them, from the first one on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RelationOptions {
    /// The time in which the weight of an edge halves; `None` for weights that do not fade. From [`MIN_HALF_LIFE`] to [`MAX_HALF_LIFE`].
    ///
    /// An edge of weight w and time t counts as `w * 2^(t / half-life)`. All edges of a list fade alike, so their proportions depend on
    /// no clock: nothing becomes dirty as time passes. Every edge of the relation needs a time.
    pub half_life: Option<Duration>,
    /// True if an edge says that its nodes do not go together, such as a user and a film that the user rated low. No walk and no score takes
    /// such an edge.
    pub is_dislike: bool,
}

/// The options as the log and the files store them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub(crate) struct StoredOptions {
    /// In microseconds; 0 for none.
    half_life: u64,
    is_dislike: bool,
}

/// The time in which a weight halves, in microseconds; above 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct HalfLife(u64);

impl HalfLife {
    pub(crate) fn from_microseconds(microseconds: u64) -> Option<Self> {
        let range = MIN_HALF_LIFE.as_micros() as u64..=MAX_HALF_LIFE.as_micros() as u64;
        range.contains(&microseconds).then_some(Self(microseconds))
    }

    /// The nearest half-life in range, for one from a file that is not checked.
    pub(crate) fn clamped(microseconds: u64) -> Self {
        Self(microseconds.clamp(MIN_HALF_LIFE.as_micros() as u64, MAX_HALF_LIFE.as_micros() as u64))
    }

    pub(crate) fn microseconds(self) -> u64 {
        self.0
    }
}

impl RelationOptions {
    /// Refuses a half-life out of range.
    pub(crate) fn stored(self) -> Result<StoredOptions, Error> {
        let half_life = match self.half_life {
            None => 0,
            Some(half_life) if (MIN_HALF_LIFE..=MAX_HALF_LIFE).contains(&half_life) => {
                half_life.as_micros() as u64
            }
            Some(half_life) => {
                return Err(Error::invalid("half-life", &format!("{half_life:?}"), "1 minute to 1000 years"));
            }
        };
        Ok(StoredOptions { half_life, is_dislike: self.is_dislike })
    }
}

impl StoredOptions {
    pub(crate) fn half_life(self) -> Option<HalfLife> {
        HalfLife::from_microseconds(self.half_life)
    }

    /// True for options that [`Batch::declare_relation`] accepts.
    pub(crate) fn is_valid(self) -> bool {
        self.half_life == 0 || self.half_life().is_some()
    }
}

impl From<StoredOptions> for RelationOptions {
    fn from(stored: StoredOptions) -> Self {
        let half_life = stored.half_life().map(|half_life| Duration::from_micros(half_life.microseconds()));
        Self { half_life, is_dislike: stored.is_dislike }
    }
}

impl Batch {
    /// Creates a relation where needed, and sets its options. Has no effect where it has these options.
    ///
    /// # Visibility
    /// As any change of a commit. It makes no node dirty, because the relation has no edges yet.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a bad name or half-life, [`Error::Limit`] when the batch is full. The commit fails for other options than the
    /// relation has, once it had an edge.
    pub fn declare_relation(&mut self, relation: &str, options: RelationOptions) -> Result<(), Error> {
        check_relation(relation)?;
        let options = options.stored()?;
        self.check_room(relation.len())?;
        let name = self.text(relation);
        self.ops.push(BatchOp::Relation { name, options });
        Ok(())
    }
}

/// The error of options that differ from those of a relation with edges.
pub(crate) fn options_are_set(relation: &str) -> Error {
    let rule = "those that it had when its first edge came; import an export into a new store to change them";
    Error::invalid("options of a relation", &format!("others for {relation}"), rule)
}

/// Refuses an edge without a time in a relation with a half-life, and a time that is thousands of years away.
pub(crate) fn check_fading_time(time: Option<i64>, relation: &str) -> Result<(), Error> {
    let reason = format!("because the weights of {relation} have a half-life");
    match time {
        None => Err(Error::invalid("time", "none", format!("a time, {reason}"))),
        Some(time) if !can_fade(time) => {
            let rule = format!("microseconds between the years -313 and 4253, {reason}");
            Err(Error::invalid("time", &time.to_string(), rule))
        }
        Some(_) => Ok(()),
    }
}

/// True for the time of an edge whose weight may fade.
pub(crate) fn can_fade(time: i64) -> bool {
    (-MAX_FADING_TIME..=MAX_FADING_TIME).contains(&time)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_half_life_is_from_a_minute_to_a_thousand_years() {
        let mut batch = Batch::new();
        for (seconds, is_valid) in [
            (0, false),
            (59, false),
            (60, true),
            (86_400, true),
            (31_536_000_000, true),
            (31_536_000_001, false),
        ] {
            let options = RelationOptions { half_life: Some(Duration::from_secs(seconds)), is_dislike: true };
            assert_eq!(batch.declare_relation("buys", options).is_ok(), is_valid, "{seconds}");
            if is_valid {
                let stored = options.stored().expect("in range");
                assert!(stored.is_valid());
                assert_eq!(RelationOptions::from(stored), options);
            }
        }
        assert!(!StoredOptions { half_life: 1, is_dislike: false }.is_valid());
    }
}

//! The effect of a link on an edge that is there already.
//! The one place in which two values of an edge become one; knows neither batches nor lists.

use std::fmt;
use std::str::FromStr;

use crate::types::error::Error;
use crate::types::ops::EdgeData;
use crate::types::weights::fading::weight_at;
use crate::types::weights::relation_options::HalfLife;

/// The effect of an edge that comes again. The edge before it is in the store, or earlier in the same batch or load.
///
/// Weights are added in `f32`, in the order in which the edges come, and no sum exceeds [`f32::MAX`]. So a bulk load and
/// batches with the same edges in the same order give the same bytes. Where weights fade, both count as of the later time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Repeat {
    /// Weight and time are replaced.
    #[default]
    Last,
    /// Weights are added; the later time stays.
    Sum,
    /// The larger weight and the later time stay.
    Max,
    /// The weight is the number of times that the edge came, 1 at first; the given weight is ignored. The later time
    /// stays. A store that has the edge counts on from its weight. Above 16,777,216 the weight stays as it is.
    Count,
}

impl Repeat {
    /// All ways, in the order of the documentation.
    pub const ALL: [Self; 4] = [Self::Last, Self::Sum, Self::Max, Self::Count];

    /// The name, as [`FromStr`] reads it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Last => "last",
            Self::Sum => "sum",
            Self::Max => "max",
            Self::Count => "count",
        }
    }

    /// The weight with which an edge comes.
    pub(crate) fn weight(self, given: f32) -> f32 {
        match self {
            Self::Count => 1.0,
            Self::Last | Self::Sum | Self::Max => given,
        }
    }

    /// The values of an edge after `new` came to `old`.
    pub(crate) fn combine(self, old: EdgeData, new: EdgeData, half_life: Option<HalfLife>) -> EdgeData {
        // No time is before every time.
        let time = old.time.max(new.time);
        let weight = |edge: EdgeData| match (half_life, time) {
            (Some(half_life), Some(time)) => weight_at(edge.weight, edge.time, time, half_life),
            _ => edge.weight,
        };
        let weight = match self {
            Self::Last => return new,
            Self::Sum | Self::Count => (weight(old) + weight(new)).min(f32::MAX),
            Self::Max => weight(old).max(weight(new)),
        };
        EdgeData { weight, time }
    }
}

impl fmt::Display for Repeat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Repeat {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let found = Self::ALL.into_iter().find(|repeat| repeat.name() == text);
        found.ok_or_else(|| Error::invalid("repeat", text, "last, sum, max or count"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_edge_that_comes_again_keeps_the_later_time_and_a_finite_weight() {
        let edge = |weight, time| EdgeData { weight, time };
        let (old, new) = (edge(2.0, Some(7)), edge(f32::MAX, None));
        assert_eq!(Repeat::Last.combine(old, new, None), new);
        assert_eq!(Repeat::Sum.combine(old, new, None), edge(f32::MAX, Some(7)));
        assert_eq!(Repeat::Sum.combine(new, new, None), edge(f32::MAX, None));
        assert_eq!(Repeat::Max.combine(old, edge(1.0, Some(9)), None), edge(2.0, Some(9)));
        assert_eq!(
            Repeat::Count.combine(old, edge(Repeat::Count.weight(5.0), Some(-1)), None),
            edge(3.0, Some(7))
        );
    }

    #[test]
    fn where_weights_fade_both_count_as_of_the_later_time() {
        let day = 86_400_000_000;
        let half_life = HalfLife::from_microseconds(day as u64);
        let edge = |weight, days: i64| EdgeData { weight, time: Some(days * day) };
        let (old, new) = (edge(8.0, 0), edge(3.0, 2));
        for (one, other) in [(old, new), (new, old)] {
            assert_eq!(Repeat::Sum.combine(one, other, half_life), edge(5.0, 2));
            assert_eq!(Repeat::Max.combine(one, other, half_life), edge(3.0, 2));
            assert_eq!(Repeat::Last.combine(one, other, half_life), other);
        }
    }

    #[test]
    fn every_way_is_read_by_its_name() {
        for repeat in Repeat::ALL {
            assert_eq!(repeat.to_string().parse::<Repeat>().expect("its name"), repeat);
        }
        assert!("add".parse::<Repeat>().is_err());
    }
}

//! The constants of a score from the graph. They are fitted when a model is trained and stored in its configuration.

use hedgerow_walker::{DegreePowers, FilterPowers, RelatedPowers};
use serde::{Deserialize, Serialize};

/// The largest exponent of a model from outside.
const MAX_EXPONENT: f32 = 4.0;
/// The largest weight of a model from outside.
const MAX_WEIGHT: f32 = 1e12;

/// The exponents by which degrees damp the graph filter.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Exponents {
    /// a: of the items of the history.
    pub(crate) history: f32,
    /// b: of the lists.
    pub(crate) list: f32,
    /// c: of the item that is scored.
    pub(crate) item: f32,
}

/// The constants of the score of items of one kind:
///
/// ```text
/// score(H, j) = d_j^-e * (scale * d_j^-c * F(H, j) + q_H . z_j) + w * cos(p_H, p_j)
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct GraphConstants {
    /// The kind of the items.
    pub(crate) kind: String,
    /// a, b and c.
    pub(crate) exponents: Exponents,
    /// The weight of the graph filter.
    pub(crate) scale: f32,
    /// e: the exponent of the item's degree in the whole score.
    pub(crate) degree: f32,
    /// The weight of pairs without an edge in the loss of the factors.
    pub(crate) unobserved: f32,
    /// The weight of the factors' squares in the loss, for each edge of a row.
    pub(crate) regularization: f32,
    /// The number of items that factors were fitted for.
    pub(crate) items: u32,
    /// w: the weight of the embeddings' cosine.
    #[serde(default)]
    pub(crate) embeddings: f32,
    /// The constants of related items.
    pub(crate) related: RelatedConstants,
    /// The constants of items without lists. `None` if too few items have tokens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) cold: Option<ColdConstants>,
}

/// The constants of the score of related items, see [`RelatedItems`](hedgerow_walker::RelatedItems).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RelatedConstants {
    /// b: of the lists.
    pub(crate) list: f32,
    /// c: of the item that is scored.
    pub(crate) item: f32,
    /// Of the items that second hops go through.
    pub(crate) hop: f32,
    /// w: the weight of second hops.
    pub(crate) second_hops: f32,
}

impl Default for RelatedConstants {
    fn default() -> Self {
        Self { list: 0.5, item: 0.1, hop: 0.1, second_hops: 1.0 }
    }
}

/// The constants of the score for a cold item q, which has tokens but no lists. With the cosines of tokens, the exponents of this struct and
/// degrees d:
///
/// ```text
/// C_ij  = sum over the lists v of both i and j of  d_v^-list;  C_ii is multiplied by `own`
/// score = d_j^-degree * sum over the 100 items i most similar to q of  cosine(q, i)^2 * d_i^-item * C_ij
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ColdConstants {
    /// Of a token's rarity, ln(n / df), in the cosines.
    pub(crate) rarity: f32,
    /// Of the similar items.
    pub(crate) item: f32,
    /// Of the lists.
    pub(crate) list: f32,
    /// The weight of a similar item itself as an answer.
    pub(crate) own: f32,
    /// Of the item that is scored.
    pub(crate) degree: f32,
}

impl Default for ColdConstants {
    fn default() -> Self {
        Self { rarity: 2.0, item: 0.25, list: 0.5, own: 0.25, degree: -0.1 }
    }
}

impl RelatedConstants {
    pub(crate) fn powers(&self) -> RelatedPowers {
        RelatedPowers {
            list: DegreePowers::new(self.list),
            item: DegreePowers::new(self.item),
            hop: DegreePowers::new(self.hop),
            second_hops: self.second_hops,
        }
    }
}

impl GraphConstants {
    /// # Errors
    /// The first constant that is out of its range, and the range.
    pub(crate) fn check(&self) -> Result<(), String> {
        let Exponents { history, list, item } = self.exponents;
        let RelatedConstants { list: related_list, item: related_item, hop, second_hops } = self.related;
        let cold = self.cold.unwrap_or_default();
        for (name, exponent) in [
            ("history", history),
            ("list", list),
            ("item", item),
            ("degree", self.degree),
            ("related.list", related_list),
            ("related.item", related_item),
            ("related.hop", hop),
            ("cold.rarity", cold.rarity),
            ("cold.item", cold.item),
            ("cold.list", cold.list),
            ("cold.degree", cold.degree),
        ] {
            if !(-MAX_EXPONENT..=MAX_EXPONENT).contains(&exponent) {
                return Err(format!("the exponent {name} is {exponent}, expected -4 to 4"));
            }
        }
        let weights = [
            ("scale", self.scale, 0.0),
            ("related.second_hops", second_hops, 0.0),
            ("cold.own", cold.own, 0.0),
            ("embeddings", self.embeddings, 0.0),
            ("unobserved", self.unobserved, f32::MIN_POSITIVE),
            ("regularization", self.regularization, f32::MIN_POSITIVE),
        ];
        for (name, weight, least) in weights {
            if !(least..=MAX_WEIGHT).contains(&weight) {
                return Err(format!("{name} is {weight}, expected a number above 0 and at most 1e12"));
            }
        }
        Ok(())
    }

    /// Names and values.
    pub(crate) fn entries(&self) -> Vec<(&'static str, f32)> {
        let Exponents { history, list, item } = self.exponents;
        let mut entries = vec![
            ("history", history),
            ("list", list),
            ("item", item),
            ("scale", self.scale),
            ("degree", self.degree),
            ("unobserved", self.unobserved),
            ("regularization", self.regularization),
            ("related_list", self.related.list),
            ("related_item", self.related.item),
            ("related_second_hops", self.related.second_hops),
        ];
        if let Some(ColdConstants { rarity, item, own, degree, .. }) = self.cold {
            entries.extend([
                ("cold_rarity", rarity),
                ("cold_item", item),
                ("cold_own", own),
                ("cold_degree", degree),
            ]);
        }
        entries
    }

    /// The powers of the graph filter.
    pub(crate) fn powers(&self) -> FilterPowers {
        let Exponents { history, list, .. } = self.exponents;
        FilterPowers { history: DegreePowers::new(history), list: DegreePowers::new(list) }
    }

    /// The diagonal that the factors' squares add to the equations of a list, whose items have these confidences together.
    pub(crate) fn diagonal(&self, history: f32) -> f32 {
        diagonal(self.regularization, self.unobserved, history, self.items as usize)
    }
}

/// The weight of a row's square in the loss: `lambda (confidences of edges + a0 * columns)`.
pub(crate) fn diagonal(regularization: f32, unobserved: f32, edges: f32, columns: usize) -> f32 {
    regularization * (edges + unobserved * columns as f32)
}

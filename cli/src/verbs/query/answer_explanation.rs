//! The reasons why a node is in an answer: as an object for programs, and in words for people.

use hedgerow::{AnswerExplanation, Connection, NodeName};
use serde_json::Value;

use crate::output::value::{float, name, object};

/// Shared tokens that are named in words.
const NAMED_TOKENS: usize = 3;

/// The reasons as an object. Its names are part of the contract; a reason that does not apply is null.
pub(crate) fn facts_of(reasons: &AnswerExplanation) -> Value {
    let mut fields = vec![
        ("filter", reasons.filter.map(float).into()),
        ("factors", reasons.factors.map(float).into()),
        ("embeddings", reasons.embeddings.map(float).into()),
        ("cosine", reasons.cosine.map(float).into()),
        ("popularity", reasons.popularity.map(float).into()),
        ("interest", reasons.interest.into()),
    ];
    if let Some(nearest) = &reasons.connection {
        fields.extend([
            ("beside", name(&nearest.node)),
            ("beside_cosine", nearest.cosine.map(float).into()),
            ("beside_share", nearest.share.map(float).into()),
            ("linked", nearest.linked.into()),
            ("shared", nearest.shared.into()),
            ("shared_nodes", nearest.shared_nodes.iter().map(name).collect()),
            ("shared_tokens", nearest.shared_tokens.as_slice().into()),
            ("visits", nearest.visits.into()),
        ]);
    }
    object(fields)
}

/// The reasons in words, the most concrete first.
///
/// `named` gives the name of a node within a sentence.
pub(crate) fn words_of(reasons: &AnswerExplanation, named: &dyn Fn(&NodeName) -> String) -> Value {
    let mut parts = Vec::new();
    if let Some(nearest) = &reasons.connection {
        parts.push(connection(nearest, named));
    }
    match (reasons.filter, reasons.factors) {
        (Some(filter), Some(factors)) => {
            let embeddings = reasons.embeddings.unwrap_or(0.0);
            parts.push(format!(
                "graph filter {filter:.3}, factors {factors:+.3}, embeddings {embeddings:+.3}"
            ));
        }
        (Some(filter), None) => parts.push(format!("related {filter:.4}")),
        _ => {}
    }
    match (reasons.cosine, reasons.popularity) {
        (Some(cosine), Some(popularity)) => {
            parts.push(format!("cosine {cosine:.3}, popularity {popularity:+.3}"));
        }
        _ if reasons.connection.is_none() && reasons.filter.is_none() => {
            parts.push("has many edges".to_owned());
        }
        _ => {}
    }
    if let Some(interest) = reasons.interest {
        parts.push(format!("interest {}", interest + 1));
    }
    Value::String(parts.join("; "))
}

fn connection(nearest: &Connection, named: &dyn Fn(&NodeName) -> String) -> String {
    let mut parts = Vec::new();
    if nearest.linked {
        parts.push("linked to it".to_owned());
    }
    if nearest.shared > 0 {
        parts.push(format!("shares {}", shared(nearest, named)));
    }
    if !nearest.shared_tokens.is_empty() {
        parts.push(tokens(&nearest.shared_tokens));
    }
    if nearest.visits > 0 {
        parts.push(format!("{} visits by its walks", nearest.visits));
    }
    if parts.is_empty() {
        parts.push("nothing in common".to_owned());
    }
    let (node, parts) = (named(&nearest.node), parts.join(", "));
    match (nearest.share, nearest.cosine) {
        (Some(share), _) => format!("{:.0} % through {node}: {parts}", share * 100.0),
        (None, Some(cosine)) => format!("near {node} ({cosine:.3}): {parts}"),
        (None, None) => format!("near {node}: {parts}"),
    }
}

/// `both have blue, cotton`, or `both have blue, cotton, jacket and 2 more tokens`.
fn tokens(shared: &[String]) -> String {
    let named = shared.iter().take(NAMED_TOKENS).map(String::as_str).collect::<Vec<_>>().join(", ");
    match shared.len().saturating_sub(NAMED_TOKENS) {
        0 => format!("both have {named}"),
        more => format!("both have {named} and {more} more tokens"),
    }
}

/// `board:1`, `board:1 and board:2`, or `12 neighbors such as board:1, board:2, board:3`.
fn shared(nearest: &Connection, named: &dyn Fn(&NodeName) -> String) -> String {
    let names: Vec<String> = nearest.shared_nodes.iter().map(named).collect();
    match &names[..] {
        [one] if nearest.shared == 1 => one.clone(),
        [one, two] if nearest.shared == 2 => format!("{one} and {two}"),
        names => format!("{} neighbors such as {}", nearest.shared, names.join(", ")),
    }
}

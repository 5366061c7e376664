//! Why a node is in an answer: as an object for programs, and as words for people.

use hedgerow::{AnswerExplanation, Connection, NodeName};
use serde_json::Value;

use crate::output::printer::object;
use crate::output::value::{float, name};

/// What programs read, under names that stay; null where it does not apply.
pub(crate) fn facts_of(why: &AnswerExplanation) -> Value {
    let number = |value: Option<f32>| value.map_or(Value::Null, float);
    let mut fields = vec![
        ("cosine", number(why.cosine)),
        ("popularity", number(why.popularity)),
        ("interest", why.interest.map_or(Value::Null, Value::from)),
    ];
    if let Some(beside) = &why.connection {
        fields.extend([
            ("beside", name(&beside.node)),
            ("beside_cosine", number(beside.cosine)),
            ("linked", beside.linked.into()),
            ("shared", beside.shared.into()),
            ("shared_nodes", beside.shared_nodes.iter().map(name).collect()),
            ("visits", beside.visits.into()),
        ]);
    }
    object(fields)
}

/// The same for people, the plainest first.
pub(crate) fn words_of(why: &AnswerExplanation) -> Value {
    let mut parts = Vec::new();
    if let Some(beside) = &why.connection {
        parts.push(words_beside(beside));
    }
    match (why.cosine, why.popularity) {
        (Some(cosine), Some(popularity)) => {
            parts.push(format!("cosine {cosine:.3}, popularity {popularity:+.3}"));
        }
        _ if why.connection.is_none() => parts.push("has many edges".to_owned()),
        _ => {}
    }
    if let Some(interest) = why.interest {
        parts.push(format!("interest {}", interest + 1));
    }
    Value::String(parts.join("; "))
}

fn words_beside(beside: &Connection) -> String {
    let mut parts = Vec::new();
    if beside.linked {
        parts.push("linked to it".to_owned());
    }
    if beside.shared > 0 {
        parts.push(format!("shares {}", shared(beside)));
    }
    if beside.visits > 0 {
        parts.push(format!("{} visits by its walks", beside.visits));
    }
    if parts.is_empty() {
        parts.push("no neighbor in common".to_owned());
    }
    let cosine = beside.cosine.map_or_else(String::new, |cosine| format!(" ({cosine:.3})"));
    format!("near {}{cosine}: {}", beside.node, parts.join(", "))
}

/// `board:1`, `board:1 and board:2`, `12 neighbors such as board:1, board:2, board:3`.
fn shared(beside: &Connection) -> String {
    let names: Vec<String> = beside.shared_nodes.iter().map(NodeName::to_string).collect();
    match &names[..] {
        [one] if beside.shared == 1 => one.clone(),
        [one, two] if beside.shared == 2 => format!("{one} and {two}"),
        names => format!("{} neighbors such as {}", beside.shared, names.join(", ")),
    }
}

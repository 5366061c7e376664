//! Notes about terms of a filter that no node matches: a name or a value is probably misspelled.

use std::collections::BTreeSet;

use hedgerow::{Filter, FilterComparison, FilterTerm, KindIx, PropertyIx, PropertyValue, Snapshot};

use crate::session::context::Context;
use crate::session::properties::property_names;
use crate::session::schema::kinds;
use crate::session::suggest::{did_you_mean, similar_words};

/// The most different values that are compared with a missing one.
const COMPARED: usize = 100_000;

/// Notes each name and value of a filter that no node has.
///
/// Cost: a pass over the values of each property that is compared by `=` or `~`, and over the different tokens.
pub(crate) fn note_unmatched(ctx: &Context, snapshot: &Snapshot, filter: &Filter) {
    for term in filter.terms() {
        if let Some((problem, similar)) = unmatched(snapshot, term) {
            let advice = did_you_mean(&similar).map_or_else(String::new, |advice| format!("; {advice}"));
            ctx.out.note(&format!("{problem}{advice}"));
        }
    }
}

/// The reason why no node matches a term, and names or values that are similar. `None` if some node may match it.
fn unmatched(snapshot: &Snapshot, term: &FilterTerm) -> Option<(String, Vec<String>)> {
    match term {
        FilterTerm::Word(name) if !properties(snapshot, name).is_empty() => None,
        FilterTerm::Word(token) | FilterTerm::Token(token) => {
            let tokens = tokens(snapshot, "");
            let similar = || similar_words(token, tokens.iter().map(String::as_str));
            (!tokens.contains(token)).then(|| (format!("no node has the token {token}"), similar()))
        }
        FilterTerm::Comparison { name, comparison, value } => {
            let properties = properties(snapshot, name);
            let start = format!("{name}=");
            let values = if properties.is_empty() {
                let values = tokens(snapshot, &start);
                if values.is_empty() {
                    let similar = similar_words(name, names(snapshot).iter().map(String::as_str));
                    return Some((format!("no node has a property or tokens {name}"), similar));
                }
                values
            } else {
                texts(snapshot, &properties)?
            };
            match comparison {
                FilterComparison::Equal => {
                    // Case does not count in a property, and counts in a token.
                    let lower = value.to_lowercase();
                    let is_same = |other: &&String| !properties.is_empty() && other.to_lowercase() == lower;
                    let is_there = values.contains(value) || values.iter().any(|other| is_same(&other));
                    let similar = || similar_words(value, values.iter().map(String::as_str));
                    (!is_there).then(|| (format!("no node has {name} = {value}"), similar()))
                }
                FilterComparison::Contains => {
                    let part = value.to_lowercase();
                    let is_there = values.iter().any(|value| value.to_lowercase().contains(&part));
                    (!is_there).then(|| (format!("no node has a {name} that contains {value}"), Vec::new()))
                }
                _ => None,
            }
        }
    }
}

/// The properties of that name, of all kinds.
fn properties(snapshot: &Snapshot, name: &str) -> Vec<(KindIx, PropertyIx)> {
    kinds(snapshot).filter_map(|kind| Some((kind, snapshot.property_ix(kind, name)?))).collect()
}

/// The names of properties, and those before the sign `=` in tokens.
fn names(snapshot: &Snapshot) -> BTreeSet<String> {
    let mut names: BTreeSet<String> = property_names(snapshot).into_iter().map(str::to_owned).collect();
    snapshot.for_each_token(&mut |token| {
        if let Some((name, _)) = token.split_once('=')
            && !names.contains(name)
        {
            names.insert(name.to_owned());
        }
    });
    names
}

/// The different tokens that begin with `start`, without it.
fn tokens(snapshot: &Snapshot, start: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    snapshot.for_each_token(&mut |token| {
        if let Some(rest) = token.strip_prefix(start)
            && found.len() < COMPARED
        {
            found.insert(rest.to_owned());
        }
    });
    found
}

/// The different values of properties, which are texts or lists. `None` for other types, whose values are not spelled, and if there are
/// too many.
fn texts(snapshot: &Snapshot, properties: &[(KindIx, PropertyIx)]) -> Option<BTreeSet<String>> {
    let mut found = BTreeSet::new();
    for &(kind, property) in properties {
        for node in snapshot.nodes_of(kind) {
            let items = match snapshot.value(node, property) {
                Some(PropertyValue::Text(text)) => vec![text],
                Some(PropertyValue::List(items)) => items,
                Some(_) => return None,
                None => continue,
            };
            for item in items {
                if !found.contains(item) {
                    found.insert(item.to_owned());
                }
            }
            if found.len() > COMPARED {
                return None;
            }
        }
    }
    Some(found)
}

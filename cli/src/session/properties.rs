//! Properties beside the nodes of a result: the columns of `--show`, and the labels of kinds.

use clap::Args;
use hedgerow::{NodeIx, NodeName, PropertyValue, Snapshot};
use serde_json::{Number, Value};

use crate::core::escape::escaped;
use crate::core::failure::Failure;
use crate::output::printer::{Mode, Output};
use crate::output::value::object;
use crate::session::schema::kinds;

/// The most characters of a label within a sentence.
const LABEL_LIMIT: usize = 60;

/// The flag of verbs whose result has nodes.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct ShowArgs {
    /// Properties to show beside each node, such as title,price [default: in a table the label of its kind]
    #[arg(long, value_name = "PROP,..", value_delimiter = ',')]
    pub(crate) show: Vec<String>,
}

/// The columns of properties in a result.
pub(crate) struct PropertyColumns<'a> {
    snapshot: &'a Snapshot,
    mode: Mode,
    columns: Columns,
}

enum Columns {
    None,
    /// The label of each node.
    Label,
    /// The properties of these names.
    Named(Vec<String>),
}

impl ShowArgs {
    /// The columns for these nodes. Without `--show` a table has the labels, if a node of the result has one.
    pub(crate) fn columns<'a>(
        &self,
        out: Output,
        snapshot: &'a Snapshot,
        nodes: impl IntoIterator<Item = NodeIx>,
    ) -> Result<PropertyColumns<'a>, Failure> {
        let known = |name: &str| kinds(snapshot).any(|kind| snapshot.property_ix(kind, name).is_some());
        if let Some(unknown) = self.show.iter().find(|name| !known(name)) {
            return Err(Failure::Usage(format!("--show {unknown}: {}", no_property(snapshot))));
        }
        let has_label = |node| label(snapshot, node).is_some();
        let columns = if !self.show.is_empty() {
            Columns::Named(self.show.clone())
        } else if out.mode == Mode::Table && nodes.into_iter().any(has_label) {
            Columns::Label
        } else {
            Columns::None
        };
        Ok(PropertyColumns { snapshot, mode: out.mode, columns })
    }
}

/// The names of the properties of all kinds, sorted and each once.
pub(crate) fn property_names(snapshot: &Snapshot) -> Vec<&str> {
    let of_kind = |kind| snapshot.properties_of(kind).map(|at| snapshot.property(at).name);
    let mut names: Vec<&str> = kinds(snapshot).flat_map(of_kind).collect();
    names.sort_unstable();
    names.dedup();
    names
}

/// The properties that there are, for a message about one that there is not.
fn no_property(snapshot: &Snapshot) -> String {
    let names = property_names(snapshot);
    if names.is_empty() {
        return "the store has no properties; import --nodes --props adds some".to_owned();
    }
    format!("no kind has this property; there are {}", names.join(", "))
}

impl PropertyColumns<'_> {
    /// The columns of a result: those given, then those of properties. In JSON all properties are fields of one object.
    pub(crate) fn after<'c>(&'c self, columns: &[&'c str]) -> Vec<&'c str> {
        let mut columns = columns.to_vec();
        match &self.columns {
            Columns::None => {}
            Columns::Label => columns.push("label"),
            Columns::Named(_) if self.mode.is_json() => columns.push("properties"),
            Columns::Named(names) => columns.extend(names.iter().map(String::as_str)),
        }
        columns
    }

    /// The values of a node for these columns.
    pub(crate) fn values(&self, node: NodeIx) -> Vec<Value> {
        let value = |name: &String| {
            let at = self.snapshot.property_ix(self.snapshot.kind(node), name);
            at.and_then(|at| self.snapshot.value(node, at)).map_or(Value::Null, |value| json(&value))
        };
        match &self.columns {
            Columns::None => Vec::new(),
            Columns::Label => vec![label(self.snapshot, node).into()],
            Columns::Named(names) if self.mode.is_json() => {
                vec![object(names.iter().map(|name| (name, value(name))))]
            }
            // Numbers are shown as they are, not with four decimals.
            Columns::Named(names) => {
                let shown = |name| match value(name) {
                    Value::Number(number) if number.is_f64() => number.to_string().into(),
                    value => value,
                };
                names.iter().map(shown).collect()
            }
        }
    }

    /// As [`Self::values`], of a node by its name.
    pub(crate) fn values_of(&self, name: &NodeName) -> Vec<Value> {
        match self.snapshot.lookup(name) {
            Some(node) => self.values(node),
            // Removed meanwhile.
            None => vec![Value::Null; self.after(&[]).len()],
        }
    }
}

/// A value as JSON: a time as a text, a list as an array.
pub(crate) fn json(value: &PropertyValue<'_>) -> Value {
    match value {
        PropertyValue::Integer(value) => (*value).into(),
        PropertyValue::Float(value) => Number::from_f64(*value).into(),
        PropertyValue::Boolean(value) => (*value).into(),
        PropertyValue::List(items) => items.as_slice().into(),
        PropertyValue::Text(_) | PropertyValue::Time(_) => value.to_string().into(),
    }
}

/// The label of a node: the value of the property that its kind is labelled by.
pub(crate) fn label(snapshot: &Snapshot, node: NodeIx) -> Option<String> {
    let value = snapshot.value(node, snapshot.label(snapshot.kind(node))?)?;
    Some(value.to_string())
}

/// The name of a node within a sentence, with its label if it has one: `film:1 (Toy Story)`.
pub(crate) fn name_with_label(snapshot: &Snapshot, name: &NodeName) -> String {
    let label = snapshot.lookup(name).and_then(|node| label(snapshot, node));
    label.map_or_else(|| name.to_string(), |label| format!("{name} ({})", short(&label)))
}

/// The start of a label, with control characters escaped.
pub(crate) fn short(label: &str) -> String {
    let label = escaped(label);
    match label.char_indices().nth(LABEL_LIMIT) {
        Some((at, _)) => format!("{}...", &label[..at]),
        None => label,
    }
}

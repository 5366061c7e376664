//! The line texts of files of version 1, which held no JSON yet: a name, a space and a value a line. They are only
//! read, and converted to the JSON that is written now. FORMAT.md has both forms.

use serde_json::{Value, json};

/// The recipe of a `model` file of version 1.
pub(crate) fn model_config(text: &str) -> Option<Value> {
    let mut config = json!({ "walks": {}, "targets": {}, "identities": [], "dense": [] });
    let mut target = String::new();
    for line in text.lines() {
        let (name, value) = line.split_once(' ')?;
        match name {
            "target" => {
                value.clone_into(&mut target);
                set(&mut config, &["targets", value], json!([]))?;
            }
            "path" => {
                let path = value.split(' ').collect::<Vec<_>>();
                push(&mut config, &["targets", &target], path.into())?;
            }
            "identity" => push(&mut config, &["identities"], value.into())?,
            "dense" => {
                let (width, block) = value.split_once(' ')?;
                push(&mut config, &["dense"], json!([block, scalar(width)]))?;
            }
            _ => match name.strip_prefix("walk.") {
                Some(option) => set(&mut config, &["walks", option], scalar(value))?,
                None => set(&mut config, &[name], scalar(value))?,
            },
        }
    }
    Some(config)
}

/// The section `epochs` of a `model` file of version 1.
pub(crate) fn learning_curve(text: &str) -> Option<Value> {
    let mut curve = json!({ "epochs": [], "kept": 0 });
    for line in text.lines() {
        match line.split(' ').collect::<Vec<_>>()[..] {
            ["kept", epoch] => set(&mut curve, &["kept"], scalar(epoch))?,
            ["epoch", epoch, loss, recall, mean_cosine] => push(
                &mut curve,
                &["epochs"],
                json!({
                    "epoch": scalar(epoch),
                    "loss": scalar(loss),
                    "recall": scalar(recall),
                    "mean_cosine": scalar(mean_cosine),
                }),
            )?,
            _ => return None,
        }
    }
    Some(curve)
}

/// The section `run` of a `training` file of version 1.
pub(crate) fn training(text: &str) -> Option<Value> {
    let mut run = json!({ "origin": { "options": { "targets": [], "walks": {} } }, "epochs": [] });
    for line in text.lines() {
        let (name, value) = line.split_once(' ')?;
        match name {
            "graph" => set(&mut run, &["origin", "graph"], scalar(value))?,
            "pairs" => set(&mut run, &["origin", "pairs"], value.into())?,
            "option" => train_option(run.pointer_mut("/origin/options")?, value)?,
            "epoch" => {
                let [epoch, loss, recall, pairs_per_second, mean_cosine, seconds] =
                    value.split(' ').map(scalar).collect::<Vec<_>>().try_into().ok()?;
                let report = json!({
                    "epoch": epoch,
                    "loss": loss,
                    "recall": recall,
                    "pairs_per_second": pairs_per_second,
                    "mean_cosine": mean_cosine,
                    "seconds": seconds,
                });
                push(&mut run, &["epochs"], report)?;
            }
            _ => set(&mut run, &[name], scalar(value))?,
        }
    }
    Some(run)
}

fn train_option(options: &mut Value, line: &str) -> Option<()> {
    let (name, value) = line.split_once(' ')?;
    match name {
        "target" => push(options, &["targets"], value.into()),
        "walks" | "visits" | "stop" | "top" | "min_visits" => set(options, &["walks", name], scalar(value)),
        "walk_seed" => set(options, &["walks", "seed"], scalar(value)),
        "hard_ranks" => {
            let (from, to) = value.split_once('-')?;
            set(options, &["hard_ranks"], json!([scalar(from), scalar(to)]))
        }
        _ => set(options, &[name], scalar(value)),
    }
}

/// The section `lines` of a `refreshes` file of version 1.
pub(crate) fn refreshes(text: &str) -> Option<Value> {
    let mut refreshes = json!([]);
    for line in text.lines() {
        let mut fields = line.split(' ').map(scalar);
        let generation = fields.next()?;
        let report = json!({
            "epoch": fields.next()?,
            "dirty_nodes": fields.next()?,
            "sources": fields.next()?,
            "neighborhoods": fields.next()?,
            "full": fields.next()?,
            "ms": { "reach": fields.next()?, "walks": fields.next()?, "layers": fields.next()? },
            "seconds": fields.next()?,
            "rows": fields.collect::<Vec<_>>(),
        });
        push(&mut refreshes, &[], json!([generation, report]))?;
    }
    Some(refreshes)
}

/// A number, `true` or `false`; null for `-`; any other text as a string.
fn scalar(text: &str) -> Value {
    match text {
        "-" => Value::Null,
        _ => serde_json::from_str(text).unwrap_or_else(|_| text.into()),
    }
}

/// Sets the value at a path of names. `None` if a line before gave a name on the way another value than an object.
fn set(value: &mut Value, path: &[&str], to: Value) -> Option<()> {
    let (last, before) = path.split_last()?;
    let mut object = value;
    for name in before {
        object = object.get_mut(name)?;
    }
    object.as_object_mut()?.insert((*last).to_owned(), to);
    Some(())
}

/// Appends to the list at a path. `None` if the line needs a list that no line before it began.
fn push(value: &mut Value, path: &[&str], element: Value) -> Option<()> {
    let mut list = value;
    for name in path {
        list = list.get_mut(name)?;
    }
    list.as_array_mut()?.push(element);
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A line gave the name of an object a number, and a later line of that object panicked while the store was opened. Such a
    /// text is none of version 1.
    #[test]
    fn a_line_that_replaces_an_object_is_refused() {
        assert_eq!(model_config("walks 3\nwalk.seed 1"), None);
        assert_eq!(model_config("targets 3\ntarget pin"), None);
        assert_eq!(model_config("path a"), None);
        assert_eq!(training("origin 3\ngraph 1"), None);
        assert_eq!(training("option walks 2\norigin 3\noption walks 2"), None);
    }
}

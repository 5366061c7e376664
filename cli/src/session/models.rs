//! The models of a store, as the options of verbs name them.

use clap::Args;
use hedgerow::{Engine, ModelError, StableId, Store, choose_model};

use crate::core::failure::Failure;

/// The option of verbs that read a model.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct ModelArgs {
    /// The model to read [default: the default model of the store, see `models`]
    #[arg(long, value_name = "MODEL")]
    pub(crate) model: Option<String>,
}

/// Models that share users out, each with a weight.
#[derive(Clone, Debug)]
pub(crate) struct ModelShares(Vec<(String, u32)>);

impl ModelShares {
    /// Parses `a=90,b=10`.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let expected = || "expected models with weights, such as main=90,tonight=10".to_owned();
        let mut shares = Vec::new();
        for part in text.split(',') {
            let (name, weight) = part.split_once('=').ok_or_else(expected)?;
            let weight = weight.parse().map_err(|_| expected())?;
            if shares.iter().any(|(other, _)| other == name) {
                return Err(format!("model '{name}' is there twice"));
            }
            shares.push((name.to_owned(), weight));
        }
        if shares.iter().all(|(_, weight)| *weight == 0) {
            return Err("expected a weight above 0".to_owned());
        }
        Ok(Self(shares))
    }

    /// The names of the models that have users.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter(|(_, weight)| *weight > 0).map(|(name, _)| name.as_str())
    }

    /// The model of a user.
    pub(crate) fn model_of(&self, user: StableId) -> &str {
        let shares: Vec<(&str, u32)> = self.0.iter().map(|(name, weight)| (name.as_str(), *weight)).collect();
        choose_model(&shares, user).expect("a weight is above 0")
    }
}

/// The name of a model that a store has; the default one if none is named.
pub(crate) fn existing_model(store: &Store, name: Option<&str>) -> Result<String, Failure> {
    let Some(name) = name else { return Ok(store.default_set()) };
    let models = store.derived_sets();
    if models.iter().any(|model| model == name) {
        return Ok(name.to_owned());
    }
    let known = models.join(", ");
    Err(hedgerow::Error::from(ModelError::UnknownModel { model: name.to_owned(), known }).into())
}

/// The models of a store that has several; none for a store with one.
pub(crate) fn several_models(store: &Store) -> Result<Vec<hedgerow::ModelStatus>, Failure> {
    let models = Engine::models(store)?;
    Ok(if models.len() > 1 { models } else { Vec::new() })
}

//! A model as text and named tensors, for use in another program or store. Owns the names, and checks models from
//! outside. The file format belongs to the caller.

use std::sync::Arc;

use ndarray::Array1;

use crate::config::error::Error;
use crate::config::model_config::ModelConfig;
use crate::config::options::Conv;
use crate::factors::item_factors::ItemFactors;
use crate::factors::model_factors::ModelFactors;
use crate::linalg::huge_matrix::HugeMatrix;
use crate::linalg::normal_equations::{Factor, RANK};
use crate::linalg::rows::is_finite;
use crate::network::encoder::Encoder;
use crate::network::hash_embedding::{BITS, HashEmbedding, TrainedRows};
use crate::network::weights::Weights;

/// The limits of a training.
const MAX_DIM: usize = 4096;
const MAX_LAYERS: usize = 4;
/// The largest number of dense features of a node.
const MAX_DENSE: usize = 1 << 20;

/// A trained model without its graph.
///
/// Shapes: D numbers in an embedding without its last, M = 2 D, F dense features, R trained rows of the token table.
///
/// | tensor | shape |
/// | --- | --- |
/// | `table.bits`, `table.trained` | (1), (R); `u32` |
/// | `table.rows`, `table.bias` | (R, D), (R) |
/// | `dense` | (F, D) |
/// | `layers.N.message.weight`, `.bias`, `layers.N.update.weight`, `.bias` | (D, M), (M), (D + M, D), (D) |
/// | `head.hidden.weight`, `.bias`, `head.output.weight`, `.bias` | (D, D), (D), (D, D), (D) |
/// | `popularity` | (1) |
///
/// | `factors.N.ids`, `factors.N.items`, `factors.N.pulls` | (I, 2), (I, 64), (I, 64); ids are `u32` |
///
/// With [`Conv::Light`](crate::Conv::Light) there are no tensors of layers and head. N numbers the kinds with factors from 0, as in
/// the recipe; I items of that kind have factors. An id is the halves of a stable id, high half first.
#[derive(Clone, Debug, PartialEq)]
pub struct Model {
    /// The model configuration as JSON, see FORMAT.md. Lines of version 1 are read too.
    pub recipe: String,
    /// The tensors, in any order.
    pub tensors: Vec<Tensor>,
}

/// A named tensor.
#[derive(Clone, Debug, PartialEq)]
pub struct Tensor {
    /// A name of the table at [`Model`].
    pub name: String,
    /// The sizes, outermost first; values are row-major.
    pub shape: Vec<usize>,
    /// As many numbers as the shape says.
    pub values: Values,
}

/// The numbers of a tensor.
#[derive(Clone, Debug, PartialEq)]
pub enum Values {
    /// Parameters.
    F32(Vec<f32>),
    /// Row numbers of the token table.
    U32(Vec<u32>),
}

impl Values {
    fn len(&self) -> usize {
        match self {
            Self::F32(values) => values.len(),
            Self::U32(values) => values.len(),
        }
    }
}

/// The parts of a model that was read.
#[derive(Debug)]
pub(crate) struct LoadedModel {
    pub(crate) config: ModelConfig,
    pub(crate) encoder: Encoder,
    /// The factors of the kinds in [`ModelConfig::graph`], in that order.
    pub(crate) factors: ModelFactors,
}

impl Model {
    pub(crate) fn of(config: &ModelConfig, encoder: &Encoder, factors: &[ItemFactors]) -> Self {
        let table = &encoder.table;
        let (trained, rows) = (table.trained.rows().to_vec(), table.rows.values().to_vec());
        let (bias, count) = (table.bias.to_vec(), trained.len());
        let tensor = |name: &str, shape: Vec<usize>, values| Tensor { name: name.to_owned(), shape, values };
        let mut tensors = vec![
            tensor("table.bits", vec![1], Values::U32(vec![table.bits()])),
            tensor("table.trained", vec![count], Values::U32(trained)),
            tensor("table.rows", vec![count, config.dim], Values::F32(rows)),
            tensor("table.bias", vec![count], Values::F32(bias)),
        ];
        let names = names(config);
        for (name, (shape, values)) in names.iter().zip(encoder.weights.clone().tensors_mut()) {
            let shape = shape.map_or_else(|| vec![values.len()], |(rows, columns)| vec![rows, columns]);
            tensors.push(tensor(name, shape, Values::F32(values.to_vec())));
        }
        for (kind, factors) in factors.iter().enumerate() {
            let items = factors.ids.len();
            let halves = factors.ids.iter().flat_map(|&id| [(id >> 32) as u32, id as u32]);
            let rows = |rows: &[Factor]| Values::F32(rows.as_flattened().to_vec());
            let [ids, z, pulls] = factor_names(kind);
            tensors.push(tensor(&ids, vec![items, 2], Values::U32(halves.collect())));
            tensors.push(tensor(&z, vec![items, RANK], rows(&factors.z)));
            tensors.push(tensor(&pulls, vec![items, RANK], rows(&factors.pulls)));
        }
        Self { recipe: config.to_text(), tensors }
    }

    /// Checks names, shapes and values, and builds the encoder.
    ///
    /// # Errors
    /// [`Error::Model`] with the first inconsistency.
    pub(crate) fn parse(&self) -> Result<LoadedModel, Error> {
        let config = ModelConfig::from_text(&self.recipe)
            .map_err(|reason| refused(format!("its recipe is not understood: {reason}")))?;
        check(&config)?;
        let mut names = names(&config);
        let weights_count = names.len();
        names.extend((0..config.graph.len()).flat_map(factor_names));
        let table = ["table.bits", "table.trained", "table.rows", "table.bias"];
        let known = |name: &str| table.contains(&name) || names.iter().any(|other| other == name);
        if let Some(other) = self.tensors.iter().find(|tensor| !known(&tensor.name)) {
            return Err(refused(format!("its recipe knows no tensor {:?}", other.name)));
        }
        // Every tensor is there, so memory is taken for no more numbers than the model holds.
        for name in table.into_iter().chain(names.iter().map(String::as_str)) {
            self.tensor(name)?;
        }
        let stored: usize = self.tensors.iter().map(|tensor| tensor.values.len()).sum();
        if Weights::count(config.conv, config.layers, config.dim, config.dense_width()) > stored {
            return Err(refused(format!("its tensors hold {stored} numbers, its recipe needs more")));
        }
        let mut weights = Weights::zeros(config.conv, config.layers, config.dim, config.dense_width());
        let bits = match self.u32_values("table.bits", 1)? {
            [bits] if BITS.contains(bits) => *bits,
            other => return Err(refused(format!("table.bits is {other:?}, expected 8 to 24"))),
        };
        // The sizes are the caller's, so their product may exceed every number.
        let sizes = self.tensor("table.trained")?.shape.iter();
        let count = sizes.copied().try_fold(1, usize::checked_mul).unwrap_or(usize::MAX);
        let trained = self.u32_values("table.trained", count)?;
        if !TrainedRows::is_valid(bits, trained) {
            return Err(refused(format!("table.trained is not ascending and below 2^{bits}")));
        }
        let values = self.f32_values("table.rows", &[trained.len(), config.dim])?;
        let rows =
            HugeMatrix::from_values(trained.len(), config.dim, values).expect("real looks at the shape");
        let bias = Array1::from(self.f32_values("table.bias", &[trained.len()])?.to_vec());
        for (name, (shape, to)) in names[..weights_count].iter().zip(weights.tensors_mut()) {
            let shape = shape.map_or_else(|| vec![to.len()], |(rows, columns)| vec![rows, columns]);
            to.copy_from_slice(self.f32_values(name, &shape)?);
        }
        let trained = Arc::new(TrainedRows::new(bits, trained.iter().copied()));
        let encoder = Encoder { table: HashEmbedding { trained, rows, bias }, weights };
        let factors = (0..config.graph.len()).map(|kind| self.factors(kind, &config));
        let factors = factors.collect::<Result<Vec<ItemFactors>, Error>>()?;
        Ok(LoadedModel { config, encoder, factors: ModelFactors::new(factors) })
    }

    fn factors(&self, kind: usize, config: &ModelConfig) -> Result<ItemFactors, Error> {
        let [ids, z, pulls] = factor_names(kind);
        let count = self.tensor(&ids)?.values.len();
        let halves = self.u32_values(&ids, count)?.as_chunks::<2>().0;
        let stable_ids: Vec<u64> =
            halves.iter().map(|&[high, low]| u64::from(high) << 32 | u64::from(low)).collect();
        let shape = [stable_ids.len(), RANK];
        let (z, pulls) = (self.f32_values(&z, &shape)?, self.f32_values(&pulls, &shape)?);
        ItemFactors::read(config.graph[kind].clone(), stable_ids, z, pulls).map_err(refused)
    }

    fn tensor(&self, name: &str) -> Result<&Tensor, Error> {
        let mut found = self.tensors.iter().filter(|tensor| tensor.name == name);
        match (found.next(), found.next()) {
            (Some(tensor), None) => Ok(tensor),
            (None, _) => Err(refused(format!("the tensor {name:?} is missing"))),
            (Some(_), Some(_)) => Err(refused(format!("the tensor {name:?} is there twice"))),
        }
    }

    fn u32_values(&self, name: &str, count: usize) -> Result<&[u32], Error> {
        match &self.tensor(name)?.values {
            Values::U32(values) if values.len() == count => Ok(values),
            Values::U32(_) => Err(refused(format!("{name} does not hold as many numbers as it says"))),
            Values::F32(_) => Err(refused(format!("{name} is of fractions, expected whole numbers"))),
        }
    }

    fn f32_values(&self, name: &str, shape: &[usize]) -> Result<&[f32], Error> {
        let tensor = self.tensor(name)?;
        let Values::F32(values) = &tensor.values else {
            return Err(refused(format!("{name} is of whole numbers, expected fractions")));
        };
        let count: usize = shape.iter().product();
        if tensor.shape != shape || values.len() != count {
            return Err(refused(format!("{name} has the shape {:?}, expected {shape:?}", tensor.shape)));
        }
        match values.iter().find(|value| !value.is_finite()) {
            Some(value) => Err(refused(format!("{name} holds {value}, expected finite numbers"))),
            None => Ok(values),
        }
    }
}

/// The names of the weights, in the order of [`Weights::tensors_mut`].
fn names(config: &ModelConfig) -> Vec<String> {
    let affine = |name: String| [format!("{name}.weight"), format!("{name}.bias")];
    let mut names = vec!["dense".to_owned()];
    if config.conv == Conv::PinSage {
        for layer in 0..config.layers {
            names.extend(affine(format!("layers.{layer}.message")));
            names.extend(affine(format!("layers.{layer}.update")));
        }
        names.extend(affine("head.hidden".to_owned()));
        names.extend(affine("head.output".to_owned()));
    }
    names.push("popularity".to_owned());
    names
}

/// The names of the tensors of a kind's factors.
fn factor_names(kind: usize) -> [String; 3] {
    ["ids", "items", "pulls"].map(|part| format!("factors.{kind}.{part}"))
}

/// Checks that every parameter is finite.
///
/// # Errors
/// [`Error::NotFinite`] with the tensor. Cost: one read of all parameters.
pub(crate) fn check_finite(config: &ModelConfig, encoder: &Encoder) -> Result<(), Error> {
    let refuse = |name: &str| Err(Error::NotFinite { found: format!("the parameter {name} of the model") });
    if !is_finite(encoder.table.rows.values()) {
        return refuse("table.rows");
    }
    if !encoder.table.bias.iter().all(|value| value.is_finite()) {
        return refuse("table.bias");
    }
    for (name, (_, values)) in names(config).iter().zip(encoder.weights.clone().tensors_mut()) {
        if !is_finite(values) {
            return refuse(name);
        }
    }
    Ok(())
}

/// Checks the limits that a training also keeps.
pub(crate) fn check(config: &ModelConfig) -> Result<(), Error> {
    config.walks.validate()?;
    if !(1..=MAX_DIM).contains(&config.dim) {
        return Err(refused(format!("its recipe has dim {}, expected 1 to {MAX_DIM}", config.dim)));
    }
    if config.layers > MAX_LAYERS {
        return Err(refused(format!("its recipe has {} layers, expected 0 to {MAX_LAYERS}", config.layers)));
    }
    let widths: Option<usize> =
        config.dense.iter().try_fold(0usize, |sum, (_, width)| sum.checked_add(*width));
    if widths.is_none_or(|width| width > MAX_DENSE) {
        return Err(refused(format!("its recipe has more than {MAX_DENSE} dense features")));
    }
    if config.policies.is_empty() {
        return Err(refused("its recipe has no target".to_owned()));
    }
    Ok(())
}

pub(crate) fn refused(reason: String) -> Error {
    Error::Model { reason }
}

#[cfg(test)]
mod tests {
    use super::{LoadedModel, Model, Values};
    use crate::config::model_config::ModelConfig;
    use crate::network::encoder::Encoder;

    fn model() -> Model {
        Model::of(&ModelConfig::example(), &Encoder::empty(&ModelConfig::example()), &[])
    }

    #[test]
    fn a_model_is_read_back_as_it_was() {
        let LoadedModel { config, encoder, factors } = model().parse().expect("its own form");
        assert_eq!(Model::of(&config, &encoder, &factors.get().expect("given")), model());
    }

    #[test]
    fn whatever_does_not_fit_is_named() {
        let refusal = |change: &dyn Fn(&mut Model)| {
            let mut model = model();
            change(&mut model);
            model.parse().expect_err("it does not fit").to_string()
        };
        assert!(refusal(&|model| model.recipe = model.recipe.replace("damping", "mood")).contains("mood"));
        assert!(
            refusal(&|model| model.recipe = model.recipe.replace("\"dim\":7", "\"dim\":0")).contains("dim 0")
        );
        let sizes = vec![usize::MAX, 2];
        assert!(refusal(&|model| model.tensors[1].shape = sizes.clone()).contains("table.trained"));
        for at in 0..model().tensors.len() {
            let name = model().tensors[at].name.clone();
            assert!(refusal(&|model| drop(model.tensors.remove(at))).contains(&name), "{name} is missing");
            assert!(refusal(&|model| model.tensors.push(model.tensors[at].clone())).contains(&name));
            if let Values::F32(values) = &model().tensors[at].values
                && !values.is_empty()
            {
                let refusal = refusal(&|model| {
                    if let Values::F32(values) = &mut model.tensors[at].values {
                        values[0] = f32::NAN;
                    }
                });
                assert!(refusal.contains(&name) && refusal.contains("NaN"), "{refusal}");
            }
        }
    }
}

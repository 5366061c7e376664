//! `model.safetensors`, the file of a model: its tensors, and its recipe in the metadata.

use std::collections::HashMap;
use std::io::Read;
use std::path::Path;

use hedgerow::{Model, Tensor, Values};
use safetensors::tensor::{Dtype, SafeTensors, TensorView, serialize};

use crate::core::failure::Failure;
use crate::core::location::Place;
use crate::input::plain_file;

/// The name of the file in an export.
pub(crate) const MODEL: &str = "model.safetensors";
/// The metadata key of the recipe.
const RECIPE: &str = "hedgerow.recipe";

/// The bytes of the file.
pub(crate) fn to_bytes(model: &Model) -> Result<Vec<u8>, Failure> {
    let failed = |error: safetensors::SafeTensorError| {
        Failure::Refused(format!("the model cannot be written as safetensors: {error}"))
    };
    let bytes: Vec<Vec<u8>> = model
        .tensors
        .iter()
        .map(|tensor| match &tensor.values {
            Values::F32(values) => values.iter().flat_map(|value| value.to_le_bytes()).collect(),
            Values::U32(values) => values.iter().flat_map(|value| value.to_le_bytes()).collect(),
        })
        .collect();
    let mut views = Vec::new();
    for (tensor, bytes) in model.tensors.iter().zip(&bytes) {
        let kind = match tensor.values {
            Values::F32(_) => Dtype::F32,
            Values::U32(_) => Dtype::U32,
        };
        views.push((&tensor.name, TensorView::new(kind, tensor.shape.clone(), bytes).map_err(failed)?));
    }
    // A single entry: with several the order, and so the bytes, would vary from run to run.
    let metadata = HashMap::from([(RECIPE.to_owned(), model.recipe.clone())]);
    serialize(views, Some(metadata)).map_err(failed)
}

/// Reads the file.
pub(crate) fn read(path: &Path) -> Result<Model, Failure> {
    let mut bytes = Vec::new();
    plain_file::open(path)
        .and_then(|mut file| file.read_to_end(&mut bytes))
        .map_err(|source| Failure::file(path, "read", source))?;
    let name = path.display().to_string();
    let bad = |problem: String| Failure::from(Place::new(&name, 1, 1).problem(problem));
    let failed = |error: safetensors::SafeTensorError| bad(format!("not a safetensors file: {error}"));
    let (_, header) = SafeTensors::read_metadata(&bytes).map_err(failed)?;
    let recipe = header.metadata().as_ref().and_then(|metadata| metadata.get(RECIPE));
    let recipe =
        recipe.ok_or_else(|| bad(format!("the metadata has no {RECIPE}: not a model of hedgerow")))?;
    let mut tensors = Vec::new();
    for (name, view) in SafeTensors::deserialize(&bytes).map_err(failed)?.tensors() {
        let (words, _) = view.data().as_chunks::<4>();
        let values = match view.dtype() {
            Dtype::F32 => Values::F32(words.iter().map(|word| f32::from_le_bytes(*word)).collect()),
            Dtype::U32 => Values::U32(words.iter().map(|word| u32::from_le_bytes(*word)).collect()),
            other => return Err(bad(format!("{name} is of {other:?}, expected F32 or U32"))),
        };
        tensors.push(Tensor { name, shape: view.shape().to_vec(), values });
    }
    Ok(Model { recipe: recipe.clone(), tensors })
}

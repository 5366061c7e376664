//! The starting weights of a training: random ones, or those of the last generation.

use hedgerow_storage::Generation;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::config::error::Error;
use crate::config::model_config::ModelConfig;
use crate::config::options::Conv;
use crate::network::encoder::Encoder;
use crate::network::hash_embedding::HashEmbedding;
use crate::network::inputs::Inputs;
use crate::network::weights::Weights;

/// Starting values of the token table are below this. They are small, so that the training outweighs them. Measured
/// on pinterest-related after equal training: hr@100 .448 with 0.01, .423 with 0.1.
const TABLE_SCALE: f32 = 0.01;
/// The starting weight of the log-degree in a score.
const POPULARITY: f32 = 0.08;

/// The generation of a warm start.
pub(crate) struct LastGeneration<'a> {
    pub(crate) generation: Generation,
    pub(crate) config: &'a ModelConfig,
    pub(crate) encoder: &'a Encoder,
}

/// Random weights.
///
/// Determinism: a function of the seed and the set of tokens.
pub(crate) fn random(config: &ModelConfig, inputs: &Inputs, seed: u64) -> Encoder {
    let table = HashEmbedding::new(&distinct_tokens(inputs), config.dim, seed, TABLE_SCALE);
    let mut weights = Weights::zeros(config.conv, config.layers, config.dim, config.dense_width());
    let mut rng = StdRng::seed_from_u64(seed);
    weights.initialize(|| rng.random_range(-1.0..1.0));
    weights.popularity[0] = if config.popularity { POPULARITY } else { 0.0 };
    Encoder { table, weights }
}

/// The weights of the last generation, with its token table grown for the present tokens.
///
/// # Errors
/// [`Error::WarmStart`] if there is no generation, or its weights have another shape or meaning.
pub(crate) fn warm(
    config: &ModelConfig,
    inputs: &Inputs,
    seed: u64,
    last: Option<LastGeneration<'_>>,
) -> Result<Encoder, Error> {
    let last = last.ok_or_else(|| Error::WarmStart {
        reason: "there is no generation to start from; train without warm first".to_owned(),
    })?;
    // The shapes must be equal.
    let LastGeneration { generation, config: last_config, encoder } = last;
    let refuse = |what: &str, found: String, requested: String| {
        let reason = format!(
            "generation {generation} has {what} {found}, requested {requested}; request the same, or train without warm"
        );
        Err(Error::WarmStart { reason })
    };
    if last_config.dim != config.dim {
        return refuse("dim", last_config.dim.to_string(), config.dim.to_string());
    }
    if last_config.layers != config.layers {
        return refuse("layers", last_config.layers.to_string(), config.layers.to_string());
    }
    if last_config.conv != config.conv {
        let name = |conv| if conv == Conv::Light { "light" } else { "pinsage" }.to_owned();
        return refuse("conv", name(last_config.conv), name(config.conv));
    }
    if last_config.pooling != config.pooling {
        return refuse("pooling", format!("{:?}", last_config.pooling), format!("{:?}", config.pooling));
    }
    if last_config.dense != config.dense || last_config.degree_input != config.degree_input {
        return refuse("dense blocks", dense_inputs(last_config), dense_inputs(config));
    }
    // New tokens get rows of their own; the rows of earlier tokens are kept.
    let mut table = HashEmbedding::grown(&encoder.table, &distinct_tokens(inputs), seed, TABLE_SCALE);
    // The weight of popularity starts at its default if the last generation had none.
    let mut weights = encoder.weights.clone();
    match (config.popularity, last_config.popularity) {
        (true, true) => {}
        (true, false) => weights.popularity[0] = POPULARITY,
        (false, _) => {
            weights.popularity[0] = 0.0;
            table.bias.fill(0.0);
        }
    }
    Ok(Encoder { table, weights })
}

fn distinct_tokens(inputs: &Inputs) -> Vec<u64> {
    let mut tokens: Vec<u64> = inputs.tokens.iter().flatten().copied().collect();
    tokens.sort_unstable();
    tokens.dedup();
    tokens
}

fn dense_inputs(config: &ModelConfig) -> String {
    let mut dense_inputs: Vec<String> =
        config.dense.iter().map(|(name, width)| format!("{name} of {width}")).collect();
    if config.degree_input {
        dense_inputs.push("the degree".to_owned());
    }
    if dense_inputs.is_empty() { "none".to_owned() } else { dense_inputs.join(", ") }
}

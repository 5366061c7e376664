//! The choice of a model by a share of all users, for comparing models on them.

use hedgerow_storage::StableId;
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// The seed of the hash that chooses. Another one would move users to other models.
const SEED: u64 = 0x6865_6467_6572_6f77;

/// The model of a user. Models get shares of all users in proportion to their weights. `None` if all weights are 0.
///
/// # Determinism
/// The same user gets the same model in every store and process, whatever the order of the list. If a weight changes, only as many
/// users get another model as the shares of those before it by name, and its own, move.
///
/// # Example
/// ```
/// # use hedgerow_model::choose_model;
/// # use hedgerow_storage::NodeRef;
/// # fn main() -> Result<(), hedgerow_storage::Error> {
/// let user = NodeRef::new("user", "7")?.stable_id();
/// let chosen = choose_model(&[("main", 90), ("tonight", 10)], user);
/// assert_eq!(chosen, choose_model(&[("tonight", 10), ("main", 90)], user));
/// # Ok(())
/// # }
/// ```
pub fn choose_model<'a>(models: &[(&'a str, u32)], user: StableId) -> Option<&'a str> {
    let mut models = models.to_vec();
    models.sort_unstable();
    let total: u64 = models.iter().map(|&(_, weight)| u64::from(weight)).sum();
    let hash = xxh3_64_with_seed(&user.get().to_le_bytes(), SEED);
    // A number below the total: the hash as a fraction of all hashes.
    let mut place = ((u128::from(hash) * u128::from(total)) >> 64) as u64;
    for (name, weight) in models {
        match place.checked_sub(weight.into()) {
            Some(rest) => place = rest,
            None => return Some(name),
        }
    }
    None
}

//! The factors of a model, which may be read when they are first used. Knows nothing of files.

use std::fmt;
use std::sync::{Arc, OnceLock};

use crate::config::error::Error;
use crate::factors::item_factors::ItemFactors;

/// Reads the factors of all kinds.
type Read = Box<dyn Fn() -> Result<Vec<ItemFactors>, Error> + Send + Sync>;

/// The factors of all kinds of a model. Clones share them.
#[derive(Clone)]
pub(crate) struct ModelFactors(Arc<Source>);

struct Source {
    read: Read,
    factors: OnceLock<Arc<[ItemFactors]>>,
}

impl ModelFactors {
    pub(crate) fn new(factors: Vec<ItemFactors>) -> Self {
        let read = || unreachable!("they are there");
        Self(Arc::new(Source { read: Box::new(read), factors: OnceLock::from(Arc::from(factors)) }))
    }

    /// Factors that `read` gives when they are first used.
    pub(crate) fn read_later(
        read: impl Fn() -> Result<Vec<ItemFactors>, Error> + Send + Sync + 'static,
    ) -> Self {
        Self(Arc::new(Source { read: Box::new(read), factors: OnceLock::new() }))
    }

    /// The factors. Cost: the first time they are read, 520 bytes an item.
    ///
    /// # Errors
    /// An error of reading them.
    pub(crate) fn get(&self) -> Result<Arc<[ItemFactors]>, Error> {
        let Source { read, factors } = &*self.0;
        if let Some(factors) = factors.get() {
            return Ok(Arc::clone(factors));
        }
        // Two threads may read them. Neither waits for the other, which may be waiting for a task of this one.
        let found = read()?.into();
        Ok(Arc::clone(factors.get_or_init(|| found)))
    }
}

impl Default for ModelFactors {
    fn default() -> Self {
        Self::new(Vec::new())
    }
}

impl fmt::Debug for ModelFactors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ModelFactors").field("factors", &self.0.factors).finish_non_exhaustive()
    }
}

//! The options of an updater.

use std::time::Duration;

use crate::config::error::Error;

/// The default of [`UpdaterOptions::max_age`].
const MAX_AGE: Duration = Duration::from_secs(1);
/// The default of [`UpdaterOptions::max_dirty`].
const MAX_DIRTY: u64 = 1000;
/// The default of [`UpdaterOptions::retry_first`].
const RETRY_FIRST: Duration = Duration::from_millis(100);
/// The default of [`UpdaterOptions::retry_at_most`].
const RETRY_AT_MOST: Duration = Duration::from_secs(30);

/// The options of an updater: the times of its refreshes, and their threads.
///
/// ```
/// use std::time::Duration;
/// use hedgerow_model::UpdaterOptions;
///
/// let options = UpdaterOptions::default();
/// assert_eq!((options.max_age, options.max_dirty), (Duration::from_secs(1), 1000));
/// assert_eq!(options.retry_first, Duration::from_millis(100));
/// assert_eq!(options.retry_at_most, Duration::from_secs(30));
/// assert_eq!((options.persist_every, options.threads), (None, 0));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct UpdaterOptions {
    /// The age at which a commit that is not embedded makes a refresh due. With zero, every commit does at once.
    pub max_age: Duration,
    /// The number of dirty nodes at which a refresh is due. With `u64::MAX` only the age counts.
    pub max_dirty: u64,
    /// The time between two calls of [`Engine::persist`](crate::Engine::persist), which writes the rows that changed, in a thread of
    /// its own. `None` leaves it to the host: the next open then refreshes from the rows that were stored last. One to ten minutes suit
    /// most hosts.
    pub persist_every: Option<Duration>,
    /// The time between an error and the next attempt. It doubles after each further error.
    pub retry_first: Duration,
    /// The longest time between an error and the next attempt.
    pub retry_at_most: Duration,
    /// Threads that only refreshes run on. With 0 they run on the global rayon pool, behind the host's tasks. None of these tasks may
    /// wait for a refresh then.
    pub threads: usize,
}

impl Default for UpdaterOptions {
    fn default() -> Self {
        Self {
            max_age: MAX_AGE,
            max_dirty: MAX_DIRTY,
            persist_every: None,
            retry_first: RETRY_FIRST,
            retry_at_most: RETRY_AT_MOST,
            threads: 0,
        }
    }
}

impl UpdaterOptions {
    /// Checks every value.
    pub fn validate(&self) -> Result<(), Error> {
        let refuse = |option, found: String, expected| Err(Error::Option { option, found, expected });
        if self.max_dirty == 0 {
            return refuse("max_dirty", "0".into(), "1 or more");
        }
        if self.retry_first.is_zero() {
            return refuse("retry_first", format!("{:?}", self.retry_first), "a time above 0");
        }
        if self.retry_at_most < self.retry_first {
            return refuse("retry_at_most", format!("{:?}", self.retry_at_most), "at least retry_first");
        }
        Ok(())
    }
}

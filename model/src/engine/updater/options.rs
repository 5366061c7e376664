//! What a host may choose about an updater.

use std::time::Duration;

use crate::config::error::Error;

/// The age at which a commit that is not embedded makes a refresh due.
const MAX_AGE: Duration = Duration::from_secs(1);
/// The number of dirty nodes at which a refresh is due.
const MAX_DIRTY: u64 = 1000;
/// The time between an error and the next attempt.
const RETRY_FIRST: Duration = Duration::from_millis(100);
/// That time after many errors.
const RETRY_AT_MOST: Duration = Duration::from_secs(30);

/// When an updater refreshes.
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
pub struct UpdaterOptions {
    /// The age at which a commit that is not embedded makes a refresh due. At zero, any commit does once it is seen.
    pub max_age: Duration,
    /// The number of dirty nodes at which a refresh is due; `u64::MAX` leaves it to the age.
    pub max_dirty: u64,
    /// How often the embeddings are stored, where they changed. It writes all rows. `None` leaves it to the host:
    /// the next open then refreshes from what was last stored.
    pub persist_every: Option<Duration>,
    /// The time between an error and the next attempt; twice as long after each further one.
    pub retry_first: Duration,
    /// That time at most.
    pub retry_at_most: Duration,
    /// Threads that refreshes run on, kept for them. 0 takes the global rayon pool, where they queue behind the host's
    /// tasks, none of which may wait for a refresh then.
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

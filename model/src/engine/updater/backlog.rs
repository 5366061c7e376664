//! The age of commits that are not embedded yet, as far as polls of the store's epoch show it.
//! Must not know the store and the clock: callers pass times and epochs.

use std::collections::VecDeque;
use std::time::Instant;

use hedgerow_storage::Epoch;

/// Most polls that are kept apart. Later ones are joined with the last, as if all commits had come with it.
const MOST_POLLS: usize = 64;

/// The commits between polls. Each counts from the poll before the one that saw it, so its age is never too low.
pub(super) struct Backlog {
    /// The time of the last poll.
    polled: Instant,
    epoch: Epoch,
    /// For each poll that saw new commits, the time of the poll before it and the last new epoch.
    waiting: VecDeque<(Instant, Epoch)>,
}

impl Backlog {
    /// A backlog in which all present commits count from now.
    pub(super) fn new(now: Instant) -> Self {
        Self { polled: now, epoch: Epoch::new(0), waiting: VecDeque::new() }
    }

    /// Notes a poll. Returns the time since when the oldest commit that is not embedded waits, if there is one.
    pub(super) fn poll(&mut self, now: Instant, epoch: Epoch, embedded: Option<Epoch>) -> Option<Instant> {
        if epoch > self.epoch {
            let is_full = self.waiting.len() == MOST_POLLS;
            match self.waiting.back_mut() {
                Some((_, last)) if is_full => *last = epoch,
                _ => self.waiting.push_back((self.polled, epoch)),
            }
            self.epoch = epoch;
        }
        self.polled = now;
        while self.waiting.front().is_some_and(|&(_, last)| embedded >= Some(last)) {
            self.waiting.pop_front();
        }
        self.waiting.front().map(|&(since, _)| since)
    }
}

#[cfg(test)]
mod tests {
    use super::{Backlog, MOST_POLLS};
    use hedgerow_storage::Epoch;
    use std::time::{Duration, Instant};

    #[test]
    fn a_commit_counts_from_the_poll_before_the_one_that_saw_it() {
        let start = Instant::now();
        let at = |second| start + Duration::from_secs(second);
        let mut backlog = Backlog::new(start);
        let mut poll = |second, epoch, embedded: Option<u64>| {
            backlog.poll(at(second), Epoch::new(epoch), embedded.map(Epoch::new))
        };
        assert_eq!(poll(1, 0, None), None, "an empty store");
        assert_eq!(poll(2, 3, None), Some(at(1)), "no embeddings yet");
        assert_eq!(poll(3, 3, Some(3)), None);
        assert_eq!(poll(4, 5, Some(3)), Some(at(3)));
        assert_eq!(poll(5, 7, Some(3)), Some(at(3)), "the oldest still waits");
        assert_eq!(poll(6, 7, Some(4)), Some(at(3)), "epoch 5 came no later");
        assert_eq!(poll(7, 7, Some(5)), Some(at(4)));
        assert_eq!(poll(8, 7, Some(9)), None, "a refresh reached an epoch that no poll saw");
    }

    #[test]
    fn a_backlog_without_refreshes_keeps_a_bounded_number_of_polls() {
        let start = Instant::now();
        let mut backlog = Backlog::new(start);
        for epoch in 1..1000 {
            assert_eq!(backlog.poll(start, Epoch::new(epoch), None), Some(start));
        }
        assert_eq!(backlog.waiting.len(), MOST_POLLS);
        assert_eq!(backlog.poll(start, Epoch::new(999), Some(Epoch::new(999))), None);
    }
}

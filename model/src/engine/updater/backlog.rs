//! When commits came that are not embedded yet, as far as someone can know who looks now and then. Knows neither
//! store nor clock; it is told what was seen when.

use std::collections::VecDeque;
use std::time::Instant;

use hedgerow_storage::Epoch;

/// Looks that are told apart; more are taken together, as if all had come with the first.
const LOOKS: usize = 64;

/// Commits between looks. Each counts from the look before it was seen, so none is taken for younger than it is.
pub(super) struct Backlog {
    looked: Instant,
    epoch: Epoch,
    /// By look that found something new: the one before it, and the last epoch that it found.
    found: VecDeque<(Instant, Epoch)>,
}

impl Backlog {
    /// Whatever is there already counts from now.
    pub(super) fn new(now: Instant) -> Self {
        Self { looked: now, epoch: Epoch::new(0), found: VecDeque::new() }
    }

    /// Notes a look; says since when the oldest commit waits that is not embedded, if there is one.
    pub(super) fn validate(
        &mut self,
        now: Instant,
        epoch: Epoch,
        embedded: Option<Epoch>,
    ) -> Option<Instant> {
        if epoch > self.epoch {
            let is_full = self.found.len() == LOOKS;
            match self.found.back_mut() {
                Some((_, last)) if is_full => *last = epoch,
                _ => self.found.push_back((self.looked, epoch)),
            }
            self.epoch = epoch;
        }
        self.looked = now;
        while self.found.front().is_some_and(|&(_, last)| embedded >= Some(last)) {
            self.found.pop_front();
        }
        self.found.front().map(|&(since, _)| since)
    }
}

#[cfg(test)]
mod tests {
    use super::{Backlog, LOOKS};
    use hedgerow_storage::Epoch;
    use std::time::{Duration, Instant};

    #[test]
    fn a_commit_counts_from_the_look_before_it_was_seen_until_it_is_embedded() {
        let start = Instant::now();
        let at = |second| start + Duration::from_secs(second);
        let mut backlog = Backlog::new(start);
        let mut look = |second, epoch, embedded: Option<u64>| {
            backlog.validate(at(second), Epoch::new(epoch), embedded.map(Epoch::new))
        };
        assert_eq!(look(1, 0, None), None, "an empty store");
        assert_eq!(look(2, 3, None), Some(at(1)), "nothing is trained");
        assert_eq!(look(3, 3, Some(3)), None);
        assert_eq!(look(4, 5, Some(3)), Some(at(3)));
        assert_eq!(look(5, 7, Some(3)), Some(at(3)), "the oldest waits on");
        assert_eq!(look(6, 7, Some(4)), Some(at(3)), "epoch 5 came no later");
        assert_eq!(look(7, 7, Some(5)), Some(at(4)));
        assert_eq!(look(8, 7, Some(9)), None, "someone refreshed past what was seen");
    }

    #[test]
    fn a_backlog_that_nobody_embeds_takes_no_more_than_so_many_looks() {
        let start = Instant::now();
        let mut backlog = Backlog::new(start);
        for epoch in 1..1000 {
            assert_eq!(backlog.validate(start, Epoch::new(epoch), None), Some(start));
        }
        assert_eq!(backlog.found.len(), LOOKS);
        assert_eq!(backlog.validate(start, Epoch::new(999), Some(Epoch::new(999))), None);
    }
}

//! A history of concurrent commits and reads of one process, and the rules that it must obey.
//!
//! Each batch makes one epoch. It adds a node with edges, and sets the one register of the store to its own name. So an epoch
//! determines what a read at it shows: the batches up to it, and the register of the last of them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// A batch: its thread, and its number in the thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct BatchId {
    pub(crate) thread: u64,
    pub(crate) number: u64,
}

impl BatchId {
    /// A hash by which a set of batches is recognized: that of a set is the exclusive or of its members'.
    pub(crate) fn hash(self) -> u64 {
        let mut bits = (self.thread << 40 ^ self.number).wrapping_add(0x9e37_79b9_7f4a_7c15);
        bits = (bits ^ bits >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ bits >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ bits >> 31
    }

    /// The number of edges that the batch adds.
    pub(crate) fn edges(self) -> u64 {
        1 + (self.thread + self.number) % 5
    }
}

impl fmt::Display for BatchId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.thread, self.number)
    }
}

/// A call, with its beginning and its end in nanoseconds since the process started.
#[derive(Clone, Debug)]
pub(crate) struct Commit {
    pub(crate) batch: BatchId,
    pub(crate) from: u64,
    pub(crate) to: u64,
    pub(crate) epoch: u64,
}

/// A snapshot that a thread took, and what it shows.
#[derive(Clone, Debug)]
pub(crate) struct Read {
    pub(crate) thread: u64,
    pub(crate) from: u64,
    pub(crate) to: u64,
    pub(crate) seen: Seen,
}

/// The content of a snapshot.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) epoch: u64,
    /// The number of batches, and the hash of their set.
    pub(crate) batches: u64,
    pub(crate) hash: u64,
    pub(crate) register: Option<BatchId>,
    /// The number of batches of which only a part is there.
    pub(crate) torn: u64,
}

/// The store as it is opened after a process ended.
#[derive(Clone, Debug, Default)]
pub(crate) struct Recovered {
    pub(crate) epoch: u64,
    pub(crate) batches: BTreeSet<BatchId>,
    pub(crate) register: Option<BatchId>,
    pub(crate) torn: u64,
}

/// The calls of one process, between two openings of the store.
#[derive(Clone, Debug, Default)]
pub(crate) struct History {
    /// Batches whose commit began.
    pub(crate) begun: BTreeSet<BatchId>,
    /// Commits that returned.
    pub(crate) commits: Vec<Commit>,
    pub(crate) reads: Vec<Read>,
}

impl History {
    /// Checks the history against the store before and after it.
    ///
    /// # Errors
    /// The first rule that is broken, in words.
    pub(crate) fn check(&self, before: &Recovered, after: &Recovered) -> Result<(), String> {
        self.check_recovery(before, after)?;
        self.check_real_time()?;
        // Batches that were under way at the end may have any of the epochs that no commit returned.
        let acknowledged: BTreeMap<u64, BatchId> = self.commits.iter().map(|c| (c.epoch, c.batch)).collect();
        let known: BTreeSet<BatchId> = acknowledged.values().copied().collect();
        let open: Vec<u64> =
            (before.epoch + 1..=after.epoch).filter(|epoch| !acknowledged.contains_key(epoch)).collect();
        let unknown: Vec<BatchId> = after
            .batches
            .iter()
            .filter(|batch| !before.batches.contains(batch) && !known.contains(batch))
            .copied()
            .collect();
        let mut reason = String::new();
        for order in permutations(&unknown) {
            let mut batches = acknowledged.clone();
            batches.extend(open.iter().copied().zip(order));
            match self.check_reads(before, after, &batches) {
                Ok(()) => return Ok(()),
                Err(broken) => reason = broken,
            }
        }
        Err(reason)
    }

    /// Every acknowledged batch is there, whole; epochs have no gaps; nothing came from nowhere.
    fn check_recovery(&self, before: &Recovered, after: &Recovered) -> Result<(), String> {
        let mut epochs = BTreeSet::new();
        for Commit { batch, epoch, .. } in &self.commits {
            if !epochs.insert(*epoch) || *epoch <= before.epoch || *epoch > after.epoch {
                return Err(format!(
                    "batch {batch} has epoch {epoch}, another one's or none between the openings"
                ));
            }
            if !after.batches.contains(batch) {
                return Err(format!("batch {batch} was acknowledged and is lost"));
            }
        }
        if after.torn > 0 {
            return Err(format!("{} batches are torn after the recovery", after.torn));
        }
        if let Some(lost) = before.batches.difference(&after.batches).next() {
            return Err(format!("batch {lost} was in the store before and is lost"));
        }
        let mut new = after.batches.difference(&before.batches);
        if let Some(stray) = new.clone().find(|batch| !self.begun.contains(batch)) {
            return Err(format!("batch {stray} was never committed"));
        }
        let (added, epochs) = (new.by_ref().count() as u64, after.epoch - before.epoch.min(after.epoch));
        if added != epochs {
            return Err(format!("{added} batches made {epochs} epochs"));
        }
        Ok(())
    }

    /// A commit that ended before another one began has the smaller epoch. Reads of a thread never go back. A read shows
    /// every commit that ended before it began, and none that begins after it.
    fn check_real_time(&self) -> Result<(), String> {
        let mut commits: Vec<&Commit> = self.commits.iter().collect();
        commits.sort_by_key(|commit| commit.epoch);
        let mut latest_start: Option<&Commit> = None;
        for commit in commits.iter().copied() {
            if let Some(earlier) = latest_start.filter(|earlier| commit.to < earlier.from) {
                return Err(format!(
                    "batch {} ended before {} began, and has the later epoch {} than {}",
                    commit.batch, earlier.batch, commit.epoch, earlier.epoch
                ));
            }
            if latest_start.is_none_or(|earlier| commit.from > earlier.from) {
                latest_start = Some(commit);
            }
        }
        let mut last: BTreeMap<u64, &Read> = BTreeMap::new();
        let mut reads: Vec<&Read> = self.reads.iter().collect();
        reads.sort_by_key(|read| read.from);
        // Ends of commits in order, with the largest epoch so far.
        commits.sort_by_key(|commit| commit.to);
        let (mut ended, mut newest) = (commits.iter().peekable(), 0);
        for read in reads {
            while let Some(commit) = ended.next_if(|commit| commit.to < read.from) {
                newest = newest.max(commit.epoch);
            }
            if read.seen.epoch < newest {
                return Err(format!(
                    "a read of epoch {} began after the commit of epoch {newest} ended",
                    read.seen.epoch
                ));
            }
            if let Some(before) =
                last.insert(read.thread, read).filter(|before| before.seen.epoch > read.seen.epoch)
            {
                return Err(format!(
                    "reader {} went back from epoch {} to {}",
                    read.thread, before.seen.epoch, read.seen.epoch
                ));
            }
        }
        for read in &self.reads {
            let future =
                self.commits.iter().find(|commit| commit.epoch == read.seen.epoch && commit.from > read.to);
            if let Some(commit) = future {
                return Err(format!("a read showed batch {} before its commit began", commit.batch));
            }
        }
        Ok(())
    }

    /// Each read shows exactly the batches up to its epoch. What was shown is durable.
    fn check_reads(
        &self,
        before: &Recovered,
        after: &Recovered,
        batches: &BTreeMap<u64, BatchId>,
    ) -> Result<(), String> {
        // The expected content of each epoch, from the one before the history on.
        let mut expected: BTreeMap<u64, Seen> = BTreeMap::new();
        let mut seen = Seen {
            epoch: before.epoch,
            batches: before.batches.len() as u64,
            hash: before.batches.iter().fold(0, |hash, batch| hash ^ batch.hash()),
            register: before.register,
            torn: 0,
        };
        expected.insert(before.epoch, seen.clone());
        for (&epoch, &batch) in batches {
            seen = Seen {
                epoch,
                batches: seen.batches + 1,
                hash: seen.hash ^ batch.hash(),
                register: Some(batch),
                torn: 0,
            };
            expected.insert(epoch, seen.clone());
        }
        if seen.register != after.register {
            return Err("the register after the recovery is not that of the last epoch".to_owned());
        }
        for read in &self.reads {
            match expected.get(&read.seen.epoch) {
                Some(expected) if *expected == read.seen => {}
                Some(expected) => {
                    return Err(format!("a read showed {:?}, expected {expected:?}", read.seen));
                }
                None => return Err(format!("a read showed epoch {}, which is lost", read.seen.epoch)),
            }
        }
        Ok(())
    }
}

/// All orders of a few batches.
fn permutations(batches: &[BatchId]) -> Vec<Vec<BatchId>> {
    if batches.is_empty() {
        return vec![Vec::new()];
    }
    let first = |at: usize| {
        let rest: Vec<BatchId> =
            batches.iter().enumerate().filter(|(other, _)| *other != at).map(|(_, b)| *b).collect();
        permutations(&rest).into_iter().map(move |order| [&[batches[at]], &order[..]].concat())
    };
    (0..batches.len()).flat_map(first).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A change that makes a sound history break a rule.
    type Breaks = fn(&mut History, &mut Recovered);

    fn id(number: u64) -> BatchId {
        BatchId { thread: 0, number }
    }

    /// Three commits one after another, a read after each, and one batch that was under way at the end.
    fn sound() -> (History, Recovered, Recovered) {
        let mut history = History::default();
        let mut seen = Seen::default();
        for number in 1..=3 {
            let (batch, from) = (id(number), number * 100);
            history.begun.insert(batch);
            history.commits.push(Commit { batch, from, to: from + 10, epoch: number });
            seen = Seen {
                epoch: number,
                batches: number,
                hash: seen.hash ^ batch.hash(),
                register: Some(batch),
                torn: 0,
            };
            history.reads.push(Read { thread: 1, from: from + 20, to: from + 30, seen: seen.clone() });
        }
        history.begun.insert(id(4));
        let batches = (1..=4).map(id).collect();
        (history, Recovered::default(), Recovered { epoch: 4, batches, register: Some(id(4)), torn: 0 })
    }

    #[test]
    fn a_sound_history_passes_and_each_broken_one_is_told() {
        let (history, before, after) = sound();
        assert_eq!(history.check(&before, &after), Ok(()));
        let broken: [(&str, Breaks); 9] = [
            ("is lost", |_, after| after.batches.retain(|batch| *batch != id(2))),
            ("batches made", |_, after| after.epoch += 1),
            ("are torn", |_, after| after.torn = 1),
            ("never committed", |history, _| history.begun.retain(|batch| *batch != id(4))),
            ("another one's", |history, _| history.commits[1].epoch = 1),
            ("has the later epoch", |history, _| {
                history.commits[0].epoch = 2;
                history.commits[1].epoch = 1;
            }),
            ("began after the commit", |history, _| history.reads[2].seen.epoch = 2),
            ("went back", |history, _| {
                history.reads[2].seen.epoch = 4;
                history.reads[0].from = 325;
                history.reads[0].seen.epoch = 3;
            }),
            ("a read showed", |history, _| history.reads[1].seen.hash ^= 1),
        ];
        for (reason, change) in broken {
            let (mut history, before, mut after) = sound();
            change(&mut history, &mut after);
            let found = history.check(&before, &after).expect_err(reason);
            assert!(found.contains(reason), "{found}, expected {reason}");
        }
    }
}

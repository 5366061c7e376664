//! Counts of rounds and failures, and the lines that report them.

use crate::store_check::{Checked, Fault};

/// Counts over all rounds of a test.
#[derive(Debug, Default)]
pub(crate) struct RoundCounts {
    rounds: u64,
    /// Rounds whose job was stopped before its end.
    interrupted: u64,
    /// Rounds that compared the digests of a refresh and a rebuild.
    compared: u64,
    /// Rounds of those whose refresh recomputed only a part.
    partial: u64,
    failed: u64,
    lost: u64,
    torn: u64,
    wrong_generations: u64,
    incomplete_dirty_sets: u64,
    wrong_digests: u64,
}

impl RoundCounts {
    /// Counts a round.
    pub(crate) fn round(&mut self, interrupted: bool) {
        self.rounds += 1;
        self.interrupted += u64::from(interrupted);
    }

    /// Counts a successful check.
    pub(crate) fn checked(&mut self, checked: Checked) {
        self.compared += u64::from(checked.compared);
        self.partial += u64::from(checked.partial);
    }

    /// Counts a failed check.
    pub(crate) fn fault(&mut self, fault: &Fault) {
        *match fault {
            Fault::Failed(_) => &mut self.failed,
            Fault::Lost(_) => &mut self.lost,
            Fault::Torn(_) => &mut self.torn,
            Fault::Generation(_) => &mut self.wrong_generations,
            Fault::IncompleteDirtySet(_) => &mut self.incomplete_dirty_sets,
            Fault::Digest(_) => &mut self.wrong_digests,
        } += 1;
    }

    /// Prints the counts, and asserts that no round failed.
    pub(crate) fn conclude(&self, name: &str, seed: u64) {
        let Self {
            rounds,
            interrupted,
            compared,
            partial,
            failed,
            lost,
            torn,
            wrong_generations,
            incomplete_dirty_sets,
            wrong_digests,
        } = self;
        eprintln!("{name}: {rounds} rounds, {lost} lost, {torn} torn, {wrong_digests} wrong digests");
        eprintln!(
            "{name}: {failed} refused to open or failed, {wrong_generations} wrong generations or epochs, \
             {incomplete_dirty_sets} incomplete dirty sets; {interrupted} stopped before their end, {compared} digests compared, \
             {partial} of them after a partial refresh; seed {seed}"
        );
        assert_eq!(
            failed + lost + torn + wrong_generations + incomplete_dirty_sets + wrong_digests,
            0,
            "rounds that failed, seed {seed}"
        );
    }
}

//! What all rounds came to, and the one line that says so.

use crate::check::{Checked, Fault};

#[derive(Debug, Default)]
pub(crate) struct Tally {
    rounds: u64,
    /// Stopped before it had ended.
    at_work: u64,
    compared: u64,
    partial: u64,
    failed: u64,
    lost: u64,
    torn: u64,
    generations: u64,
    clean: u64,
    digests: u64,
}

impl Tally {
    pub(crate) fn round(&mut self, at_work: bool) {
        self.rounds += 1;
        self.at_work += u64::from(at_work);
    }

    pub(crate) fn checked(&mut self, checked: Checked) {
        self.compared += u64::from(checked.compared);
        self.partial += u64::from(checked.partial);
    }

    pub(crate) fn fault(&mut self, fault: &Fault) {
        *match fault {
            Fault::Failed(_) => &mut self.failed,
            Fault::Lost(_) => &mut self.lost,
            Fault::Torn(_) => &mut self.torn,
            Fault::Generation(_) => &mut self.generations,
            Fault::Clean(_) => &mut self.clean,
            Fault::Digest(_) => &mut self.digests,
        } += 1;
    }

    /// Prints the line; the test fails where a round did.
    pub(crate) fn conclude(&self, name: &str, seed: u64) {
        let Self { rounds, at_work, compared, partial, failed, lost, torn, generations, clean, digests } =
            self;
        eprintln!("{name}: {rounds} rounds, {lost} lost, {torn} torn, {digests} wrong digests");
        eprintln!(
            "{name}: {failed} refused to open or failed, {generations} wrong generations or epochs, {clean} incomplete \
             dirty sets; {at_work} stopped at work, {compared} digests compared, {partial} of them after a refresh \
             in part; seed {seed}"
        );
        assert_eq!(
            failed + lost + torn + generations + clean + digests,
            0,
            "rounds that failed, seed {seed}"
        );
    }
}

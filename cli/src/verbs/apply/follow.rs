//! The loop of `apply --follow`: commits batches as they come, until the input ends or Ctrl-C is pressed. Each batch is
//! committed with its end position in the input.

use std::time::Duration;

use hedgerow::{Batch, ErrorKind, Position};

use crate::core::failure::Failure;
use crate::core::interrupt;
use crate::verbs::apply::change::ChangeRules;
use crate::verbs::apply::input::FollowedInput;
use crate::verbs::apply::reader_thread::{ReaderThread, Taken};
use crate::verbs::apply::status::FollowProgress;
use crate::verbs::apply::{Run, outcome};

/// The longest wait for changes before Ctrl-C, the file and the embeddings are checked.
const PATIENCE: Duration = Duration::from_millis(50);

/// Applies batches of at most `size` changes. No change waits longer than `linger` for others.
pub(super) fn follow(
    run: &mut Run<'_>,
    input: &mut FollowedInput,
    rules: ChangeRules,
    size: usize,
    linger: Duration,
) -> Result<(), Failure> {
    let mut reader = input.read(rules, size)?;
    interrupt::attended(true);
    let followed = apply(run, input, &mut reader, linger);
    interrupt::attended(false);
    followed
}

fn apply(
    run: &mut Run<'_>,
    input: &mut FollowedInput,
    reader: &mut ReaderThread,
    linger: Duration,
) -> Result<(), Failure> {
    let mut batch = Batch::new();
    // The reason why nothing more can come. Pending changes are applied before it is returned.
    let mut end: Option<Failure> = None;
    loop {
        run.status.write_when_due(run.store, || progress(run.committed, run.applied, input));
        if run.ctx.cancel().is_cancelled() {
            return Err(interrupted(run, input));
        }
        let linger = if end.is_some() { Duration::ZERO } else { linger };
        match reader.take(&mut batch, linger, PATIENCE) {
            // Commit the batch with its end position, and refresh.
            Taken::Changes(count, to) => {
                if let Some(source) = input.source() {
                    batch.set_position(source, to)?;
                }
                let before = run.batches;
                let committed = run.commit(&batch, count);
                if run.batches > before {
                    run.committed = to;
                }
                if let Err(Failure::Library(error)) = &committed
                    && error.kind() == ErrorKind::Cancelled
                {
                    // Ctrl-C stopped the refresh, after the commit of the batch.
                    return Err(interrupted(run, input));
                }
                committed?;
                run.refresher.store_when_due()?;
            }
            // Check the file, and catch up with refreshes, while no batch is due.
            Taken::Nothing => {
                if let Some(failure) = end {
                    return Err(failure);
                }
                end = input.check_same_file().err();
                match run.refresher.idle() {
                    Err(Failure::Library(error)) if error.kind() == ErrorKind::Cancelled => {}
                    idle => idle?,
                }
            }
            Taken::End(Err(Failure::Input(bad))) => {
                return Err(bad.with_outcome(outcome_of(run, input)).into());
            }
            Taken::End(ended) => return ended,
        }
    }
}

/// The progress of a run whose changes are committed up to a position.
pub(super) fn progress(committed: Position, applied: u64, input: &FollowedInput) -> FollowProgress {
    let lag = input.len().map(|len| len.saturating_sub(committed.offset));
    FollowProgress { committed, applied, lag }
}

fn interrupted(run: &Run<'_>, input: &FollowedInput) -> Failure {
    Failure::Interrupted(format!("interrupted; {}", outcome_of(run, input)))
}

fn outcome_of(run: &Run<'_>, input: &FollowedInput) -> String {
    let outcome = outcome(run.applied, run.committed.lines + 1);
    if input.source().is_some() { format!("{outcome}, as the same command does") } else { outcome }
}

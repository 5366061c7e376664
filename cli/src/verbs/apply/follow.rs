//! An input that goes on: a batch as soon as there is one, until the input ends or Ctrl-C; every batch with where it ends.

use std::time::Duration;

use hedgerow::{Batch, ErrorKind, Position};

use crate::core::failure::Failure;
use crate::core::interrupt;
use crate::verbs::apply::input::Input;
use crate::verbs::apply::reader_thread::{Gathering, Taken};
use crate::verbs::apply::status::Standing;
use crate::verbs::apply::{Run, outcome};

/// How long changes are waited for until Ctrl-C, the file and the embeddings are looked after.
const PATIENCE: Duration = Duration::from_millis(50);

/// Applies what comes in batches of `size` changes, none of which waits longer than `linger` for others.
pub(super) fn follow(
    run: &mut Run<'_>,
    input: &mut Input,
    size: usize,
    linger: Duration,
) -> Result<(), Failure> {
    let mut gathering = input.gather(size)?;
    interrupt::attended(true);
    let followed = apply(run, input, &mut gathering, linger);
    interrupt::attended(false);
    followed
}

fn apply(
    run: &mut Run<'_>,
    input: &mut Input,
    gathering: &mut Gathering,
    linger: Duration,
) -> Result<(), Failure> {
    let mut batch = Batch::new();
    // Why nothing more can come; what came before is applied first.
    let mut over: Option<Failure> = None;
    loop {
        run.status.when_due(run.store, || standing(run.behind, run.applied, input));
        if run.ctx.cancel().is_cancelled() {
            return Err(interrupted(run, input));
        }
        let linger = if over.is_some() { Duration::ZERO } else { linger };
        match gathering.take(&mut batch, linger, PATIENCE) {
            Taken::Changes(count, to) => {
                if let Some(source) = input.source() {
                    batch.set_position(source, to)?;
                }
                let before = run.batches;
                let committed = run.one(&batch, count);
                if run.batches > before {
                    run.behind = to;
                }
                if let Err(Failure::Library(error)) = &committed
                    && error.kind() == ErrorKind::Cancelled
                {
                    // The refresh was interrupted, and the batch before it committed.
                    return Err(interrupted(run, input));
                }
                committed?;
                run.refresher.store_when_due()?;
            }
            Taken::Nothing => {
                if let Some(failure) = over {
                    return Err(failure);
                }
                over = input.look().err();
                match run.refresher.idle() {
                    Err(Failure::Library(error)) if error.kind() == ErrorKind::Cancelled => {}
                    idle => idle?,
                }
            }
            Taken::End(Err(Failure::Input(bad))) => {
                return Err(bad.with_outcome(goes_on(run, input)).into());
            }
            Taken::End(ended) => return ended,
        }
    }
}

/// Where an input stands whose changes are applied up to a position.
pub(super) fn standing(behind: Position, applied: u64, input: &Input) -> Standing {
    Standing { behind, applied, lag: input.len().map(|len| len.saturating_sub(behind.offset)) }
}

fn interrupted(run: &Run<'_>, input: &Input) -> Failure {
    Failure::Interrupted(format!("interrupted; {}", goes_on(run, input)))
}

fn goes_on(run: &Run<'_>, input: &Input) -> String {
    let outcome = outcome(run.applied, run.behind.lines + 1);
    if input.source().is_some() { format!("{outcome}, as the same command does") } else { outcome }
}

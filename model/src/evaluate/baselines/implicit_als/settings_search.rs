//! The search for the settings of implicit ALS by held-out edges.

use hedgerow_storage::Stage;

use crate::config::error::Error;
use crate::evaluate::baselines::Task;
use crate::evaluate::baselines::held_out_edges::HeldOutEdges;
use crate::evaluate::baselines::implicit_als::{ImplicitAls, Settings};

/// Sweeps of a training of the search.
pub(super) const FIT_SWEEPS: usize = 4;
/// Trainings of the search, at most.
pub(super) const MOST_TRAININGS: usize = 8;
/// The settings that are tried first. A lambda near .01 was best on gowalla, lastfm and movielens, with an a0 of .01, .05 and .2: the denser
/// the graph, the larger.
const FIRST: Settings = Settings { a0: 0.05, lambda: 0.01 };
/// The factors of a step.
const STEPS: [f32; 2] = [0.5, 2.0];

/// The settings with the largest gain. Steps by factors of two are taken while the gain grows, first of a0, then of lambda.
pub(super) fn best(held_out: &HeldOutEdges, task: Task, stage: &Stage<'_>) -> Result<Settings, Error> {
    climb(|settings| gain(held_out, task, settings, stage))
}

fn climb(mut gain: impl FnMut(Settings) -> Result<f64, Error>) -> Result<Settings, Error> {
    let (mut best, mut best_gain) = (FIRST, gain(FIRST)?);
    let mut trainings = 1;
    let step_a0 = |Settings { a0, lambda }: Settings, factor: f32| Settings { a0: a0 * factor, lambda };
    let step_lambda =
        |Settings { a0, lambda }: Settings, factor: f32| Settings { a0, lambda: lambda * factor };
    for step in [step_a0, step_lambda] {
        let before = best;
        for factor in STEPS {
            // The way back from a step that was taken is known to be worse.
            if best != before {
                break;
            }
            while trainings < MOST_TRAININGS {
                let next = step(best, factor);
                let next_gain = gain(next)?;
                trainings += 1;
                if next_gain <= best_gain {
                    break;
                }
                (best, best_gain) = (next, next_gain);
            }
        }
    }
    Ok(best)
}

/// The sum of the gains of all questions, after a training without the hidden edges.
fn gain(held_out: &HeldOutEdges, task: Task, settings: Settings, stage: &Stage<'_>) -> Result<f64, Error> {
    let als = ImplicitAls::trained(held_out.incidence.clone(), task, settings, FIT_SWEEPS, stage)?;
    let gains = held_out.sums(|questions| {
        let histories: Vec<&[u32]> = questions.iter().map(|question| &*question.history).collect();
        let (scores, items) = (als.scores(&histories), als.incidence.items.len());
        let answered = questions.iter().zip(scores.chunks_exact(items));
        vec![answered.map(|(question, scores)| question.weight * question.gain(scores)).sum()]
    });
    Ok(gains.first().copied().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The gain has one top, and the search finds the step that is nearest to it.
    #[test]
    fn steps_are_taken_while_the_gain_grows() {
        for (top, expected) in [
            (Settings { a0: 0.05, lambda: 0.01 }, FIRST),
            (Settings { a0: 0.012, lambda: 0.019 }, Settings { a0: 0.0125, lambda: 0.02 }),
            (Settings { a0: 0.21, lambda: 0.005 }, Settings { a0: 0.2, lambda: 0.005 }),
        ] {
            let mut tried = Vec::new();
            let found = climb(|settings| {
                assert!(!tried.contains(&settings), "tried once");
                tried.push(settings);
                let distance = (settings.a0 / top.a0).ln().abs() + (settings.lambda / top.lambda).ln().abs();
                Ok(-f64::from(distance))
            });
            assert_eq!(found.expect("no error"), expected);
            assert!(tried.len() <= MOST_TRAININGS, "{tried:?}");
        }
    }

    #[test]
    fn a_gain_that_always_grows_ends_the_search_at_its_most_trainings() {
        let mut trainings = 0u32;
        let found = climb(|_| {
            trainings += 1;
            Ok(f64::from(trainings))
        });
        assert!(found.expect("no error").a0 < FIRST.a0);
        assert_eq!(trainings as usize, MOST_TRAININGS);
    }
}

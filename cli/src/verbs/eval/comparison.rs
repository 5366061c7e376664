//! How the model and the baselines stand: a row for each, whether the model is better than the best of them, and the cosines of
//! random pairs; for people and for programs. Owns the names of the figures.

use hedgerow::{Baseline, Comparison, Mean, RandomCosines, Verdict};
use serde_json::{Value, json};

use crate::core::failure::Failure;
use crate::output::printer::{Mode, Output};
use crate::output::value::rounded;
use crate::verbs::eval::sparkline::{bare, bars, decimals, with_margin};

/// Decimals for programs.
const DECIMALS: i32 = 6;

/// What the figures of a task are called.
pub(super) struct Figures<'a> {
    pub(super) queries: &'static str,
    pub(super) means: Vec<&'a str>,
    pub(super) rest: &'static [Rest],
    /// The one by which the model is judged.
    pub(super) judged_by: &'a str,
}

/// A figure that is no mean over queries.
pub(super) struct Rest {
    pub(super) name: &'static str,
    /// Its name in a table.
    pub(super) short: &'static str,
    /// How it looks there.
    pub(super) shown: fn(f64) -> String,
}

/// The figures of one ranker, in the order of their names.
pub(super) struct Standing {
    pub(super) queries: u64,
    pub(super) means: Vec<Mean>,
    pub(super) rest: Vec<Option<f64>>,
}

/// A line of the result.
struct Row {
    ranker: &'static str,
    standing: Standing,
    lead: Option<Mean>,
}

/// Prints all of it; `standing` takes the figures out of what was found for one ranker.
pub(super) fn print<Q>(
    out: Output,
    figures: &Figures<'_>,
    found: &Comparison<Q>,
    standing: impl Fn(&Q) -> Standing,
    cosines: &RandomCosines,
) -> Result<(), Failure> {
    let of_model = |quality| Row { ranker: "model", standing: standing(quality), lead: None };
    let all = of_model(&found.model);
    let mut rows = vec![of_model(if found.baselines.is_empty() { &found.model } else { &found.compared })];
    rows.extend(found.baselines.iter().map(|beside| Row {
        ranker: beside.baseline.name(),
        standing: standing(&beside.quality),
        lead: Some(beside.lead),
    }));
    let (compared, asked) = (rows[0].standing.queries, all.standing.queries);
    if compared < asked {
        let queries = figures.queries;
        out.note(&format!(
            "compared with baselines on {compared} of {asked} {queries}; --baselines all compares on all"
        ));
    }
    let best = found.best().map(|best| (best.baseline, best.lead));
    let judged = best.zip(found.verdict());
    match out.mode {
        Mode::Json | Mode::Jsonl => {
            let mut fields = figures.named(&all.standing);
            let lead = best.map(|(_, lead)| lead);
            fields.extend([
                ("rankers".to_owned(), rows.iter().map(|row| object(figures.of_row(row))).collect()),
                ("judged_by".to_owned(), figures.judged_by.into()),
                (
                    "best_baseline".to_owned(),
                    best.map_or(Value::Null, |(baseline, _)| baseline.name().into()),
                ),
                ("lead".to_owned(), value(lead.map(|lead| lead.mean))),
                ("lead_margin".to_owned(), value(lead.and_then(|lead| lead.margin))),
                ("verdict".to_owned(), judged.map_or(Value::Null, |(_, verdict)| word(verdict).into())),
                ("cosines".to_owned(), facts(cosines)),
            ]);
            out.json(&object(fields))
        }
        Mode::Csv | Mode::Tsv => {
            rows.splice(0..0, (compared < asked).then_some(all));
            let columns: Vec<String> = figures.of_row(&rows[0]).into_iter().map(|(name, _)| name).collect();
            let columns: Vec<&str> = columns.iter().map(String::as_str).collect();
            let values = |row: &Row| figures.of_row(row).into_iter().map(|(_, value)| value).collect();
            out.rows(&columns, rows.iter().map(values).collect())
        }
        Mode::Table => {
            rows.splice(0..0, (compared < asked).then_some(Row { ranker: "model, all", ..all }));
            let columns = ["ranker"].into_iter().chain(figures.means.iter().copied());
            let columns: Vec<&str> = columns.chain(figures.rest.iter().map(|rest| rest.short)).collect();
            out.rows(&columns, figures.cells(&rows))?;
            if let Some((best, verdict)) = judged {
                out.text(&sentence(figures.judged_by, best, verdict))?;
            }
            out.text(&line(cosines))
        }
    }
}

impl Figures<'_> {
    /// By name, those first that have always been there.
    fn named(&self, standing: &Standing) -> Vec<(String, Value)> {
        let means = || self.means.iter().zip(&standing.means);
        let named = means().map(|(name, mean)| ((*name).to_owned(), value(Some(mean.mean))));
        let queries = (self.queries.to_owned(), standing.queries.into());
        let margins = means().map(|(name, mean)| (format!("{name}_margin"), value(mean.margin)));
        let rest = self.rest.iter().zip(&standing.rest);
        let rest = rest.map(|(rest, figure)| (rest.name.to_owned(), value(*figure)));
        named.chain([queries]).chain(margins).chain(rest).collect()
    }

    fn of_row(&self, row: &Row) -> Vec<(String, Value)> {
        let mut named = self.named(&row.standing);
        named.insert(self.means.len() + 1, ("ranker".to_owned(), row.ranker.into()));
        named.push(("lead".to_owned(), value(row.lead.map(|lead| lead.mean))));
        named.push(("lead_margin".to_owned(), value(row.lead.and_then(|lead| lead.margin))));
        named
    }

    /// The rows of the table.
    fn cells(&self, rows: &[Row]) -> Vec<Vec<Value>> {
        let margins = |at: usize| rows.iter().filter_map(move |row| row.standing.means[at].margin);
        let decimals: Vec<usize> = (0..self.means.len()).map(|at| decimals(margins(at))).collect();
        let cells = |row: &Row| {
            let means = row.standing.means.iter().zip(&decimals);
            let means = means.map(|(mean, decimals)| with_margin(*mean, *decimals));
            let rest = self.rest.iter().zip(&row.standing.rest);
            let rest = rest.map(|(rest, figure)| figure.map_or_else(|| "-".to_owned(), rest.shown));
            [row.ranker.to_owned()].into_iter().chain(means).chain(rest).map(Value::from).collect()
        };
        rows.iter().map(cells).collect()
    }
}

/// Whether the model earns its keep, beside the best of the baselines; within 80 columns.
fn sentence(judged_by: &str, (baseline, lead): (Baseline, Mean), verdict: Verdict) -> String {
    let claim = match verdict {
        Verdict::Better => "the model earns its keep",
        Verdict::Worse => "the model does not earn its keep",
        Verdict::Unclear => "unclear if the model earns its keep",
    };
    let Mean { mean, margin } = lead;
    let size = with_margin(Mean { mean: mean.abs(), margin }, decimals(margin.into_iter()));
    let side = if mean < 0.0 { "below" } else { "above" };
    format!("{claim}: {judged_by} is {size} {side} {}\n", baseline.name())
}

/// The distribution in one line.
fn line(cosines: &RandomCosines) -> String {
    let RandomCosines { mean, deviation, kurtosis, bins, .. } = cosines;
    let kurtosis = kurtosis.map_or_else(|| "-".to_owned(), |kurtosis| bare(kurtosis, 2));
    let (mean, deviation) = (bare(*mean, 2), bare(*deviation, 2));
    format!("random pairs -1 {} 1, mean {mean}, deviation {deviation}, kurtosis {kurtosis}\n", bars(bins))
}

fn word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Better => "better",
        Verdict::Worse => "worse",
        Verdict::Unclear => "unclear",
    }
}

fn facts(cosines: &RandomCosines) -> Value {
    json!({
        "pairs": cosines.pairs,
        "mean": rounded(cosines.mean, DECIMALS),
        "deviation": rounded(cosines.deviation, DECIMALS),
        "kurtosis": value(cosines.kurtosis),
        "bins": cosines.bins,
    })
}

fn value(figure: Option<f64>) -> Value {
    figure.map_or(Value::Null, |figure| rounded(figure, DECIMALS))
}

fn object(fields: Vec<(String, Value)>) -> Value {
    Value::Object(fields.into_iter().collect())
}

//! Prints a comparison: a row for the model, for each part of its score and for each baseline, the verdict against the best baseline, and the cosines of
//! random pairs. Owns the names of the figures.

use hedgerow::{Baseline, Comparison, Mean, RandomCosines, Verdict};
use serde_json::{Value, json};

use crate::core::failure::Failure;
use crate::output::printer::{Mode, Output};
use crate::output::value::{object, rounded};
use crate::verbs::eval::sparkline::{bare, bars, decimals, with_margin};

/// Decimals of a figure outside of tables.
const DECIMALS: i32 = 6;

/// The names of the figures of a task.
pub(super) struct FigureNames<'a> {
    pub(super) queries: &'static str,
    pub(super) means: Vec<&'a str>,
    pub(super) overall: &'static [OverallFigure],
    /// The mean that decides the verdict.
    pub(super) judged_by: &'a str,
}

/// A figure of all answers together, which is no mean over queries.
pub(super) struct OverallFigure {
    pub(super) name: &'static str,
    /// Its name in a table.
    pub(super) short: &'static str,
    /// Its format in a table.
    pub(super) format: fn(f64) -> String,
}

/// The figures of one ranker, in the order of their names.
pub(super) struct RankerFigures {
    pub(super) queries: u64,
    pub(super) means: Vec<Mean>,
    pub(super) overall: Vec<Option<f64>>,
}

/// A row of the result.
struct Row {
    ranker: &'static str,
    figures: RankerFigures,
    /// The lead of the model over this part or baseline.
    lead: Option<Mean>,
}

/// Prints a comparison. `figures_of` takes the figures from the quality of one ranker.
pub(super) fn print<Q>(
    out: Output,
    names: &FigureNames<'_>,
    comparison: &Comparison<Q>,
    figures_of: impl Fn(&Q) -> RankerFigures,
    cosines: &RandomCosines,
) -> Result<(), Failure> {
    // The model over all queries, then the model, its parts and the baselines over the compared queries.
    let of_model = |quality| Row { ranker: "model", figures: figures_of(quality), lead: None };
    let all = of_model(&comparison.model);
    let compared = if comparison.baselines.is_empty() { &comparison.model } else { &comparison.compared };
    let mut rows = vec![of_model(compared)];
    rows.extend(comparison.parts.iter().map(|part| Row {
        ranker: part.part.name(),
        figures: figures_of(&part.quality),
        lead: Some(part.lead),
    }));
    rows.extend(comparison.baselines.iter().map(|other| Row {
        ranker: other.baseline.name(),
        figures: figures_of(&other.quality),
        lead: Some(other.lead),
    }));
    let (compared, total) = (rows[0].figures.queries, all.figures.queries);
    if compared < total {
        let queries = names.queries;
        out.note(&format!(
            "compared with baselines on {compared} of {total} {queries}; --baselines all compares on all"
        ));
    }
    let best = comparison.best().map(|best| (best.baseline, best.lead));
    let judged = best.zip(comparison.verdict());
    // One object, a line for each ranker, or a table with a sentence below it.
    match out.mode {
        Mode::Json | Mode::Jsonl => {
            let mut fields = names.fields(&all.figures);
            let lead = best.map(|(_, lead)| lead);
            fields.extend([
                ("rankers".to_owned(), rows.iter().map(|row| object(names.fields_of_row(row))).collect()),
                ("judged_by".to_owned(), names.judged_by.into()),
                ("best_baseline".to_owned(), best.map(|(baseline, _)| baseline.name()).into()),
                ("lead".to_owned(), value(lead.map(|lead| lead.mean))),
                ("lead_margin".to_owned(), value(lead.and_then(|lead| lead.margin))),
                ("verdict".to_owned(), judged.map(|(_, verdict)| word(verdict)).into()),
                ("cosines".to_owned(), facts(cosines)),
            ]);
            out.json(&object(fields))
        }
        Mode::Csv | Mode::Tsv => {
            rows.splice(0..0, (compared < total).then_some(all));
            let columns: Vec<String> =
                names.fields_of_row(&rows[0]).into_iter().map(|(name, _)| name).collect();
            let columns: Vec<&str> = columns.iter().map(String::as_str).collect();
            let values = |row: &Row| names.fields_of_row(row).into_iter().map(|(_, value)| value).collect();
            out.rows(&columns, rows.iter().map(values).collect())
        }
        Mode::Table => {
            rows.splice(0..0, (compared < total).then_some(Row { ranker: "model, all", ..all }));
            let columns = ["ranker"].into_iter().chain(names.means.iter().copied());
            let columns: Vec<&str> = columns.chain(names.overall.iter().map(|figure| figure.short)).collect();
            out.rows(&columns, names.cells(&rows))?;
            if let Some((best, verdict)) = judged {
                out.text(&sentence(names.judged_by, best, verdict))?;
            }
            out.text(&line(cosines))
        }
    }
}

impl FigureNames<'_> {
    /// The figures by name. The order is part of the contract.
    fn fields(&self, figures: &RankerFigures) -> Vec<(String, Value)> {
        let means = || self.means.iter().zip(&figures.means);
        let fields = means().map(|(name, mean)| ((*name).to_owned(), value(Some(mean.mean))));
        let queries = (self.queries.to_owned(), figures.queries.into());
        let margins = means().map(|(name, mean)| (format!("{name}_margin"), value(mean.margin)));
        let overall = self.overall.iter().zip(&figures.overall);
        let overall = overall.map(|(named, figure)| (named.name.to_owned(), value(*figure)));
        fields.chain([queries]).chain(margins).chain(overall).collect()
    }

    fn fields_of_row(&self, row: &Row) -> Vec<(String, Value)> {
        let mut fields = self.fields(&row.figures);
        fields.insert(self.means.len() + 1, ("ranker".to_owned(), row.ranker.into()));
        fields.push(("lead".to_owned(), value(row.lead.map(|lead| lead.mean))));
        fields.push(("lead_margin".to_owned(), value(row.lead.and_then(|lead| lead.margin))));
        fields
    }

    /// The rows of the table.
    fn cells(&self, rows: &[Row]) -> Vec<Vec<Value>> {
        let margins = |at: usize| rows.iter().filter_map(move |row| row.figures.means[at].margin);
        let decimals: Vec<usize> = (0..self.means.len()).map(|at| decimals(margins(at))).collect();
        let cells = |row: &Row| {
            let means = row.figures.means.iter().zip(&decimals);
            let means = means.map(|(mean, decimals)| with_margin(*mean, *decimals));
            let overall = self.overall.iter().zip(&row.figures.overall);
            let overall = overall.map(|(named, figure)| figure.map_or_else(|| "-".to_owned(), named.format));
            [row.ranker.to_owned()].into_iter().chain(means).chain(overall).map(Value::from).collect()
        };
        rows.iter().map(cells).collect()
    }
}

/// The verdict against the best baseline as a sentence of at most 80 columns.
fn sentence(judged_by: &str, (baseline, lead): (Baseline, Mean), verdict: Verdict) -> String {
    let claim = match verdict {
        Verdict::Better => "the model is better",
        Verdict::Worse => "the model is worse",
        Verdict::Unclear => "no clear difference",
    };
    let Mean { mean, margin } = lead;
    let size = with_margin(Mean { mean: mean.abs(), margin }, decimals(margin.into_iter()));
    let side = if mean < 0.0 { "below" } else { "above" };
    format!("{claim}: {judged_by} is {size} {side} {}\n", baseline.name())
}

/// The distribution of the cosines in one line.
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
    figure.map(|figure| rounded(figure, DECIMALS)).into()
}

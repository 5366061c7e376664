//! Answers to each node of a file: recommendations to users, and similar nodes.
//! Owns the reading of the file and the form of the output; the library answers many nodes together.

use std::path::Path;

use clap::ValueEnum;
use hedgerow::{
    AnswerSource, CancelToken, NodeName, NodeRef, Ranked, Recipient, Recommender, SimilarFinder, Snapshot,
};
use serde_json::Value;

use crate::core::failure::Failure;
use crate::core::location::Place;
use crate::input::lines::Lines;
use crate::input::source::Source;
use crate::output::stream::Stream;
use crate::output::value::{count, float, name, object};
use crate::session::context::Context;
use crate::session::models::ModelShares;
use crate::session::properties::{PropertyColumns, ShowArgs};
use crate::verbs::query::answer_explanation::{facts_of, words_of};

/// Nodes whose answers are computed together and are in memory at once.
const NODES_AT_ONCE: usize = 1024;

/// The reaction to a node without an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum OnError {
    /// Stop; the answers before it stay written
    Stop,
    /// Write a line with the error instead of the answer, and continue
    Skip,
}

/// The source of the answers, which says what the nodes of the file are.
pub(crate) enum Asked {
    /// Users, each with a recommendation.
    Users(Recommender),
    /// Users that models share out, each with the recommendation of its model.
    SharedUsers(ModelShares, Vec<(String, Recommender)>),
    /// Nodes, each with similar ones.
    Queries(SimilarFinder),
}

impl Asked {
    fn answers(
        &self,
        nodes: &[AskedNode],
        cancel: &CancelToken,
    ) -> Result<Vec<Result<Ranked, hedgerow::ModelError>>, Failure> {
        let names = nodes.iter().map(|node| node.name.clone());
        Ok(match self {
            Self::Users(recommender) => {
                recommender.recommend(&names.map(Recipient::Node).collect::<Vec<_>>(), cancel)?
            }
            Self::SharedUsers(shares, recommenders) => {
                let mut answers: Vec<Option<Result<Ranked, hedgerow::ModelError>>> = Vec::new();
                answers.resize_with(nodes.len(), || None);
                for (model, recommender) in recommenders {
                    let is_own = |node: &AskedNode| shares.model_of(node.name.as_ref().stable_id()) == model;
                    let own: Vec<usize> = (0..nodes.len()).filter(|&at| is_own(&nodes[at])).collect();
                    let users = own.iter().map(|&at| Recipient::Node(nodes[at].name.clone()));
                    let ranked = recommender.recommend(&users.collect::<Vec<_>>(), cancel)?;
                    own.into_iter().zip(ranked).for_each(|(at, ranked)| answers[at] = Some(ranked));
                }
                answers.into_iter().map(|answer| answer.expect("each user has a model")).collect()
            }
            Self::Queries(finder) => finder.similar(&names.collect::<Vec<_>>(), cancel)?,
        })
    }

    /// The name of the column of the nodes.
    fn column(&self) -> &'static str {
        match self {
            Self::Users(_) | Self::SharedUsers(..) => "user",
            Self::Queries(_) => "query",
        }
    }

    /// The columns of the output.
    fn columns<'c>(&self, json: bool, explain: bool, shown: &'c PropertyColumns<'_>) -> Vec<&'c str> {
        let model = matches!(self, Self::SharedUsers(..)).then_some("model");
        if json {
            let columns = [self.column(), "basis", "epoch", "dirty_nodes", "items"];
            return columns.into_iter().chain(model).collect();
        }
        let mut columns = shown.after(&[self.column(), "node", "score", "basis"]);
        columns.extend(explain.then_some("why"));
        columns.extend(model);
        columns
    }

    /// The model that answers a user, where models share users out.
    fn model_of(&self, user: &NodeName) -> Option<Value> {
        match self {
            Self::SharedUsers(shares, _) => Some(shares.model_of(user.as_ref().stable_id()).into()),
            Self::Users(_) | Self::Queries(_) => None,
        }
    }
}

/// The source of an answer in a word.
pub(crate) fn basis(ranked: &Ranked) -> Value {
    match ranked.source {
        AnswerSource::Graph => "graph",
        AnswerSource::Embeddings => "embeddings",
        AnswerSource::Walks => "walks",
        AnswerSource::Popular => "popular",
    }
    .into()
}

/// A node of a file, and its place there.
struct AskedNode {
    name: NodeName,
    place: Place,
}

/// Answers each node of a file, one per line.
pub(crate) fn answer_file(
    ctx: &Context,
    asked: &Asked,
    path: &Path,
    explain: bool,
    on_error: OnError,
    (snapshot, show): (&Snapshot, &ShowArgs),
    cancel: &CancelToken,
) -> Result<(), Failure> {
    let lines = Lines::new(Source::open(path)?);
    let shown = show.columns(ctx.out, snapshot, [])?;
    let json = ctx.out.mode.is_json();
    let stream = ctx.out.stream(&asked.columns(json, explain, &shown));
    let mut writer = Writer { asked, shown, stream, json, explain, on_error, failed: 0 };
    let answered = answer_all(lines, &mut writer, cancel);
    writer.stream.finish()?;
    if writer.failed > 0 {
        let column = asked.column();
        let (one, many) =
            (format!("{column} has"), if column == "user" { "users have" } else { "queries have" });
        ctx.out.note(&format!("{} no answer", count(writer.failed, &one, many)));
    }
    answered
}

fn answer_all(mut lines: Lines, writer: &mut Writer<'_>, cancel: &CancelToken) -> Result<(), Failure> {
    let mut nodes = Vec::new();
    while lines.advance()? {
        let text = lines.text(0, lines.bytes().len())?;
        if text.is_empty() {
            continue;
        }
        match NodeRef::parse(text) {
            Ok(node) => {
                nodes.push(AskedNode { name: node.to_name(), place: lines.place(0) });
            }
            Err(error) => {
                writer.answer(&mut nodes, cancel)?;
                let bad = lines.place(0).problem(error);
                if writer.on_error == OnError::Stop {
                    return Err(bad.into());
                }
                writer.error(text, &bad.to_string())?;
            }
        }
        if nodes.len() == NODES_AT_ONCE {
            writer.answer(&mut nodes, cancel)?;
        }
    }
    writer.answer(&mut nodes, cancel)
}

/// Writes the answers: an object for each node of the file, or a line for each node of its answer.
struct Writer<'a> {
    asked: &'a Asked,
    shown: PropertyColumns<'a>,
    stream: Stream,
    json: bool,
    explain: bool,
    on_error: OnError,
    failed: u64,
}

impl Writer<'_> {
    fn answer(&mut self, nodes: &mut Vec<AskedNode>, cancel: &CancelToken) -> Result<(), Failure> {
        let nodes = std::mem::take(nodes);
        let answers = self.asked.answers(&nodes, cancel)?;
        for (node, ranked) in nodes.into_iter().zip(answers) {
            match ranked {
                Ok(ranked) => self.write(&node.name, &ranked)?,
                Err(error) if self.on_error == OnError::Skip => {
                    self.error(&node.name.to_string(), &error.to_string())?;
                }
                Err(error) => {
                    return Err(node.place.problem(error).into());
                }
            }
        }
        Ok(())
    }

    fn write(&mut self, asking: &NodeName, ranked: &Ranked) -> Result<(), Failure> {
        if !self.json {
            for item in &ranked.items {
                let why = item.explanation.as_ref().map(|why| words_of(why, &NodeName::to_string));
                let row = [name(asking), name(&item.node), float(item.score), basis(ranked)].into_iter();
                let row = row.chain(self.shown.values_of(&item.node)).chain(why);
                self.stream.row(row.chain(self.asked.model_of(asking)).collect())?;
            }
            return Ok(());
        }
        let items = ranked.items.iter().map(|item| {
            let mut fields = vec![("node", name(&item.node)), ("score", float(item.score))];
            let shown = self.shown.after(&[]).into_iter().zip(self.shown.values_of(&item.node));
            fields.extend(shown);
            fields.extend(item.explanation.as_ref().map(|why| ("why", facts_of(why))));
            object(fields)
        });
        let row = [
            name(asking),
            basis(ranked),
            ranked.epoch.get().into(),
            ranked.dirty_nodes.into(),
            items.collect(),
        ];
        self.stream.row(row.into_iter().chain(self.asked.model_of(asking)).collect())
    }

    fn error(&mut self, asking: &str, error: &str) -> Result<(), Failure> {
        self.failed += 1;
        if self.json {
            return self.stream.summary(vec![(self.asked.column(), asking.into()), ("error", error.into())]);
        }
        let mut row = vec![asking.into(), Value::Null, Value::Null, format!("error: {error}").into()];
        row.extend(self.shown.after(&[]).iter().map(|_| Value::Null));
        row.extend(self.explain.then_some(Value::Null));
        row.extend(matches!(self.asked, Asked::SharedUsers(..)).then_some(Value::Null));
        self.stream.row(row)
    }
}

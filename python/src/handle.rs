//! An open store with its models. Every call goes to the library; this file knows only how.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use hedgerow::{
    CancelToken, Engine, EvaluateOptions, MAIN_SET, ModelError, NodeName, Query, Recipient, Store,
    TrainEvent, TrainOptions, Updater, UpdaterOptions,
};
use numpy::PyArray1;
use pyo3::prelude::*;
use pyo3::sync::MutexExt;
use pyo3::types::PyBytes;

use crate::answers::Answered;
use crate::batch::{PyBatch, node};
use crate::calls::{long, short};
use crate::edges_in::{EdgeColumns, End, RelationOf, take_edges};
use crate::errors::{Failure, invalid, raise};
use crate::events::{progress, train_event};
use crate::options::{from_fields, relation_options, repeat, to_fields};
use crate::snapshot::PySnapshot;
use crate::tables::Table;
use crate::updater::PyUpdater;

/// Recipients that are answered together.
const TOGETHER: usize = 512;

/// An open store. Threads share it.
#[pyclass(frozen, module = "hedgerow._hedgerow")]
pub(crate) struct Handle {
    /// `None` once it is closed.
    open: RwLock<Option<Arc<Open>>>,
    path: PathBuf,
    /// The process that opened it: locks and threads do not survive a fork.
    process: u32,
}

pub(crate) struct Open {
    store: Arc<Store>,
    /// By name; opened at their first use.
    engines: Mutex<HashMap<String, Arc<Engine>>>,
    /// The embeddings of a kind that were read last, by model.
    embeddings: Mutex<HashMap<(String, String), Embeddings>>,
}

/// The embeddings of a kind in one epoch of one generation.
struct Embeddings {
    of: (u64, u64),
    vectors: Py<PyAny>,
    keys: Py<PyAny>,
}

impl Drop for Handle {
    fn drop(&mut self) {
        // After a fork the threads of the store are missing, and its end would wait for them.
        if std::process::id() != self.process {
            std::mem::forget(self.open.get_mut().unwrap_or_else(PoisonError::into_inner).take());
        }
    }
}

impl Handle {
    fn get(&self) -> PyResult<Arc<Open>> {
        if std::process::id() != self.process {
            let path = self.path.display();
            let text = format!(
                "this handle of {path} was opened before a fork; open the store in each process, read-only beside the writer"
            );
            return Err(raise("forked", &text, None));
        }
        let open = self.open.read().unwrap_or_else(PoisonError::into_inner);
        open.clone().ok_or_else(|| raise("closed", &format!("{} is closed", self.path.display()), None))
    }
}

impl Open {
    /// The engine of a model that was trained; of the default one also before.
    fn engine(&self, model: Option<&str>) -> Result<Arc<Engine>, Failure> {
        if let Some(name) = model.filter(|name| *name != self.store.default_set()) {
            let known = self.store.derived_sets();
            if !known.iter().any(|known| known == name) {
                let (model, known) = (name.to_owned(), known.join(", "));
                return Err(ModelError::UnknownModel { model, known }.into());
            }
        }
        self.engine_to_train(model)
    }

    fn engine_to_train(&self, model: Option<&str>) -> Result<Arc<Engine>, Failure> {
        let name = model.map_or_else(|| self.store.default_set(), str::to_owned);
        let mut engines = self.engines.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(engine) = engines.get(&name) {
            return Ok(Arc::clone(engine));
        }
        let engine = Arc::new(Engine::open_model(Arc::clone(&self.store), &name)?);
        engines.insert(name, Arc::clone(&engine));
        Ok(engine)
    }
}

fn names(names: &[String]) -> PyResult<Vec<NodeName>> {
    names.iter().map(|name| Ok(node(name)?.to_name())).collect()
}

/// A token that ends with the call, if there is a deadline.
fn token(seconds: Option<f64>) -> PyResult<CancelToken> {
    let Some(seconds) = seconds else { return Ok(CancelToken::new()) };
    let after = Duration::try_from_secs_f64(seconds)
        .map_err(|_| invalid(&format!("found a deadline of {seconds}, expected seconds above 0")))?;
    Ok(until(&CancelToken::new(), after))
}

#[pymethods]
impl Handle {
    #[staticmethod]
    fn open(
        py: Python<'_>,
        path: PathBuf,
        create: bool,
        read_only: bool,
        low_memory: bool,
    ) -> PyResult<Self> {
        let store = long(py, None, |cancel, _| {
            let options = Store::options().create(create).read_only(read_only).low_memory(low_memory);
            options.cancel(cancel).open(&path)
        })?;
        let open = Open { store: Arc::new(store), engines: Mutex::default(), embeddings: Mutex::default() };
        Ok(Self { open: RwLock::new(Some(Arc::new(open))), path, process: std::process::id() })
    }

    /// Ends the handle. Calls that run in other threads end by themselves, and the lock of the store goes with the last.
    fn close(&self, py: Python<'_>) {
        let open = self.open.write().unwrap_or_else(PoisonError::into_inner).take();
        py.detach(|| drop(open));
    }

    #[getter]
    fn is_closed(&self) -> bool {
        self.open.read().unwrap_or_else(PoisonError::into_inner).is_none()
    }

    #[getter]
    fn is_read_only(&self) -> PyResult<bool> {
        Ok(self.get()?.store.is_read_only())
    }

    /// True if another process has published since this read-only handle was opened.
    fn is_outdated(&self, py: Python<'_>) -> PyResult<bool> {
        let open = self.get()?;
        short(py, || open.store.is_outdated())
    }

    /// Copies the store into a new folder, while it is used.
    fn backup(&self, py: Python<'_>, folder: PathBuf) -> PyResult<()> {
        let open = self.get()?;
        long(py, None, |cancel, _| open.store.backup(&folder, cancel)).map(drop)
    }

    /// Writes the files of the graph, which shortens the log.
    fn checkpoint(&self, py: Python<'_>) -> PyResult<()> {
        let open = self.get()?;
        long(py, None, |cancel, _| open.store.checkpoint(cancel))
    }

    fn commit<'py>(&self, py: Python<'py>, batch: &PyBatch) -> PyResult<Bound<'py, PyAny>> {
        let open = self.get()?;
        let commit = short(py, || open.store.commit(&batch.lock()))?;
        to_fields(py, &commit)
    }

    /// Adds the edges of a table; see `edges_in`. An end is a kind and a column. The relation is a name, or a column if `relation_column` is
    /// given. `half_life` is in microseconds.
    #[expect(clippy::too_many_arguments, reason = "the columns and options of an edge, by name in Python")]
    fn link<'py>(
        &self,
        py: Python<'py>,
        table: &Table,
        src: (String, String),
        dst: (String, String),
        weight: Option<&str>,
        time: Option<&str>,
        time_scale: Option<i64>,
        relation: Option<String>,
        relation_column: Option<&str>,
        repeated: &str,
        half_life: Option<u64>,
        is_dislike: bool,
    ) -> PyResult<Bound<'py, PyAny>> {
        let open = self.get()?;
        let end = |(kind, column): (String, String)| {
            Ok::<_, PyErr>(End { kind, column: table.column_number(&column)? })
        };
        let number = |name: Option<&str>| name.map(|name| table.column_number(name)).transpose();
        let relation = match (relation, number(relation_column)?) {
            (_, Some(column)) => RelationOf::Column(column),
            (Some(name), None) => RelationOf::Named(name),
            (None, None) => RelationOf::Default,
        };
        let columns = EdgeColumns {
            src: end(src)?,
            dst: end(dst)?,
            weight: number(weight)?,
            time: number(time)?,
            time_scale,
            relation,
            options: relation_options(half_life, is_dislike),
            repeat: repeat(repeated)?,
        };
        let commits = long(py, None, |cancel, _| take_edges(&open.store, table.batches(), &columns, cancel))?;
        to_fields(py, &commits)
    }

    fn snapshot(&self) -> PyResult<PySnapshot> {
        Ok(PySnapshot(self.get()?.store.snapshot()))
    }

    fn train<'py>(
        &self,
        py: Python<'py>,
        options: &Bound<'py, PyAny>,
        model: Option<&str>,
        observer: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let (open, options) = (self.get()?, from_fields::<TrainOptions>(options)?);
        let report = long(py, observer, |cancel, events| {
            let engine = open.engine_to_train(model)?;
            let (of_stages, of_epochs) = (events.clone(), events.clone());
            let cancel = cancel.observed(move |at| drop(of_stages.send(progress(at))));
            let mut heard = |event: &TrainEvent| {
                train_event(event).map(|event| of_epochs.send(event));
            };
            Ok::<_, Failure>(engine.training(&options).observer(&mut heard).run(&cancel)?)
        })?;
        to_fields(py, &report)
    }

    fn refresh<'py>(&self, py: Python<'py>, model: Option<&str>, full: bool) -> PyResult<Bound<'py, PyAny>> {
        let open = self.get()?;
        let report = long(py, None, |cancel, _| {
            let engine = open.engine(model)?;
            let report = engine.refresh(full, cancel)?;
            Ok::<_, Failure>(report)
        })?;
        to_fields(py, &report)
    }

    /// Makes the rows of refreshes durable, and the files of the graph where the log is long.
    fn persist(&self, py: Python<'_>, model: Option<&str>) -> PyResult<()> {
        let open = self.get()?;
        long(py, None, |cancel, _| Ok::<_, Failure>(open.engine(model)?.persist(cancel)?))
    }

    /// True if the rows are those of a rebuild, bit for bit, and what was compared.
    fn verify(&self, py: Python<'_>, model: Option<&str>) -> PyResult<(bool, String)> {
        let open = self.get()?;
        let report = long(py, None, |cancel, _| Ok::<_, Failure>(open.engine(model)?.verify(cancel)?))?;
        Ok((matches!(report.comparison, hedgerow::RowComparison::Equal { .. }), report.to_string()))
    }

    fn digest(&self, py: Python<'_>, model: Option<&str>) -> PyResult<String> {
        let open = self.get()?;
        Ok(long(py, None, |cancel, _| Ok::<_, Failure>(open.engine(model)?.digest(cancel)?))?.digest)
    }

    fn status<'py>(&self, py: Python<'py>, model: Option<&str>) -> PyResult<Bound<'py, PyAny>> {
        let open = self.get()?;
        let status = short(py, || Ok::<_, Failure>(open.engine(model)?.status()))?;
        to_fields(py, &status)
    }

    /// Answers to one node or to many, and the facts of each answer.
    fn similar<'py>(
        &self,
        py: Python<'py>,
        nodes: Vec<String>,
        query: &Bound<'py, PyAny>,
        model: Option<&str>,
        deadline: Option<f64>,
    ) -> PyResult<(Table, Bound<'py, PyAny>)> {
        let (open, query, asked) = (self.get()?, from_fields::<Query>(query)?, names(&nodes)?);
        let token = token(deadline)?;
        let answers = if let [name] = &*asked {
            short(py, || {
                let engine = open.engine(model)?;
                Ok::<_, Failure>(vec![engine.similar(name.as_ref(), &query, &token).map_err(Failure::from)])
            })?
        } else {
            long(py, None, |cancel, _| {
                let answers = open.engine(model)?.similar_many(&asked, &query, &bounded(cancel, deadline))?;
                let answers = answers.into_iter().map(|answer| answer.map_err(Failure::from));
                Ok::<_, Failure>(answers.collect())
            })?
        };
        let answers = nodes.into_iter().zip(answers).collect();
        Answered { answers, snapshot: open.store.snapshot() }.into_python(py, query.explain)
    }

    /// Answers to one recipient or to many: each is a node, or a history of nodes.
    fn recommend<'py>(
        &self,
        py: Python<'py>,
        recipients: Vec<Asking>,
        query: &Bound<'py, PyAny>,
        model: Option<&str>,
        deadline: Option<f64>,
    ) -> PyResult<(Table, Bound<'py, PyAny>)> {
        let (open, query) = (self.get()?, from_fields::<Query>(query)?);
        let token = token(deadline)?;
        let asked: Vec<Recipient> = recipients.iter().map(Asking::recipient).collect::<PyResult<_>>()?;
        let answers = if let [one] = &*asked {
            short(py, || {
                Ok::<_, Failure>(vec![
                    open.engine(model)?.recommend(one, &query, &token).map_err(Failure::from),
                ])
            })?
        } else {
            long(py, None, |cancel, _| {
                let (recommender, cancel) =
                    (open.engine(model)?.recommender(&query)?, bounded(cancel, deadline));
                let mut answers = Vec::with_capacity(asked.len());
                for some in asked.chunks(TOGETHER) {
                    let some = recommender.recommend(some, &cancel)?;
                    answers.extend(some.into_iter().map(|answer| answer.map_err(Failure::from)));
                }
                Ok::<_, Failure>(answers)
            })?
        };
        let questions = asked.iter().map(ToString::to_string);
        let answers = questions.zip(answers).collect();
        Answered { answers, snapshot: open.store.snapshot() }.into_python(py, query.explain)
    }

    /// The vectors of a kind in the order of its nodes, which nobody can write to, and their keys. Refreshes first if nodes are dirty.
    fn embeddings<'py>(
        &self,
        py: Python<'py>,
        kind: &str,
        model: Option<&str>,
    ) -> PyResult<(Bound<'py, PyAny>, Py<PyAny>)> {
        let open = self.get()?;
        let engine = short(py, || open.engine(model))?;
        let at = (engine.name().to_owned(), kind.to_owned());
        let status = engine.status();
        if status.generation.is_some() && !status.targets.iter().any(|target| target == kind) {
            let targets = status.targets.join(", ");
            let text = format!("nodes of kind '{kind}' have no embedding; the model embeds {targets}");
            return Err(raise("not_embedded", &text, None));
        }
        let of = (
            status.embedded.map_or(0, hedgerow::Epoch::get),
            status.generation.map_or(0, hedgerow::Generation::get),
        );
        let mut known = open.embeddings.lock_py_attached(py).unwrap_or_else(PoisonError::into_inner);
        if status.dirty_nodes > 0 || known.get(&at).is_none_or(|known| known.of != of) {
            drop(known);
            let (vectors, keys, dim, of) = long(py, None, |cancel, _| {
                let export = engine.export_embeddings(cancel)?;
                let (graph, mut vectors, mut keys) = (export.snapshot(), Vec::new(), Vec::new());
                let kind = graph
                    .kind_ix(kind)
                    .ok_or_else(|| Failure::Value(format!("no kind {kind:?} in the store")))?;
                for node in graph.nodes_of(kind) {
                    if let Some(row) = export.row(node) {
                        vectors.extend_from_slice(&row.vector);
                        keys.push(graph.name(node).key);
                    }
                }
                let generation = engine.status().generation.map_or(0, hedgerow::Generation::get);
                Ok::<_, Failure>((vectors, keys, export.dim(), (graph.epoch().get(), generation)))
            })?;
            // Over bytes, because the flags of an array that owns its numbers could be set back.
            let bytes = PyBytes::new_with(py, 4 * vectors.len(), |bytes| {
                for (bytes, number) in bytes.chunks_exact_mut(4).zip(&vectors) {
                    bytes.copy_from_slice(&number.to_le_bytes());
                }
                Ok(())
            })?;
            let vectors = py.import("numpy")?.call_method1("frombuffer", (bytes, "<f4"))?;
            let vectors = vectors.call_method1("reshape", (keys.len(), dim))?;
            let keys = keys.into_pyobject(py)?.into_any().unbind();
            known = open.embeddings.lock_py_attached(py).unwrap_or_else(PoisonError::into_inner);
            known.insert(at.clone(), Embeddings { of, vectors: vectors.unbind(), keys });
        }
        let found = &known[&at];
        Ok((found.vectors.bind(py).clone(), found.keys.clone_ref(py)))
    }

    /// The embedding of one node, at the epoch of the answers; of the present graph with `now`.
    fn embedding<'py>(
        &self,
        py: Python<'py>,
        name: &str,
        model: Option<&str>,
        now: bool,
    ) -> PyResult<Bound<'py, PyArray1<f32>>> {
        let (open, name) = (self.get()?, node(name)?);
        let embedded = short(py, || {
            let engine = open.engine(model)?;
            Ok::<_, Failure>(if now {
                engine.embedding_now(name, &CancelToken::new())?
            } else {
                engine.embedding(name)?
            })
        })?;
        let mut vector = embedded.vector;
        // The last number is the popularity, which answers add to a score.
        vector.pop();
        Ok(PyArray1::from_vec(py, vector))
    }

    /// The quality of recommendations to users whose test items are given.
    fn evaluate<'py>(
        &self,
        py: Python<'py>,
        users: Vec<(String, Vec<String>)>,
        k: usize,
        compared: usize,
        model: Option<&str>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let open = self.get()?;
        let users: Vec<(NodeName, Vec<NodeName>)> = users
            .iter()
            .map(|(user, items)| Ok((node(user)?.to_name(), names(items)?)))
            .collect::<PyResult<_>>()?;
        let options = EvaluateOptions { k, compared, ..EvaluateOptions::default() };
        let report = long(py, None, |cancel, _| {
            Ok::<_, Failure>(open.engine(model)?.evaluate_recommend(&users, &options, cancel)?)
        })?;
        to_fields(py, &report)
    }

    /// Starts a thread that refreshes by itself. `max_age` is in seconds.
    fn updater(
        &self,
        py: Python<'_>,
        max_age: f64,
        persist_every: Option<f64>,
        model: Option<&str>,
    ) -> PyResult<PyUpdater> {
        let open = self.get()?;
        let seconds = |name: &str, seconds: f64| {
            Duration::try_from_secs_f64(seconds)
                .map_err(|_| invalid(&format!("found {name}={seconds}, expected seconds")))
        };
        let options = UpdaterOptions {
            max_age: seconds("max_age", max_age)?,
            persist_every: persist_every.map(|every| seconds("persist_every", every)).transpose()?,
            ..UpdaterOptions::default()
        };
        let updater = short(py, || {
            let engine = open.engine(model)?;
            Ok::<_, Failure>(Updater::start(engine, &options, |_| ())?)
        })?;
        Ok(PyUpdater::new(updater, open))
    }

    /// The models: name, default or not, generation, embedded nodes.
    fn models(&self, py: Python<'_>) -> PyResult<Vec<(String, bool, u64)>> {
        let open = self.get()?;
        let default = open.store.default_set();
        let models = short(py, || Engine::models(&open.store))?;
        Ok(models
            .into_iter()
            .map(|model| (model.name == default, model))
            .map(|(is_default, model)| (model.name, is_default, model.generation.get()))
            .collect())
    }

    fn promote(&self, py: Python<'_>, model: &str) -> PyResult<()> {
        let open = self.get()?;
        short(py, || Ok::<_, Failure>(open.engine(Some(model))?.promote()?))
    }

    fn rollback(&self, py: Python<'_>, model: Option<&str>) -> PyResult<u64> {
        let open = self.get()?;
        let generation = long(py, None, |cancel, _| Ok::<_, Failure>(open.engine(model)?.rollback(cancel)?))?;
        Ok(generation.get())
    }

    fn drop_model(&self, py: Python<'_>, model: &str) -> PyResult<()> {
        let open = self.get()?;
        short(py, || {
            Engine::drop_model(&open.store, model)?;
            open.engines.lock().unwrap_or_else(PoisonError::into_inner).remove(model);
            Ok::<_, Failure>(())
        })
    }

    /// The name of the model that answers where none is named, before one is trained.
    #[classattr]
    const MAIN: &'static str = MAIN_SET;
}

/// The token with a deadline of so many seconds from now on, which were checked.
fn bounded(cancel: &CancelToken, seconds: Option<f64>) -> CancelToken {
    let after = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    after.map_or_else(|| cancel.clone(), |after| until(cancel, after))
}

/// The token with a deadline; none where the clock does not go so far.
fn until(cancel: &CancelToken, after: Duration) -> CancelToken {
    Instant::now()
        .checked_add(after)
        .map_or_else(|| cancel.clone(), |deadline| cancel.with_deadline(deadline))
}

/// A recipient as Python gives it.
#[derive(FromPyObject)]
enum Asking {
    Node(String),
    History(Vec<String>),
}

impl Asking {
    fn recipient(&self) -> PyResult<Recipient> {
        Ok(match self {
            Self::Node(name) => Recipient::Node(node(name)?.to_name()),
            Self::History(history) => Recipient::History(names(history)?),
        })
    }
}

/// Checks a store on the disk; returns the problems.
#[pyfunction]
pub(crate) fn check(py: Python<'_>, path: PathBuf, deep: bool) -> PyResult<Vec<String>> {
    let options = hedgerow::CheckOptions { deep, read_only: false };
    let report = long(py, None, |cancel, _| Store::check(&path, options, cancel))?;
    Ok(report.problems.iter().map(ToString::to_string).collect())
}

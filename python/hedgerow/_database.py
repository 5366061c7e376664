"""The database as users see it. Every method is a call of the extension module, which is a call of the library."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import timedelta
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal

from . import _hedgerow
from ._answers import Answers
from ._errors import error
from ._rows import Rows
from ._tables import columns as columns_of
from ._tables import duration, microseconds, scale, table

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Repeat = Literal["last", "sum", "max", "count"]
Report = dict[str, Any]

_PICKLE = (
    "a handle of a store cannot be pickled, because locks and threads belong to one process; "
    "open the store in the other process, with read_only=True beside a writer: hedgerow.open(path, read_only=True)"
)


def open(  # noqa: A001
    path: str | os.PathLike[str],
    *,
    create: bool = True,
    read_only: bool = False,
    low_memory: bool = False,
) -> Database:
    """Opens a store in a folder.

    One process may have it open for writing, and any number ``read_only`` beside it, which see what was published before they opened it.
    With ``low_memory`` the files are mapped instead of loaded.

    Errors: ``LockedError``, ``NotAStoreError``, ``DamagedError``.
    """
    return Database(_hedgerow.Handle.open(os.fspath(path), create and not read_only, read_only, low_memory), os.fspath(path))


class Batch:
    """Changes that become durable and visible together. Nodes are named ``kind:key`` and are made where they are needed."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._batch = _hedgerow.Batch()
        self.report: Report | None = None
        """What the commit changed, once it is made."""

    def link(
        self,
        a: str,
        b: str,
        *,
        weight: float = 1.0,
        time: Any = None,
        relation: str | None = None,
        repeat: Repeat = "last",
    ) -> None:
        """Adds an edge. ``weight`` is above 0. ``relation`` is by default the one of the two kinds, such as ``item-user``.

        ``repeat`` says what happens if the edge is there: the last one counts, weights are summed or counted, or the largest is kept.
        """
        self._batch.link(a, b, weight, microseconds(time), relation, repeat)

    def unlink(self, a: str, b: str, *, relation: str | None = None) -> None:
        """Removes an edge, if it is there."""
        self._batch.unlink(a, b, relation)

    def add(self, node: str) -> None:
        """Adds a node without an edge."""
        self._batch.add_node(node)

    def remove(self, node: str) -> None:
        """Removes a node with its edges, features and properties."""
        self._batch.remove(node)

    def set(self, node: str, **properties: Any) -> None:
        """Sets properties: texts, numbers, booleans, moments, lists of texts. ``None`` removes one."""
        for name, value in properties.items():
            self._batch.set_property(node, name, _property(value))

    def set_tokens(self, node: str, tokens: Iterable[str]) -> None:
        """Sets the words that the model learns from, such as genres or the words of a title."""
        self._batch.set_tokens(node, list(tokens))

    def set_dense(self, node: str, block: str, values: Sequence[float] | NDArray[np.float32]) -> None:
        """Sets a row of numbers that the model learns from, such as the embedding of a picture."""
        self._batch.set_dense(node, block, [float(value) for value in values])

    def label(self, kind: str, prop: str | None) -> None:
        """Shows nodes of a kind by this property, such as ``title``."""
        self._batch.set_label(kind, prop)

    def declare(self, relation: str, *, half_life: str | timedelta | None = None, dislike: bool = False) -> None:
        """Sets what the edges of a relation mean, before its first edge: weights that halve with age, or dislikes."""
        self._batch.declare_relation(relation, None if half_life is None else duration(half_life), dislike)

    def commit(self) -> Report:
        """Makes the changes durable, and begins anew. Returns their counts."""
        self.report = self._database._handle.commit(self._batch)
        self._batch.clear()
        return self.report

    def __len__(self) -> int:
        return len(self._batch)

    def __enter__(self) -> Batch:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        if kind is None:
            self.commit()


class Database:
    """An open store: a graph that takes changes, and embeddings that follow them.

    All threads may use it at the same time; calls let other threads of Python run. Use it in a ``with`` block, or call ``close``.
    """

    def __init__(self, handle: _hedgerow.Handle, path: str) -> None:
        self._handle = handle
        self._path = path

    # --- the store

    @property
    def path(self) -> str:
        """The folder of the store."""
        return self._path

    @property
    def read_only(self) -> bool:
        """True if it was opened read-only."""
        return self._handle.is_read_only

    def is_outdated(self) -> bool:
        """True if the writer has published since this read-only handle was opened. A read-only handle stays as it is: open a new one."""
        return self._handle.is_outdated()

    def checkpoint(self) -> None:
        """Writes the files of the graph, which shortens the log, so that the next opening is faster. Nothing is lost without it."""
        self._handle.checkpoint()

    def backup(self, folder: str | os.PathLike[str]) -> None:
        """Copies the store into a new folder, while it is used."""
        self._handle.backup(os.fspath(folder))

    def close(self) -> None:
        """Ends the handle. What was committed is durable already. Further calls raise ``ClosedError``."""
        self._handle.close()

    def __enter__(self) -> Database:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def __repr__(self) -> str:
        if self._handle.is_closed:
            return f"hedgerow.Database({self._path!r}, closed)"
        snapshot = self._handle.snapshot()
        kinds = ", ".join(f"{count:,} {kind}" for kind, count in snapshot.kinds()) or "empty"
        edges = ", ".join(f"{name} {edges:,}" for name, edges, *_ in snapshot.relations())
        return f"hedgerow.Database({self._path!r}, nodes: {kinds}, edges: {edges or 'none'})"

    def __reduce__(self) -> Any:
        raise TypeError(_PICKLE)

    def __contains__(self, node: str) -> bool:
        return self._handle.snapshot().contains(node)

    def status(self, *, model: str | None = None) -> Report:
        """Epochs of graph and embeddings, the number of changed nodes that are not embedded yet, dimension, embedded kinds."""
        return self._handle.status(model)

    # --- changes

    def batch(self) -> Batch:
        """Changes to commit together: ``with db.batch() as b: b.link("user:1", "item:7")``. An exception in the block drops them."""
        return Batch(self)

    def link(
        self,
        rows: Any,
        *,
        src: tuple[str, str] | str,
        dst: tuple[str, str] | str,
        weight: str | None = None,
        time: str | None = None,
        time_unit: Literal["s", "ms", "us"] | None = None,
        relation: str | None = None,
        relation_column: str | None = None,
        repeat: Repeat = "last",
        half_life: str | timedelta | None = None,
        dislike: bool = False,
    ) -> Report:
        """Adds the edges of a table, and makes their nodes.

        ``rows`` is anything with ``__arrow_c_stream__`` (pyarrow, polars, DuckDB), a pandas frame, a dictionary of columns, a scipy matrix,
        or an iterable of tuples ``(src, dst, weight, time)`` or of dictionaries. ``src`` and ``dst`` are a kind and its column of keys:
        ``("user", "uid")``. For tuples and matrices the kind alone is enough. Keys are texts or integers.

        ``time`` is a column of moments, or of integers in ``time_unit``; without it the first integer tells the unit. ``half_life`` and
        ``dislike`` are for relations without edges so far: see ``Batch.declare``.

        Durable when it returns. All rows are checked before the first change. An empty store is loaded at once; in another one, batches of
        250,000 edges follow one another. Returns counts.

        Errors: ``InvalidError`` with the row; nothing changed then.
        """
        pair = isinstance(rows, (list, tuple)) or not hasattr(rows, "__arrow_c_stream__")
        names = (_column(src, "src"), _column(dst, "dst"), weight or "weight", time or "time")
        if _is_matrix(rows):
            rows, weight = _edges_of(rows, names), "weight"
        elif pair and not isinstance(rows, (str, bytes, Mapping)) and not hasattr(rows, "columns"):
            rows = list(rows) if isinstance(rows, Iterable) else rows
            if rows and isinstance(rows, list) and isinstance(rows[0], (tuple, list)):
                weight = weight or ("weight" if len(rows[0]) > 2 else None)
                time = time or ("time" if len(rows[0]) > 3 else None)
        commits = self._handle.link(
            table(rows, names),
            (_kind(src), names[0]),
            (_kind(dst), names[1]),
            weight,
            time,
            scale(time_unit),
            relation,
            relation_column,
            repeat,
            None if half_life is None else duration(half_life),
            dislike,
        )
        return _sum(commits)

    def add_nodes(
        self,
        rows: Any,
        *,
        kind: str,
        key: str,
        properties: Sequence[str] | None = None,
        tokens: Sequence[str] = (),
        label: str | None = None,
    ) -> Report:
        """Adds the nodes of a table with their properties, or sets the properties of nodes that are there.

        ``properties`` are columns; by default all but ``key``. ``tokens`` are columns of words for the model: lists, or texts whose words
        are taken. ``label`` is the property by which nodes are shown, such as ``"title"``. An empty cell sets nothing.

        Batches of some 200,000 changes follow one another, each durable by itself. Errors: ``InvalidError``; earlier batches stay.
        """
        columns = columns_of(rows)
        properties = [name for name in columns if name != key] if properties is None else properties
        for name in [key, *properties, *tokens]:
            if name not in columns:
                raise error("invalid", f"found no column {name!r}, expected one of {', '.join(columns)}")
        commits, batch = [], self.batch()
        for row, name in enumerate(columns[key]):
            node = f"{kind}:{name}"
            batch.add(node)
            for of in properties:
                value = columns[of][row]
                if not _is_gap(value):
                    batch.set(node, **{of: value})
            if tokens:
                batch.set_tokens(node, sorted({word for of in tokens for word in _words(columns[of][row])}))
            if len(batch) >= 200_000:
                commits.append(batch.commit())
        if label is not None:
            batch.label(kind, label)
        commits.append(batch.commit())
        return _sum(commits)

    # --- the model

    def train(
        self,
        targets: Sequence[str],
        *,
        progress: bool | Callable[[dict[str, Any]], None] = False,
        model: str | None = None,
        **options: Any,
    ) -> Report:
        """Trains a model that embeds the nodes of these kinds, and stores it with their embeddings.

        ``options`` are those of ``TrainOptions`` in Rust: ``dim=64``, ``epochs=20``, ``relations={"buys": 1, "views": .2}``, ``seed=1``,
        ``threads=0``, and so on. ``progress=True`` shows a bar (of tqdm, if it is installed); a function gets every event.
        ``model`` names another model beside the default one.

        Readers see the old model until it returns. Ctrl-C ends the training, keeps the model of the complete epochs, and raises
        ``KeyboardInterrupt``. Returns ``generation``, ``embedded``, ``seconds`` and the ``epochs`` with ``loss`` and ``recall``.
        """
        kinds = [targets] if isinstance(targets, str) else list(targets)
        if isinstance(options.get("relations"), Mapping):
            options["relations"] = [(name, float(weight)) for name, weight in options["relations"].items()]
        observer = _observer(progress, options.get("epochs"))
        try:
            return self._handle.train({"targets": kinds, **options}, model, observer)
        finally:
            if isinstance(observer, _Bar):
                observer.close()

    def refresh(self, *, full: bool = False, model: str | None = None) -> Report:
        """Recomputes the embeddings that changes since the last refresh made dirty, bit for bit as a rebuild (``full``) would."""
        return self._handle.refresh(model, full)

    def persist(self, *, model: str | None = None) -> None:
        """Makes the rows of refreshes durable, so that the next opening need not refresh again."""
        self._handle.persist(model)

    def verify(self, *, model: str | None = None) -> bool:
        """True if the embeddings are those of a rebuild, bit for bit."""
        return self._handle.verify(model)[0]

    def digest(self, *, model: str | None = None) -> str:
        """A hash of graph, model and embeddings: equal for equal content, on any machine, with any number of threads."""
        return self._handle.digest(model)

    def updater(
        self,
        *,
        max_age: float = 0.2,
        persist_every: float | None = None,
        model: str | None = None,
    ) -> Updater:
        """Starts a thread that refreshes once a commit is ``max_age`` seconds old. Stop it, or use it in a ``with`` block."""
        return Updater(self._handle.updater(max_age, persist_every, model))

    def models(self) -> list[tuple[str, bool, int]]:
        """The models: name, whether it answers by default, generation."""
        return self._handle.models()

    def promote(self, model: str) -> None:
        """Makes a model the one that answers where none is named."""
        self._handle.promote(model)

    def rollback(self, model: str | None = None) -> int:
        """Goes back to the generation before, whose embeddings are computed for the present graph. Returns its number."""
        return self._handle.rollback(model)

    def drop_model(self, model: str) -> None:
        """Removes a model with its embeddings."""
        self._handle.drop_model(model)

    # --- questions

    def similar(
        self,
        nodes: str | Sequence[str],
        k: int = 10,
        *,
        where: str | None = None,
        kind: str | None = None,
        exclude: Sequence[str] = (),
        exclude_relations: Sequence[str] = (),
        candidates: Sequence[str] | None = None,
        min_score: float | None = None,
        after: str | None = None,
        diverse: float = 0.0,
        only_new: str | timedelta | None = None,
        new_by: str | None = None,
        cosine: bool = False,
        explain: bool = False,
        deadline: float | None = None,
        model: str | None = None,
    ) -> Answers:
        """The nodes that are similar to one node, or to each of many.

        ``where`` filters by properties and tokens: ``'price < 5 and genres = comedy'``. ``candidates`` ranks these alone. ``after`` is
        ``Answers.next`` of the page before. ``diverse`` is from 0 to 1. ``deadline`` is in seconds. With many nodes, those without an
        answer are in ``Answers.errors``.
        """
        asked = [nodes] if isinstance(nodes, str) else list(nodes)
        query = _query(
            k, where, kind, exclude, exclude_relations, candidates, min_score, after, diverse, only_new, new_by, cosine, explain
        )
        return Answers(*self._handle.similar(asked, query, model, deadline))

    def recommend(
        self,
        users: str | Sequence[str] | None = None,
        k: int = 10,
        *,
        history: Sequence[str] | Sequence[Sequence[str]] | None = None,
        where: str | None = None,
        kind: str | None = None,
        exclude: Sequence[str] = (),
        exclude_relations: Sequence[str] = (),
        candidates: Sequence[str] | None = None,
        min_score: float | None = None,
        after: str | None = None,
        diverse: float = 0.0,
        only_new: str | timedelta | None = None,
        new_by: str | None = None,
        cosine: bool = False,
        explain: bool = False,
        include_seen: bool = False,
        interests: int | Literal["auto"] = 1,
        deadline: float | None = None,
        model: str | None = None,
    ) -> Answers:
        """Recommendations to a user, to each of many users, or for a history: a list of nodes, or a list of such lists.

        Nodes of the history are left out unless ``include_seen`` is set. See ``similar`` for the other options.
        """
        if (users is None) == (history is None):
            raise error("invalid", "found users and history, or neither, expected one of them")
        asked: list[Any]
        if history is not None:
            many = bool(history) and not isinstance(history[0], str)
            asked = [list(one) for one in history] if many else [list(history)]
        else:
            asked = [users] if isinstance(users, str) else list(users or ())
        query = _query(
            k, where, kind, exclude, exclude_relations, candidates, min_score, after, diverse, only_new, new_by, cosine, explain
        )
        query["include_seen"] = include_seen
        query["interests"] = "Auto" if interests == "auto" else {"AtMost": interests}
        return Answers(*self._handle.recommend(asked, query, model, deadline))

    def embeddings(self, kind: str, *, model: str | None = None) -> tuple[NDArray[np.float32], list[str]]:
        """The embeddings of a kind and the keys of their nodes: ``X, keys = db.embeddings("item")``.

        ``X`` has a unit vector of float32 for each node, and nobody can write to it. Refreshes first if nodes are dirty. It is of one epoch,
        and stays as it is while refreshes go on. Cost: a copy at the first call in an epoch, none at further ones.
        """
        return self._handle.embeddings(kind, model)

    def embedding(self, node: str, *, now: bool = False, model: str | None = None) -> NDArray[np.float32]:
        """The embedding of a node. With ``now`` it is that of the present graph, without a refresh."""
        return self._handle.embedding(node, model, now)

    def evaluate(
        self,
        test: Mapping[str, Sequence[str]],
        k: int = 20,
        *,
        compared: int = 5000,
        model: str | None = None,
    ) -> Report:
        """The quality of recommendations to users, given the items that each should get, beside baselines for at most ``compared`` users."""
        users = [(user, list(items)) for user, items in test.items()]
        return self._handle.evaluate(users, k, compared, model)

    # --- the graph

    def snapshot(self) -> Snapshot:
        """The graph as it is now. Later commits do not change it."""
        return Snapshot(self._handle.snapshot())

    def nodes(self, kind: str) -> Rows:
        """The nodes of a kind: ``key``, ``degree``, and a column for each property."""
        return self.snapshot().nodes(kind)

    def edges(self, relation: str, *, kinds: tuple[str, str] | None = None) -> Rows:
        """The edges of a relation: a column of keys for each kind, named as the kind; ``weight``; ``time``."""
        return self.snapshot().edges(relation, kinds=kinds)

    def neighbors(self, node: str, *, relation: str | None = None) -> Rows:
        """The neighbors of a node: ``node``, ``weight``, ``time``, ``relation``."""
        return self.snapshot().neighbors(node, relation=relation)

    def csr(self, relation: str, *, kinds: tuple[str, str] | None = None) -> tuple[Any, list[str], list[str]]:
        """The edges of a relation as a matrix, with the keys of its rows and columns.

        It is a ``scipy.sparse.csr_array`` of float32 if scipy is installed, otherwise a tuple ``(data, indices, indptr)``. ``kinds`` are
        those of rows and columns.
        """
        return self.snapshot().csr(relation, kinds=kinds)

    @property
    def aio(self) -> Any:
        """The same methods for asyncio: ``await db.aio.similar("item:7")``. They run in a pool of threads."""
        from ._aio import Aio

        return Aio(self)


class Snapshot:
    """The graph of one epoch. Later commits do not change it."""

    def __init__(self, snapshot: _hedgerow.Snapshot) -> None:
        self._snapshot = snapshot

    @property
    def epoch(self) -> int:
        """The epoch."""
        return self._snapshot.epoch

    def __len__(self) -> int:
        return self._snapshot.node_count

    def __contains__(self, node: str) -> bool:
        return self._snapshot.contains(node)

    def kinds(self) -> dict[str, int]:
        """The kinds with their numbers of nodes."""
        return dict(self._snapshot.kinds())

    def relations(self) -> dict[str, Report]:
        """The relations: their ``edges``, pairs of ``kinds``, ``half_life`` and whether they are ``dislike``."""
        return {
            name: {
                "edges": edges,
                "kinds": [tuple(pair) for pair in kinds],
                "half_life": None if half_life is None else timedelta(microseconds=half_life),
                "dislike": dislike,
            }
            for name, edges, kinds, half_life, dislike in self._snapshot.relations()
        }

    def nodes(self, kind: str) -> Rows:
        """See ``Database.nodes``."""
        return Rows(self._snapshot.nodes(kind))

    def edges(self, relation: str, *, kinds: tuple[str, str] | None = None) -> Rows:
        """See ``Database.edges``."""
        return Rows(self._snapshot.edges(relation, kinds))

    def neighbors(self, node: str, *, relation: str | None = None) -> Rows:
        """See ``Database.neighbors``."""
        return Rows(self._snapshot.neighbors(node, relation))

    def csr(self, relation: str, *, kinds: tuple[str, str] | None = None) -> tuple[Any, list[str], list[str]]:
        """See ``Database.csr``."""
        data, indices, indptr, rows, columns = self._snapshot.csr(relation, kinds)
        try:
            from scipy.sparse import csr_array
        except ImportError:
            return (data, indices, indptr), rows, columns
        return csr_array((data, indices, indptr), shape=(len(rows), len(columns))), rows, columns

    def __reduce__(self) -> Any:
        raise TypeError(_PICKLE)


class Updater:
    """A thread that refreshes by itself until it is stopped."""

    def __init__(self, updater: _hedgerow.Updater) -> None:
        self._updater = updater

    def flush(self) -> int:
        """Waits until all commits of before are embedded. Returns their epoch."""
        return self._updater.flush()

    def report(self) -> Report:
        """Counts of refreshes and failures, the last error, and the last refresh."""
        return self._updater.report()

    def stop(self) -> Report:
        """Stops the thread and waits for its end."""
        return self._updater.stop()

    def __enter__(self) -> Updater:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()

    def __reduce__(self) -> Any:
        raise TypeError(_PICKLE)


class _Bar:
    """Shows a training: a bar of tqdm, or a line for each epoch."""

    def __init__(self, epochs: int | None) -> None:
        try:
            from tqdm.auto import tqdm
        except ImportError:
            self._bar: Any = None
        else:
            self._bar = tqdm(total=epochs, unit="epoch")

    def __call__(self, event: dict[str, Any]) -> None:
        if event["event"] == "epoch":
            recall = event.get("score_recall") or event.get("recall")
            if self._bar is None:
                print(f"epoch {event['epoch']}: loss {event['loss']:.4f}, recall {recall or 0:.4f}", file=sys.stderr)
            else:
                self._bar.update(1)
                self._bar.set_postfix(loss=f"{event['loss']:.4f}", recall=f"{recall or 0:.4f}")
        elif event["event"] == "progress" and self._bar is not None:
            self._bar.set_description(event["stage"], refresh=False)

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()


def _observer(
    progress: bool | Callable[[dict[str, Any]], None], epochs: int | None
) -> Callable[[dict[str, Any]], None] | None:
    if progress is True:
        return _Bar(epochs)
    return progress if callable(progress) else None


def _property(value: Any) -> Any:
    """A value of a property as the extension module takes it; a moment as a tuple."""
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if type(value).__module__ == "numpy" and value.ndim == 0 and value.dtype.kind != "M":
        return value.item()
    if isinstance(value, (list, tuple, set)) or getattr(value, "ndim", 0) == 1:
        return [str(item) for item in (sorted(value) if isinstance(value, set) else value)]
    return (microseconds(value),)


def _is_gap(value: Any) -> bool:
    """True for no value: None, a number that is none, a moment that is none."""
    return value is None or (not isinstance(value, (str, list, tuple)) and getattr(value, "ndim", 0) == 0 and bool(value != value))


def _words(value: Any) -> list[str]:
    if _is_gap(value):
        return []
    return str(value).split() if isinstance(value, str) else [str(word) for word in value]


def _kind(end: tuple[str, str] | str) -> str:
    return end if isinstance(end, str) else end[0]


def _column(end: tuple[str, str] | str, default: str) -> str:
    return default if isinstance(end, str) else end[1]


def _is_matrix(rows: Any) -> bool:
    return hasattr(rows, "tocoo") and hasattr(rows, "shape")


def _edges_of(matrix: Any, names: Sequence[str]) -> dict[str, Any]:
    edges = matrix.tocoo()
    rows, columns = (edges.coords if hasattr(edges, "coords") else (edges.row, edges.col))[-2:]
    kept = edges.data != 0
    return {names[0]: rows[kept], names[1]: columns[kept], "weight": edges.data[kept].astype("float64")}


def _sum(commits: list[Report]) -> Report:
    total: Report = {"epoch": 0}
    for commit in commits:
        for name, count in commit.items():
            total[name] = max(total["epoch"], count) if name == "epoch" else total.get(name, 0) + count
    return total


def _query(
    k: int,
    where: str | None,
    kind: str | None,
    exclude: Sequence[str],
    exclude_relations: Sequence[str],
    candidates: Sequence[str] | None,
    min_score: float | None,
    after: str | None,
    diverse: float,
    only_new: str | timedelta | None,
    new_by: str | None,
    cosine: bool,
    explain: bool,
) -> dict[str, Any]:
    query: dict[str, Any] = {
        "k": k,
        "filter": where,
        "kind": kind,
        "exclude": list(exclude),
        "exclude_relations": list(exclude_relations),
        "candidates": None if candidates is None else list(candidates),
        "min_score": min_score,
        "after": after,
        "diverse": diverse,
        "cosine": cosine,
        "explain": explain,
    }
    if only_new is not None:
        query["only_new"] = {"since": int(time.time() * 1e6) - duration(only_new), "property": new_by}
    return query

"""The database as users see it. Every method is a call of the extension module, which is a call of the library."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import timedelta
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal

from . import _hedgerow
from ._answers import Answers
from ._batch import Batch, Repeat, Report
from ._errors import error
from ._progress import Bar
from ._progress import observer as observer_of
from ._query import query_of
from ._rows import Rows
from ._snapshot import NOT_PICKLED, Snapshot
from ._tables import columns as columns_of
from ._tables import duration, scale, table
from ._updater import Updater

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def open(
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
    return Database(
        _hedgerow.Handle.open(os.fspath(path), create and not read_only, read_only, low_memory), os.fspath(path)
    )


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

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        if self._handle.is_closed:
            return f"hedgerow.Database({self._path!r}, closed)"
        snapshot = self._handle.snapshot()
        kinds = ", ".join(f"{count:,} {kind}" for kind, count in snapshot.kinds()) or "empty"
        edges = ", ".join(f"{name} {edges:,}" for name, edges, *_ in snapshot.relations())
        return f"hedgerow.Database({self._path!r}, nodes: {kinds}, edges: {edges or 'none'})"

    def __reduce__(self) -> Any:
        raise TypeError(NOT_PICKLED)

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
        observer = observer_of(progress, options.get("epochs"))
        try:
            return self._handle.train({"targets": kinds, **options}, model, observer)
        finally:
            if isinstance(observer, Bar):
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
        query = query_of(
            k,
            where,
            kind,
            exclude,
            exclude_relations,
            candidates,
            min_score,
            after,
            diverse,
            only_new,
            new_by,
            cosine,
            explain,
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
        query = query_of(
            k,
            where,
            kind,
            exclude,
            exclude_relations,
            candidates,
            min_score,
            after,
            diverse,
            only_new,
            new_by,
            cosine,
            explain,
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


def _is_gap(value: Any) -> bool:
    """True for no value: None, a number that is none, a moment that is none."""
    return value is None or (
        not isinstance(value, (str, list, tuple)) and getattr(value, "ndim", 0) == 0 and bool(value != value)
    )


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

"""The graph of one epoch as tables and matrices."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from . import _hedgerow
from ._rows import Rows

NOT_PICKLED = (
    "a handle of a store cannot be pickled, because locks and threads belong to one process; "
    "open the store in the other process, with read_only=True beside a writer: hedgerow.open(path, read_only=True)"
)


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

    def relations(self) -> dict[str, dict[str, Any]]:
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
        raise TypeError(NOT_PICKLED)

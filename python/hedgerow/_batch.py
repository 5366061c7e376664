"""Changes that are committed together."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import timedelta
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal

from . import _hedgerow
from ._tables import duration, microseconds

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ._database import Database

Repeat = Literal["last", "sum", "max", "count"]
Report = dict[str, Any]


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

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.commit()


def _property(value: Any) -> Any:
    """A value of a property as the extension module takes it; a moment as a tuple."""
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if type(value).__module__ == "numpy" and value.ndim == 0 and value.dtype.kind != "M":
        return value.item()
    if isinstance(value, (list, tuple, set)) or getattr(value, "ndim", 0) == 1:
        return [str(item) for item in (sorted(value) if isinstance(value, set) else value)]
    return (microseconds(value),)

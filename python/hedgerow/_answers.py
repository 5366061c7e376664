"""Answers: a table that prints itself, with what was said about each question."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from . import _hedgerow
from ._errors import Error
from ._rows import Rows


class Answer(NamedTuple):
    """A node of an answer. ``label`` is its title, if its kind has one."""

    query: str
    rank: int
    node: str
    label: str | None
    score: float


class Answers(Rows):
    """The answers to one question or to many, best first: a row for each node.

    Columns: ``query``, ``rank`` from 1, ``node`` as ``kind:key``, ``label`` if nodes have titles, ``score`` (float32), and ``explanation``
    if asked for.
    """

    def __init__(self, table: _hedgerow.Table, facts: list[dict[str, Any]]) -> None:
        super().__init__(table)
        self._facts = facts
        if len(facts) == 1 and "error" in facts[0]:
            raise facts[0]["error"]

    @property
    def nodes(self) -> list[str]:
        """The nodes as ``kind:key``."""
        return list(self._table.column("node"))

    @property
    def keys(self) -> list[str]:
        """The nodes without their kind."""
        return [node.split(":", 1)[1] for node in self.nodes]

    @property
    def scores(self) -> Any:
        """The scores, float32."""
        return self._table.column("score")

    @property
    def question_numbers(self) -> list[int]:
        """For each row, the number of its question, from 0 on."""
        return [number for number, fact in enumerate(self._facts) for _ in range(fact.get("count", 0))]

    @property
    def errors(self) -> dict[str, Error]:
        """The questions of many that have no answer, and why."""
        return {fact["query"]: fact["error"] for fact in self._facts if "error" in fact}

    @property
    def facts(self) -> list[dict[str, Any]]:
        """For each question: ``source`` of the answer, ``epoch``, ``dirty_nodes``, ``next`` page, ``ignored`` nodes, ``interests``."""
        return self._facts

    @property
    def next(self) -> str | None:
        """The end of this page, for ``after``; ``None`` if there is no other page, or for many questions."""
        return self._facts[0].get("next") if len(self._facts) == 1 else None

    def __iter__(self) -> Iterator[Answer]:
        names = self._table.column_names
        labels = self._table.column("label") if "label" in names else [None] * len(self)
        columns = [self._table.column(name) for name in ("query", "rank", "node")]
        for query, rank, node, label, score in zip(*columns, labels, self.scores):
            yield Answer(query, int(rank), node, label, float(score))

    def _shown(self) -> dict[str, Any]:
        columns = self.to_dict()
        if len(self._facts) == 1:
            del columns["query"]
        return columns

    def _foot(self, most: int) -> str:
        more = f"{len(self) - most} more; " if len(self) > most else ""
        if len(self._facts) != 1:
            errors = len(self.errors)
            return f"{more}{len(self._facts)} questions" + (
                f", {errors} without an answer: see errors" if errors else ""
            )
        fact = self._facts[0]
        dirty = f", {fact['dirty_nodes']} nodes changed since" if fact["dirty_nodes"] else ""
        return f"{more}by {fact['source']}, epoch {fact['epoch']}{dirty}"

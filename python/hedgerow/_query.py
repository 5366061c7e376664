"""The options of a question, as the fields of the library's `Query`."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from ._tables import duration


def query_of(
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

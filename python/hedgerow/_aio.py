"""The database for asyncio: each call runs in a thread, so the loop goes on."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ._database import Database

_CALLS = [
    "link",
    "add_nodes",
    "train",
    "refresh",
    "persist",
    "verify",
    "digest",
    "status",
    "similar",
    "recommend",
    "embeddings",
    "embedding",
    "evaluate",
    "nodes",
    "edges",
    "neighbors",
    "csr",
    "promote",
    "rollback",
    "drop_model",
    "backup",
    "checkpoint",
    "is_outdated",
    "close",
]


class Aio:
    """``await db.aio.similar("item:7")``: the methods of ``Database`` of the same names."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def __getattr__(self, name: str) -> Any:
        if name not in _CALLS:
            raise AttributeError(f"no call {name!r} for asyncio, which has: {', '.join(_CALLS)}")
        call = getattr(self._database, name)

        async def waiting(*args: Any, **options: Any) -> Any:
            return await asyncio.to_thread(call, *args, **options)

        return waiting

    def __dir__(self) -> list[str]:
        return list(_CALLS)

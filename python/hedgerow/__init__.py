"""Hedgerow: an embedded graph database whose learned embeddings follow every edge, bit for bit.

import hedgerow

with hedgerow.open("graph") as db:
    db.link([("ann", "jazz"), ("ann", "blues"), ("bob", "jazz")], src="user", dst="item")
    db.train(["item"])
    print(db.similar("item:jazz"))
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from . import _errors
from ._answers import Answer, Answers
from ._batch import Batch
from ._database import Database, open
from ._errors import (
    CancelledError,
    ClosedError,
    DamagedError,
    Error,
    InvalidError,
    LockedError,
    NotAStoreError,
    NotEmbeddedError,
    NotFoundError,
    NotTrainedError,
    ReadOnlyError,
)
from ._hedgerow import VERSION as __version__
from ._hedgerow import check
from ._rows import Rows
from ._snapshot import Snapshot
from ._updater import Updater

if TYPE_CHECKING:
    from ._recommender import Recommender

__all__ = [
    "Answer",
    "Answers",
    "Batch",
    "CancelledError",
    "ClosedError",
    "DamagedError",
    "Database",
    "Error",
    "InvalidError",
    "LockedError",
    "NotAStoreError",
    "NotEmbeddedError",
    "NotFoundError",
    "NotTrainedError",
    "ReadOnlyError",
    "Recommender",
    "Rows",
    "Snapshot",
    "Updater",
    "__version__",
    "check",
    "open",
]


def __getattr__(name: str) -> Any:
    # The face of `implicit` is read when it is used.
    if name == "Recommender":
        from ._recommender import Recommender

        return Recommender
    raise AttributeError(f"module 'hedgerow' has no attribute {name!r}")


for _name in __all__:
    # Users see the public names in tracebacks.
    if isinstance(globals().get(_name), type):
        globals()[_name].__module__ = "hedgerow"
del _name, _errors

"""The exceptions of Hedgerow."""

from __future__ import annotations


class Error(Exception):
    """Any failure of a call of this package.

    ``kind`` is a word for decisions, and ``path`` the file or folder that it concerns, if it concerns one.
    """

    kind: str = "other"
    path: str | None = None


class NotFoundError(Error, LookupError):
    """A node, kind, relation or model does not exist."""


class InvalidError(Error, ValueError):
    """A value is not acceptable. Nothing changed."""


class LockedError(Error):
    """Another process has the store open for writing. Open it with ``read_only=True`` beside it."""


class NotAStoreError(Error):
    """The folder is not a store."""


class DamagedError(Error):
    """A file does not hold what was written to it."""


class NotTrainedError(Error):
    """The store has no embeddings yet: call ``train`` first."""


class NotEmbeddedError(Error, LookupError):
    """The node has no embedding: it came after the last refresh, or its kind is not embedded."""


class ReadOnlyError(Error):
    """The store is open read-only and cannot change."""


class CancelledError(Error):
    """The deadline of the call passed."""


class ClosedError(Error):
    """The handle is closed, or belongs to the process before a fork."""


_CLASSES: dict[str, type[Error]] = {
    "not_found": NotFoundError,
    "invalid": InvalidError,
    "locked": LockedError,
    "not_a_store": NotAStoreError,
    "damaged": DamagedError,
    "not_trained": NotTrainedError,
    "not_embedded": NotEmbeddedError,
    "read_only": ReadOnlyError,
    "cancelled": CancelledError,
    "closed": ClosedError,
    "forked": ClosedError,
}


def error(kind: str, message: str, path: object = None) -> Error:
    """The exception of a kind. The extension module calls it."""
    made = _CLASSES.get(kind, Error)(message)
    made.kind = kind
    made.path = None if path is None else str(path)
    return made

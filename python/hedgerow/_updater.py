"""The thread that refreshes by itself."""

from __future__ import annotations

from types import TracebackType
from typing import Any

from . import _hedgerow
from ._snapshot import NOT_PICKLED


class Updater:
    """A thread that refreshes by itself until it is stopped."""

    def __init__(self, updater: _hedgerow.Updater) -> None:
        self._updater = updater

    def flush(self) -> int:
        """Waits until all commits of before are embedded. Returns their epoch."""
        return self._updater.flush()

    def report(self) -> dict[str, Any]:
        """Counts of refreshes and failures, the last error, and the last refresh."""
        return self._updater.report()

    def stop(self) -> dict[str, Any]:
        """Stops the thread and waits for its end."""
        return self._updater.stop()

    def __enter__(self) -> Updater:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def __reduce__(self) -> Any:
        raise TypeError(NOT_PICKLED)

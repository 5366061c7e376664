"""The progress of a training, for people and for functions."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

Observer = Callable[[dict[str, Any]], None]


class Bar:
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


def observer(progress: bool | Observer, epochs: int | None) -> Observer | None:
    if progress is True:
        return Bar(epochs)
    return progress if callable(progress) else None

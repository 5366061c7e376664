"""The calls that the workload `python` of hedgerow-bench measures beside the library: prints their seconds as JSON.

Words: the store that answers, the csv of edges, an empty folder, the number of users.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.csv

import hedgerow


def seconds(rounds: int, call: Callable[[int], Any]) -> float:
    """The best of some rounds: whatever else runs can only slow a call down."""
    taken = []
    for number in range(rounds):
        since = time.perf_counter()
        call(number)
        taken.append(time.perf_counter() - since)
    return min(taken)


def main(store: str, edges: str, folder: str, users: int) -> dict[str, float]:
    rows = pyarrow.csv.read_csv(
        edges, convert_options=pyarrow.csv.ConvertOptions(column_types={"pin": "string", "board": "string"})
    )

    def link(number: int) -> None:
        with hedgerow.open(Path(folder) / str(number)) as db:
            db.link(rows, src=("pin", "pin"), dst=("board", "board"))

    with hedgerow.open(store, read_only=True) as db:
        boards = [f"board:{board}" for board in range(users)]
        db.recommend(boards[:10], 20)
        return {
            "link": seconds(3, link),
            "recommend": seconds(3, lambda _: db.recommend(boards, 20)),
            "similar": seconds(5, lambda _: [db.similar(f"pin:{pin}", 20, cosine=True) for pin in range(1000)]) / 1000,
            "embeddings": seconds(1, lambda _: db.embeddings("pin")),
            "embeddings again": seconds(20, lambda _: db.embeddings("pin")),
        }


if __name__ == "__main__":
    store, edges, folder, users = sys.argv[1:]
    print(json.dumps(main(store, edges, folder, int(users))))

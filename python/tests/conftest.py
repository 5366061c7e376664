"""A small graph that every test makes anew."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

import hedgerow

Edge = tuple[str, str, float, int]


def edges(users: int = 40, items: int = 30, seed: int = 1) -> list[Edge]:
    """Users of two tastes, with weights and times in microseconds. Most of their items are of their taste."""
    random_ = random.Random(seed)
    made = {}
    for user in range(users):
        for _ in range(8):
            item = random_.randrange(items // 2) * 2 + (user % 2 if random_.random() < 0.9 else 1 - user % 2)
            made[f"u{user}", f"i{item}"] = (
                1.0 + random_.randrange(4),
                1_700_000_000_000_000 + random_.randrange(10**12),
            )
    return [(user, item, weight, time) for (user, item), (weight, time) in made.items()]


@pytest.fixture
def db(tmp_path: Path) -> Iterator[hedgerow.Database]:
    """An empty store."""
    with hedgerow.open(tmp_path / "store") as database:
        yield database


@pytest.fixture
def trained(db: hedgerow.Database) -> hedgerow.Database:
    """A store with edges, titles, prices, and a model."""
    db.link(edges(), src="user", dst="item")
    with db.batch() as batch:
        for item in range(30):
            batch.set(f"item:i{item}", title=f"Item number {item}", price=item / 2)
        batch.label("item", "title")
    db.train(["item"], dim=8, epochs=1, ids="on")
    return db

"""The face of `implicit`: a recommender over a matrix of users and items. New rows need no retraining."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from ._database import Database
from ._database import open as open_store
from ._errors import error

if TYPE_CHECKING:
    from numpy.typing import NDArray

Found = tuple["NDArray[np.int32]", "NDArray[np.float32]"]


class Recommender:
    """Recommends columns of a matrix to its rows, with the methods and signatures of ``implicit``'s models.

    ``options`` are those of ``Database.train``. The graph lies in ``path``, or in a temporary folder that is removed with the object.
    ``partial_fit_users`` and ``partial_fit_items`` take new rows in without training: the result is, bit for bit, what all embeddings
    recomputed with the same model would give.
    """

    def __init__(self, dim: int = 64, *, path: str | os.PathLike[str] | None = None, **options: Any) -> None:
        self._options = {"dim": dim, **options}
        self._path = path
        self._folder: str | None = None
        self._database: Database | None = None
        self._shape = (0, 0)

    @property
    def db(self) -> Database:
        """The database behind it, for everything that `implicit` does not have."""
        if self._database is None:
            raise error("not_trained", "the recommender has no data yet: call fit first")
        return self._database

    def fit(
        self, user_items: Any, show_progress: bool = True, callback: Callable[[int, float, float], None] | None = None
    ) -> Recommender:
        """Trains on a sparse matrix of users and items, whose values above 0 are weights. What was there before is dropped.

        ``callback`` gets the number of each epoch, its seconds and its loss.
        """
        matrix = _csr(user_items)
        self.close()
        if self._path is None:
            self._folder = tempfile.mkdtemp(prefix="hedgerow-")
        self._database = open_store(self._path if self._path is not None else os.path.join(self._folder or "", "store"))
        self._database.link(matrix, src="user", dst="item")
        self._shape = matrix.shape
        self._add_nodes("user", 0, matrix.shape[0])
        self._add_nodes("item", 0, matrix.shape[1])
        observer: Any = show_progress
        if callback is not None:
            heard = callback

            def observer(event: dict[str, Any]) -> None:
                if event["event"] == "epoch":
                    heard(event["epoch"], event["seconds"], event["loss"])

        self._database.train(["item"], progress=observer, **self._options)
        return self

    def recommend(
        self,
        userid: Any,
        user_items: Any,
        N: int = 10,
        filter_already_liked_items: bool = True,
        filter_items: Any = None,
        recalculate_user: bool = False,
        items: Any = None,
    ) -> Found:
        """The ids (int32) and scores (float32) of the best N items for a user, or a row of each for an array of users.

        ``user_items`` are the rows of these users. They count with ``recalculate_user``; otherwise the history is the one that was fitted.
        Ids of -1 are where a user has fewer than N answers. With ``items``, ids have their type, as in `implicit`.
        """
        db, (users, many) = self.db, _ids(userid)
        asked: dict[str, Any]
        if recalculate_user:
            rows = _csr(user_items)
            asked = {
                "history": [
                    [f"item:{at}" for at in rows.indices[start:end]] for start, end in zip(rows.indptr, rows.indptr[1:])
                ]
            }
        else:
            self._require("user", users, self._shape[0])
            asked = {"users": [f"user:{user}" for user in users]}
        answers = db.recommend(
            k=N,
            kind="item",
            include_seen=not filter_already_liked_items,
            exclude=_names("item", filter_items) or [],
            candidates=_names("item", items),
            **asked,
        )
        ids, scores = self._found(answers, len(users), N, many)
        return (ids if items is None else ids.astype(np.asarray(items).dtype)), scores

    def similar_items(
        self,
        itemid: Any,
        N: int = 10,
        recalculate_item: bool = False,
        item_users: Any = None,
        filter_items: Any = None,
        items: Any = None,
    ) -> Found:
        """The ids (int32) and scores (float32) of the N items most similar to an item, or a row of each for an array of items.

        The item itself comes first, with the score 1, as in `implicit`; the others are scored by the cosine. For items whose users changed,
        call ``partial_fit_items`` in place of ``recalculate_item``.
        """
        if recalculate_item or item_users is not None:
            raise error("invalid", "found recalculate_item or item_users, expected a call of partial_fit_items before")
        db, (asked, many) = self.db, _ids(itemid)
        self._require("item", asked, self._shape[1])
        answers = db.similar(
            [f"item:{item}" for item in asked],
            max(N - 1, 1),
            kind="item",
            cosine=True,
            exclude=_names("item", filter_items) or [],
            candidates=_names("item", items),
        )
        ids, scores = self._found(answers, len(asked), max(N - 1, 1), True)
        ids = np.concatenate([np.asarray(asked, np.int32)[:, None], ids], axis=1)[:, :N]
        scores = np.concatenate([np.ones((len(asked), 1), np.float32), scores], axis=1)[:, :N]
        return (ids, scores) if many else (ids[0], scores[0])

    def partial_fit_users(self, userids: Any, user_items: Any) -> None:
        """Replaces the rows of these users, who may be new, and refreshes the embeddings."""
        self._replace("user", "item", _ids(userids)[0], _csr(user_items))

    def partial_fit_items(self, itemids: Any, item_users: Any) -> None:
        """Replaces the rows of these items, which may be new, and refreshes the embeddings."""
        self._replace("item", "user", _ids(itemids)[0], _csr(item_users))

    def close(self) -> None:
        """Closes the database, and removes its temporary folder."""
        if self._database is not None:
            self._database.close()
            self._database = None
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None

    def __del__(self) -> None:
        if getattr(self, "_folder", None) is not None:
            self.close()

    def _add_nodes(self, kind: str, first: int, end: int) -> None:
        with self.db.batch() as batch:
            for at in range(first, end):
                batch.add(f"{kind}:{at}")
                if len(batch) >= 500_000:
                    batch.commit()

    def _replace(self, kind: str, other: str, ids: list[int], rows: Any) -> None:
        if rows.shape[0] != len(ids):
            raise error("invalid", f"found {rows.shape[0]} rows for {len(ids)} ids")
        graph = self.db.snapshot()
        with self.db.batch() as batch:
            for row, one in enumerate(ids):
                node = f"{kind}:{one}"
                batch.add(node)
                new = rows.indices[rows.indptr[row] : rows.indptr[row + 1]]
                weights = rows.data[rows.indptr[row] : rows.indptr[row + 1]]
                kept = {f"{other}:{column}" for column, weight in zip(new, weights) if weight != 0}
                for column in graph.neighbors(node)["node"] if node in graph else []:
                    if column not in kept:
                        batch.unlink(node, column)
                for column, weight in zip(new, weights):
                    if weight != 0:
                        batch.link(node, f"{other}:{column}", weight=float(weight))
        users, items = self._shape
        first, second = (max(ids, default=-1) + 1, rows.shape[1])
        self._shape = (
            (max(users, first), max(items, second)) if kind == "user" else (max(users, second), max(items, first))
        )
        self.db.refresh()

    def _require(self, kind: str, ids: list[int], count: int) -> None:
        for one in ids:
            if not 0 <= one < count:
                raise IndexError(f"{kind} {one} is not among the {count} that were fitted")

    def _found(self, answers: Any, count: int, n: int, many: bool) -> Found:
        ids = np.full((count, n), -1, np.int32)
        scores = np.full((count, n), np.finfo(np.float32).min, np.float32)
        found = answers.to_dict()
        rows = zip(answers.question_numbers, found["rank"], answers.keys, found["score"])
        for row, rank, key, score in rows:
            ids[row, rank - 1], scores[row, rank - 1] = int(key), score
        return (ids, scores) if many else (ids[0], scores[0])


def _csr(matrix: Any) -> Any:
    try:
        from scipy.sparse import csr_array, issparse
    except ImportError:
        raise error("invalid", "the recommender takes matrices of scipy, which is not installed") from None
    if not issparse(matrix):
        raise error("invalid", f"found {type(matrix).__name__}, expected a sparse matrix of scipy")
    matrix = csr_array(matrix)
    if not np.isfinite(matrix.data).all() or (matrix.data < 0).any():
        raise error("invalid", "found a value that is below 0 or not finite, expected weights")
    return matrix


def _ids(ids: Any) -> tuple[list[int], bool]:
    many = not np.isscalar(ids)
    array = np.asarray(ids if many else [ids])
    if array.dtype.kind not in "iu":
        raise error("invalid", f"found ids of {array.dtype}, expected integers")
    return [int(one) for one in array], many


def _names(kind: str, ids: Any) -> list[str] | None:
    return None if ids is None else [f"{kind}:{int(one)}" for one in np.asarray(ids)]

"""The face of `implicit`: the same code runs with both, and new rows give what all embeddings computed again would."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import hedgerow

sparse = pytest.importorskip("scipy.sparse")


def _matrix(users: int = 60, items: int = 40, seed: int = 3) -> Any:
    random = np.random.default_rng(seed)
    dense = (random.random((users, items)) < 0.15) * (1 + random.integers(0, 3, (users, items)))
    return sparse.csr_matrix(dense.astype(np.float32))


@pytest.fixture
def model() -> Iterator[hedgerow.Recommender]:
    made = hedgerow.Recommender(dim=8, epochs=1).fit(_matrix(), show_progress=False)
    yield made
    made.close()


def _notebook(model: Any, matrix: Any) -> dict[str, Any]:
    """Code of a notebook that both libraries run."""
    model.fit(matrix, show_progress=False)
    found = {
        "one": model.recommend(3, matrix[3], N=5),
        "many": model.recommend(np.arange(4), matrix[:4], N=5),
        "seen": model.recommend(3, matrix[3], N=5, filter_already_liked_items=False),
        "some": model.recommend(3, matrix[3], N=3, items=np.array([1, 2, 5, 7]), filter_already_liked_items=False),
        "without": model.recommend(3, matrix[3], N=5, filter_items=[0, 1, 2]),
        "history": model.recommend(0, matrix[3], N=5, recalculate_user=True),
        "similar": model.similar_items(4, N=5),
        "similar of many": model.similar_items(np.array([4, 6]), N=5),
    }
    return found


def test_the_code_of_a_notebook_runs_with_both() -> None:
    als = pytest.importorskip("implicit.als")
    matrix = _matrix()
    theirs = _notebook(als.AlternatingLeastSquares(factors=8, iterations=2), matrix)
    ours = _notebook(hedgerow.Recommender(dim=8, epochs=1), matrix)
    for name, (ids, scores) in theirs.items():
        our_ids, our_scores = ours[name]
        assert (our_ids.shape, our_ids.dtype, our_scores.shape, our_scores.dtype) == (
            ids.shape,
            ids.dtype,
            scores.shape,
            scores.dtype,
        ), name
        assert (our_ids >= 0).all(), name
    liked = set(matrix[3].indices)
    assert not liked & set(ours["one"][0]) and not {0, 1, 2} & set(ours["without"][0])
    assert set(ours["some"][0]) <= {1, 2, 5, 7}
    assert ours["similar"][0][0] == theirs["similar"][0][0] == 4
    assert (ours["many"][0][3] == ours["one"][0]).all()


def test_the_signatures_are_the_same() -> None:
    als = pytest.importorskip("implicit.cpu.als")
    for name in ("fit", "recommend", "similar_items", "partial_fit_users", "partial_fit_items"):
        theirs = list(inspect.signature(getattr(als.AlternatingLeastSquares, name)).parameters)
        ours = list(inspect.signature(getattr(hedgerow.Recommender, name)).parameters)
        assert ours == theirs, name


def test_new_rows_are_what_all_embeddings_computed_again_would_be(model: hedgerow.Recommender) -> None:
    rows = sparse.csr_matrix(([1.0, 2.0, 1.0], ([0, 0, 1], [3, 4, 41])), shape=(2, 42))
    model.partial_fit_users([60, 2], rows)
    ids, _ = model.recommend(60, rows[0], N=5)
    assert not {3, 4} & set(ids)
    assert model.db.verify()
    matrix, users, items = model.db.csr("item-user", kinds=("user", "item"))
    changed = matrix[[users.index("2")]]
    assert [items[column] for column in changed.indices] == ["41"]
    model.partial_fit_items([45], sparse.csr_matrix(([1.0], ([0], [5])), shape=(1, 61)))
    assert model.similar_items(45, N=3)[0].shape == (3,)
    assert model.db.verify()


def test_bad_matrices_and_ids_are_refused(model: hedgerow.Recommender) -> None:
    before = model.db.digest()
    with pytest.raises(IndexError):
        model.recommend(1000, None)
    with pytest.raises(IndexError):
        model.similar_items(-1)
    bad: list[Any] = [np.zeros((2, 2)), sparse.csr_matrix([[np.nan]]), sparse.csr_matrix([[-1.0]])]
    for matrix in bad:
        with pytest.raises(hedgerow.InvalidError):
            model.partial_fit_users([0], matrix)
    with pytest.raises(hedgerow.InvalidError):
        model.recommend("x", None)
    assert model.db.digest() == before
    with pytest.raises(hedgerow.NotTrainedError):
        hedgerow.Recommender().recommend(0, None)

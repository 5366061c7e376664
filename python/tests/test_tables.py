"""Edges come in from any table, and go out to any."""

from __future__ import annotations

import datetime
import decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import edges

import hedgerow

ROWS = edges()
COLUMNS = {
    "uid": [row[0] for row in ROWS],
    "iid": [row[1] for row in ROWS],
    "stars": [row[2] for row in ROWS],
    "at": [row[3] for row in ROWS],
}


def _pandas(columns: dict[str, Any]) -> Any:
    return pytest.importorskip("pandas").DataFrame(columns)


def _polars(columns: dict[str, Any]) -> Any:
    return pytest.importorskip("polars").DataFrame(columns)


def _pyarrow(columns: dict[str, Any]) -> Any:
    return pytest.importorskip("pyarrow").table(columns)


def _duckdb(columns: dict[str, Any]) -> Any:
    frame = _pyarrow(columns)  # noqa: F841 (DuckDB reads it by name)
    return pytest.importorskip("duckdb").sql("select * from frame")


def _pieces(columns: dict[str, Any]) -> Any:
    """A table in several batches, one of them empty."""
    table = _pyarrow(columns)
    return pytest.importorskip("pyarrow").concat_tables([table[:7], table[7:7], table[7:]])


def _dictionary(columns: dict[str, Any]) -> Any:
    table = _pyarrow(columns)
    return table.set_column(0, "uid", table["uid"].dictionary_encode())


def _datetimes(columns: dict[str, Any]) -> Any:
    return _pandas({**columns, "at": np.array(columns["at"], "datetime64[us]")})


def _rows(columns: dict[str, Any]) -> Any:
    return [dict(zip(columns, row)) for row in zip(*columns.values())]


def _columns(columns: dict[str, Any]) -> Any:
    return columns


TABLES = [_columns, _rows, _pandas, _polars, _pyarrow, _duckdb, _pieces, _dictionary, _datetimes]


def _content(db: hedgerow.Database) -> set[tuple[str, str, float, str]]:
    rows = db.edges("item-user")
    return set(zip(rows["user"], rows["item"], map(float, rows["weight"]), map(str, rows["time"])))


@pytest.mark.parametrize("made", TABLES)
@pytest.mark.parametrize("is_empty", [True, False])
def test_every_table_gives_the_same_graph(tmp_path: Path, made: Any, is_empty: bool) -> None:
    with hedgerow.open(tmp_path / "a") as one, hedgerow.open(tmp_path / "b") as other:
        if not is_empty:
            for db in (one, other):
                with db.batch() as batch:
                    batch.link("user:u0", "item:early", relation="other")
        with one.batch() as batch:
            for user, item, weight, time in ROWS:
                batch.link(f"user:{user}", f"item:{item}", weight=weight, time=time)
        report = other.link(made(COLUMNS), src=("user", "uid"), dst=("item", "iid"), weight="stars", time="at")
        assert report["edges_added"] == len(ROWS)
        assert _content(one) == _content(other)


def test_tuples_and_matrices_need_no_names_of_columns(db: hedgerow.Database, tmp_path: Path) -> None:
    db.link(ROWS, src="user", dst="item")
    sparse = pytest.importorskip("scipy.sparse")
    matrix, users, items = db.csr("item-user", kinds=("user", "item"))
    assert matrix.shape == (len(users), len(items)) and matrix.dtype == np.float32
    found = {(users[row], items[column]): value for (row, column), value in matrix.todok().items()}
    assert found == {(user, item): weight for user, item, weight, _ in ROWS}
    for form in (sparse.csr_array, sparse.coo_matrix):
        with hedgerow.open(tmp_path / form.__name__) as other:
            assert other.link(form(matrix), src="user", dst="item")["edges_added"] == matrix.nnz
            assert len(other.edges("item-user")) == matrix.nnz


def test_integers_of_any_width_are_keys_in_digits(db: hedgerow.Database) -> None:
    for dtype in (np.int8, np.uint8, np.int16, np.uint32, np.int64, np.uint64):
        db.link({"a": np.array([5, 7], dtype), "b": np.array([1, 2], dtype)}, src=("u", "a"), dst=("i", "b"))
    assert sorted(db.nodes("u")["key"]) == ["5", "7"]
    db.link({"a": np.array([2**64 - 1], np.uint64), "b": [1]}, src=("u", "a"), dst=("i", "b"))
    assert "u:18446744073709551615" in db


def test_times_are_moments_or_integers_whose_unit_is_told_or_guessed(tmp_path: Path) -> None:
    moment = datetime.datetime(2023, 11, 14, 22, 13, 20, tzinfo=datetime.timezone.utc)
    cases: list[tuple[Any, str | None]] = [
        ([1_700_000_000], None),
        ([1_700_000_000_000], None),
        ([1_700_000_000_000_000], None),
        ([1_700_000_000_000], "ms"),
        ([moment], None),
        (np.array(["2023-11-14T22:13:20"], "datetime64[s]"), None),
        (np.array(["2023-11-14T22:13:20"], "datetime64[ns]"), None),
    ]
    for number, (times, unit) in enumerate(cases):
        with hedgerow.open(tmp_path / str(number)) as db:
            rows = {"a": ["1"], "b": ["2"], "t": times}
            db.link(rows, src=("u", "a"), dst=("i", "b"), time="t", time_unit=unit)  # type: ignore[arg-type]
            assert db.edges("i-u")["time"][0] == np.datetime64("2023-11-14T22:13:20", "us"), number


def test_relations_repeats_half_lives_and_dislikes_are_those_of_the_library(tmp_path: Path) -> None:
    rows = {"a": ["1", "1", "2"], "b": ["1", "1", "1"], "what": ["buys", "buys", "views"], "t": [1, 2, 3]}
    for is_bulk in (True, False):
        with hedgerow.open(tmp_path / str(is_bulk)) as db:
            if not is_bulk:
                with db.batch() as batch:
                    batch.add("u:0")
            report = db.link(
                rows, src=("u", "a"), dst=("i", "b"), time="t", relation_column="what", repeat="sum", half_life="30d"
            )
            assert (report["edges_added"], report["edges_repeated"]) == (2, 1)
            db.link([("1", "2")], src="u", dst="i", relation="hates", dislike=True)
            relations = db.snapshot().relations()
            assert relations["buys"]["half_life"] == datetime.timedelta(days=30)
            assert relations["buys"]["edges"] == 1 and relations["hates"]["dislike"]
            assert db.edges("buys")["weight"][0] == pytest.approx(2.0)


@pytest.mark.parametrize("made", [_columns, _rows, _pandas, _pyarrow, _polars])
def test_nodes_have_properties_of_their_types_and_go_out_as_columns(db: hedgerow.Database, made: Any) -> None:
    rows = {
        "id": [1, 2, 3],
        "title": ["One", "Two", None],
        "price": [1.5, float("nan"), 3.0],
        "stock": [True, False, True],
        "made": [datetime.date(2020, 1, 1), None, datetime.date(2021, 1, 1)],
        "genres": [["a", "b"], [], ["c"]],
    }
    db.add_nodes(
        made(rows),
        kind="item",
        key="id",
        label="title",
        tokens=["genres"],
        properties=["title", "price", "stock", "made"],
    )
    nodes = db.nodes("item")
    by_key = {key: row for row, key in enumerate(nodes["key"])}
    assert [nodes["title"][by_key[key]] for key in ("1", "2", "3")] == ["One", "Two", None]
    assert [nodes["stock"][by_key[key]] for key in ("1", "2", "3")] == [True, False, True]
    assert nodes["made"][by_key["3"]] == np.datetime64("2021-01-01", "us")
    assert np.isnat(nodes["made"][by_key["2"]])
    assert "One" in repr(nodes)


def test_rows_go_to_pandas_polars_pyarrow_and_duckdb(trained: hedgerow.Database) -> None:
    rows = trained.edges("item-user")
    assert len(rows.to_pandas()) == len(rows.to_polars()) == len(rows.to_arrow()) == len(rows) == len(edges())
    duckdb = pytest.importorskip("duckdb")
    assert duckdb.sql("select count(*) from rows").fetchall() == [(len(rows),)]
    answers = trained.similar("item:i1", 5)
    assert list(answers.to_polars()["node"]) == answers.nodes == list(answers.to_pandas()["node"])


def test_a_time_of_64_bits_without_a_sign_is_refused_where_it_is_too_far_away(db: hedgerow.Database) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    rows = pyarrow.table({"a": ["1", "2"], "b": ["1", "1"], "t": pyarrow.array([5, 2**64 - 1], pyarrow.uint64())})
    with pytest.raises(hedgerow.InvalidError, match=r"row 1 .*too far away"):
        db.link(rows, src=("u", "a"), dst=("i", "b"), time="t", time_unit="us")
    assert len(db.snapshot()) == 0


def test_a_stream_of_many_small_pieces_is_few_batches(db: hedgerow.Database) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    db.link(ROWS, src="user", dst="item")
    epoch = db.snapshot().epoch
    pieces = [pyarrow.table({"a": [str(at)], "b": [str(at % 7)]}) for at in range(500)]
    report = db.link(pyarrow.concat_tables(pieces), src=("u", "a"), dst=("i", "b"))
    assert (report["edges_added"], db.snapshot().epoch) == (500, epoch + 1)
    nothing = db.link({"a": [], "b": []}, src=("u", "a"), dst=("i", "b"))
    assert (nothing["edges_added"], nothing["epoch"]) == (0, epoch + 1)
    with hedgerow.open(db.path + "-empty") as empty:
        assert empty.link([], src="u", dst="i")["edges_added"] == 0


def test_frames_of_pandas_are_read_without_pyarrow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"a": ["1", "2"], "b": pandas.array([3, 4], dtype="Int64"), "t": [1_700_000_000] * 2})
    frame["t"] = pandas.to_datetime(frame["t"], unit="s", utc=True)
    monkeypatch.setattr(type(frame), "__arrow_c_stream__", None)
    with hedgerow.open(tmp_path / "store") as db:
        db.link(frame, src=("u", "a"), dst=("i", "b"), time="t")
        assert sorted(db.edges("i-u")["i"]) == ["3", "4"]
        assert db.edges("i-u")["time"][0] == np.datetime64("2023-11-14T22:13:20", "us")
        frame.loc[1, "b"] = pandas.NA
        with pytest.raises(hedgerow.InvalidError, match="no value in row 1"):
            db.link(frame, src=("u", "a"), dst=("i", "b"))


BAD: list[tuple[Any, dict[str, Any], str]] = [
    ({"a": ["1"], "b": [None]}, {}, 'row 0 of column "b": found no value'),
    ({"a": [1, None], "b": [1, 2]}, {}, "column 'a': found no value in row 1"),
    ({"a": [1, "x"], "b": [1, 2]}, {}, "int and str mixed"),
    ({"a": [1.5], "b": [1]}, {}, "found Float64, expected texts or integers"),
    ({"a": [2**70], "b": [1]}, {}, "more than 64 bits"),
    ({"a": ["1"], "b": ["1", "2"]}, {}, "has 1 rows and column"),
    ({"a": [["x"]], "b": ["1"]}, {}, "found"),
    ({"a": [True], "b": ["1"]}, {}, "found bool"),
    ({"a": [decimal.Decimal(1)], "b": ["1"]}, {}, "found Decimal"),
    ({"a": [{}], "b": ["1"]}, {}, "found dict"),
    ({"a": ["1"], "b": [""]}, {}, "row 0"),
    ({"a": ["1"], "b": ["x" * 600]}, {}, "row 0"),
    ({"a": ["1"], "b": ["1"], "w": [float("nan")]}, {"weight": "w"}, "found NaN"),
    ({"a": ["1"], "b": ["1"], "w": [-1.0]}, {"weight": "w"}, "found -1"),
    ({"a": ["1"], "b": ["1"], "w": [0]}, {"weight": "w"}, "found 0"),
    ({"a": ["1"], "b": ["1"], "w": [1e39]}, {"weight": "w"}, "found inf"),
    ({"a": ["1"], "b": ["1"], "w": ["x"]}, {"weight": "w"}, "found no number"),
    ({"a": ["1"], "b": ["1"], "t": ["soon"]}, {"time": "t"}, "expected integers or moments"),
    ({"a": ["1"], "b": ["1"], "t": [2**62]}, {"time": "t", "time_unit": "s"}, "too far away"),
    ({"a": ["1"], "b": ["1"]}, {"weight": "stars"}, 'found no column "stars"'),
    ({"a": ["1"], "b": ["1"]}, {"repeat": "twice"}, "expected last, sum, max or count"),
    ({"a": ["1"], "b": ["1"]}, {"half_life": "soon"}, "expected a whole number with a unit"),
    ({"a": ["1"], "b": ["1"]}, {"half_life": "30d", "relation": "fresh"}, "time"),
    ({"a": ["1"], "b": ["1"]}, {"time_unit": "h"}, "expected s, ms or us"),
    ({"a": ["1"], "b": ["1"]}, {"relation": "no\nname"}, "relation"),
    ("a,b", {}, "expected a table"),
    (7, {}, "expected a table"),
    ([("1",)], {}, "expected tuples"),
    ([("1", "2"), ("1",)], {}, "expected tuples"),
]


@pytest.mark.parametrize("is_empty", [True, False])
def test_a_bad_value_is_one_clear_error_and_changes_nothing(tmp_path: Path, is_empty: bool) -> None:
    with hedgerow.open(tmp_path / "store") as db:
        if not is_empty:
            db.link(ROWS, src="u", dst="i")
        before = db.snapshot().epoch
        for rows, options, said in BAD:
            with pytest.raises(hedgerow.InvalidError) as raised:
                db.link(rows, src=("u", "a"), dst=("i", "b"), **options)
            assert said in str(raised.value), (rows, str(raised.value))
            assert raised.value.kind == "invalid"
            # A bad row after many good ones.
            assert db.snapshot().epoch == before, rows
        late = {"a": ["1"] * 120_000, "b": [str(at) for at in range(119_999)] + [None]}
        with pytest.raises(hedgerow.InvalidError, match="row 119999"):
            db.link(late, src=("u", "a"), dst=("i", "b"))
        assert db.snapshot().epoch == before

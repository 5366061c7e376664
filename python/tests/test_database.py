"""A database is opened, changed, trained, refreshed and asked; whatever is wrong is one clear error."""

from __future__ import annotations

import asyncio
import datetime
import os
import pickle
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import edges

import hedgerow


def test_a_batch_is_whole_or_not_at_all(db: hedgerow.Database) -> None:
    with db.batch() as batch:
        batch.link("user:1", "item:7", weight=2, time=datetime.datetime(2024, 1, 2), relation="buys")
        batch.set("item:7", title="Seven", price=1.5, stock=True, tags=["a", "b"], made=datetime.date(2020, 1, 1))
        batch.set_tokens("item:7", ["tag=a"])
    near = db.neighbors("item:7")
    assert (near["node"], near["relation"], float(near["weight"][0])) == (["user:1"], ["buys"], 2.0)
    assert len(db.neighbors("item:7", relation="buys")) == 1
    assert batch.report is not None and batch.report["edges_added"] == 1
    assert "item:7" in db and "item:8" not in db
    with pytest.raises(RuntimeError), db.batch() as batch:
        batch.link("user:1", "item:8")
        raise RuntimeError
    assert "item:8" not in db
    with db.batch() as batch:
        batch.set("item:7", price=None)
        batch.unlink("user:1", "item:7", relation="buys")
        batch.remove("user:1")
    assert "user:1" not in db and len(db.edges("buys")) == 0


def test_a_snapshot_stays_as_it_is(db: hedgerow.Database) -> None:
    db.link([("a", "x")], src="user", dst="item")
    snapshot = db.snapshot()
    db.link([("b", "x")], src="user", dst="item")
    assert len(snapshot) == 2 and len(db.snapshot()) == 3
    assert "user:b" not in snapshot and snapshot.kinds() == {"user": 1, "item": 1}


def test_answers_have_titles_scores_and_facts(trained: hedgerow.Database) -> None:
    answers = trained.recommend("user:u1", 5, explain=True)
    assert len(answers) == 5 and [answer.rank for answer in answers] == [1, 2, 3, 4, 5]
    first = next(iter(answers))
    assert first.label == f"Item number {first.node[6:]}"
    assert "Item number" in repr(answers) and "<table>" in answers._repr_html_()
    assert list(answers.scores) == sorted(answers.scores, reverse=True)
    cheap = trained.similar("item:i3", 30, where="price < 3")
    assert set(cheap.keys) <= {f"i{item}" for item in range(6)} and len(cheap) == 5
    page = trained.similar("item:i3", 3)
    rest = trained.similar("item:i3", 3, after=page.next)
    assert trained.similar("item:i3", 6).nodes == page.nodes + rest.nodes
    assert trained.recommend(history=["item:i1", "item:i3"]).facts[0]["source"]
    assert trained.recommend("user:u1", 3, candidates=["item:i1"], include_seen=True).nodes == ["item:i1"]
    assert len(trained.similar("item:i3", deadline=1e18)) == 10
    later = trained.recommend("user:u1", only_new="1h")
    assert len(later) == 0


def test_many_questions_have_the_answers_of_each_alone(trained: hedgerow.Database) -> None:
    users = [f"user:u{user}" for user in range(40)] + ["user:none"]
    many = trained.recommend(users, 4)
    assert isinstance(many.errors["user:none"], hedgerow.NotFoundError)
    found = list(many)
    for user in users[:-1]:
        alone = [(answer.node, answer.score) for answer in trained.recommend(user, 4)]
        assert [(answer.node, answer.score) for answer in found if answer.query == user] == alone
    items = [f"item:i{item}" for item in range(30)]
    similar = list(trained.similar(items, 3))
    for item in items:
        assert [answer.node for answer in similar if answer.query == item] == trained.similar(item, 3).nodes
    histories = trained.recommend(history=[["item:i1"], ["item:i2", "item:i4"]], k=2)
    assert len(histories) == 4


def test_an_edge_is_in_the_embeddings_after_a_refresh_as_after_a_rebuild(trained: hedgerow.Database) -> None:
    before = trained.digest()
    with trained.batch() as batch:
        batch.link("user:u1", "item:i2", time=1_800_000_000_000_000)
        batch.link("user:new", "item:i2")
    assert trained.status()["dirty_nodes"] > 0
    assert not trained.refresh()["full"] and trained.verify()
    assert trained.digest() != before
    refreshed = trained.digest()
    trained.refresh(full=True)
    assert trained.digest() == refreshed


def test_embeddings_are_one_array_of_an_epoch_that_nobody_can_write_to(trained: hedgerow.Database) -> None:
    vectors, keys = trained.embeddings("item")
    assert vectors.shape == (len(keys), 8) and vectors.dtype == np.float32
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-2)
    with pytest.raises(ValueError):
        vectors[0, 0] = 1
    with pytest.raises(ValueError):
        vectors.setflags(write=True)
    again, _ = trained.embeddings("item")
    assert np.shares_memory(vectors, again)
    kept = vectors.copy()
    with trained.batch() as batch:
        batch.link("user:u1", "item:i2")
        batch.link("user:u3", "item:i4")
    later, _ = trained.embeddings("item")
    assert (vectors == kept).all() and not np.shares_memory(vectors, later)
    at = keys.index("i2")
    assert np.array_equal(trained.embedding("item:i2"), later[at])
    with trained.batch() as batch:
        batch.link("user:u5", "item:i2")
    now = trained.embedding("item:i2", now=True)
    trained.refresh()
    assert np.array_equal(now, trained.embedding("item:i2"))


def test_models_have_names_and_an_updater_follows_commits(trained: hedgerow.Database) -> None:
    trained.train(["item"], dim=4, epochs=0, model="small")
    assert {name for name, _, _ in trained.models()} == {"main", "small"}
    assert trained.embeddings("item", model="small")[0].shape[1] == 4
    trained.promote("small")
    assert trained.similar("item:i1").nodes == trained.similar("item:i1", model="small").nodes
    trained.promote("main")
    before = trained.digest(model="small")
    trained.train(["item"], dim=4, epochs=1, model="small")
    assert trained.digest(model="small") != before
    trained.rollback("small")
    assert trained.embeddings("item", model="small")[0].shape[1] == 4
    trained.drop_model("small")
    with pytest.raises(hedgerow.NotFoundError):
        trained.similar("item:i1", model="small")
    with trained.updater(max_age=0.01) as updater:
        with trained.batch() as batch:
            batch.link("user:u1", "item:i2", weight=3)
        assert updater.flush() == trained.snapshot().epoch
        assert updater.report()["refreshes"] >= 1
    assert trained.status()["dirty_nodes"] == 0


def test_a_training_tells_its_progress_and_its_curve(db: hedgerow.Database, capfd: Any) -> None:
    db.link(edges(), src="user", dst="item")
    events: list[dict[str, Any]] = []
    report = db.train("item", dim=4, epochs=2, patience=0, progress=events.append)
    assert [event["epoch"] for event in events if event["event"] == "epoch"] == [1, 2]
    assert {"progress", "started"} <= {event["event"] for event in events}
    assert [epoch["epoch"] for epoch in report["epochs"]] == [1, 2]
    out, err = capfd.readouterr()
    assert out == err == "", "the library prints nothing by itself"
    db.train("item", dim=4, epochs=1, progress=True)
    assert "epoch" in capfd.readouterr().err

    def refuse(event: dict[str, Any]) -> None:
        raise RuntimeError("enough")

    before = db.digest()
    with pytest.raises(RuntimeError, match="enough"):
        db.train("item", dim=4, epochs=2, progress=refuse)
    assert db.similar("item:i1") and before


def test_the_quality_is_measured_beside_baselines(trained: hedgerow.Database) -> None:
    report = trained.evaluate({f"user:u{user}": [f"item:i{user % 2}"] for user in range(40)})
    assert "recall" in str(report)


REFUSED: list[tuple[Callable[[hedgerow.Database], Any], type[Exception], str]] = [
    (lambda db: db.similar("item:none"), hedgerow.NotFoundError, "not_found"),
    (lambda db: db.similar("nothing"), hedgerow.InvalidError, "invalid"),
    (lambda db: db.similar("user:u1"), hedgerow.NotEmbeddedError, "not_embedded"),
    (lambda db: db.similar("item:i1", 0), hedgerow.InvalidError, "invalid"),
    (lambda db: db.similar("item:i1", -1), hedgerow.InvalidError, "invalid"),
    (lambda db: db.similar("item:i1", where="price <"), hedgerow.InvalidError, "invalid"),
    (lambda db: db.similar("item:i1", diverse=2.0), hedgerow.InvalidError, "invalid"),
    (lambda db: db.similar("item:i1", after="x"), hedgerow.InvalidError, "invalid"),
    (lambda db: db.similar("item:i1", deadline=-1.0), hedgerow.InvalidError, "invalid"),
    (lambda db: db.similar("item:i1", model="none"), hedgerow.NotFoundError, "not_found"),
    (lambda db: db.recommend(), hedgerow.InvalidError, "invalid"),
    (lambda db: db.recommend("user:u1", history=["item:i1"]), hedgerow.InvalidError, "invalid"),
    (lambda db: db.train([]), hedgerow.InvalidError, "invalid"),
    (lambda db: db.train(["item"], dims=3), hedgerow.InvalidError, "invalid"),
    (lambda db: db.train(["item"], dim="x"), hedgerow.InvalidError, "invalid"),
    (lambda db: db.train(["film"]), hedgerow.Error, "not_found"),
    (lambda db: db.edges("none"), hedgerow.NotFoundError, "not_found"),
    (lambda db: db.neighbors("item:none"), hedgerow.NotFoundError, "not_found"),
    (lambda db: db.neighbors("item:i1", relation="none"), hedgerow.NotFoundError, "not_found"),
    (lambda db: db.nodes("none"), hedgerow.NotFoundError, "not_found"),
    (lambda db: db.embeddings("user"), hedgerow.NotEmbeddedError, "not_embedded"),
    (lambda db: db.batch().link("a:1", "b:2", weight=float("nan")), hedgerow.InvalidError, "invalid"),
    (lambda db: db.batch().link("a:1", "b:2", time="soon"), hedgerow.InvalidError, "invalid"),
    (lambda db: db.batch().link("a", "b:2"), hedgerow.InvalidError, "invalid"),
    (lambda db: db.batch().set("item:1", price=object()), hedgerow.InvalidError, "invalid"),
    (lambda db: db.batch().set("item:1", price=2**70), hedgerow.InvalidError, "invalid"),
    (lambda db: db.add_nodes({"k": [1]}, kind="item", key="id"), hedgerow.InvalidError, "invalid"),
    (lambda db: hedgerow.open(db.path), hedgerow.LockedError, "locked"),
    (lambda db: db.updater(max_age=-1), hedgerow.InvalidError, "invalid"),
]


def test_every_refusal_is_an_error_of_this_package_and_changes_nothing(trained: hedgerow.Database) -> None:
    before = trained.digest()
    for number, (call, of, kind) in enumerate(REFUSED):
        with pytest.raises(of) as raised:
            call(trained)
        assert isinstance(raised.value, hedgerow.Error), number
        assert not kind or raised.value.kind == kind, (number, raised.value)
        assert type(raised.value).__module__ in ("hedgerow", "builtins"), number
    assert trained.digest() == before


def test_a_closed_handle_says_so_and_its_lock_is_free(tmp_path: Path) -> None:
    db = hedgerow.open(tmp_path / "store")
    db.link([("a", "x")], src="user", dst="item")
    snapshot = db.snapshot()
    db.close()
    db.close()
    with pytest.raises(hedgerow.ClosedError) as raised:
        db.snapshot()
    assert raised.value.kind == "closed" and "closed" in repr(db)
    assert len(snapshot) == 2, "a snapshot does not need the handle"
    other = hedgerow.open(tmp_path / "store")
    other.backup(tmp_path / "copy")
    with hedgerow.open(tmp_path / "copy") as copy:
        assert "user:a" in copy
    other.checkpoint()
    reader = hedgerow.open(tmp_path / "store", read_only=True)
    with pytest.raises(hedgerow.ReadOnlyError), reader.batch() as batch:
        batch.add("user:b")
    assert not reader.is_outdated()
    with other.batch() as batch:
        batch.add("user:c")
    other.checkpoint()
    assert reader.is_outdated() and "user:c" not in reader
    reader.close()
    # A batch keeps its database.
    del other, batch
    hedgerow.open(tmp_path / "store").close()
    with pytest.raises(hedgerow.Error) as missing:
        hedgerow.open(tmp_path / "none", create=False)
    assert missing.value.path is not None
    (tmp_path / "file").write_text("x")
    with pytest.raises(hedgerow.Error):
        hedgerow.open(tmp_path / "file")
    assert hedgerow.check(str(tmp_path / "store"), True) == []


def test_handles_are_not_pickled_and_not_used_after_a_fork(trained: hedgerow.Database) -> None:
    for thing in (trained, trained.snapshot()):
        with pytest.raises(TypeError, match="open the store in the other process"):
            pickle.dumps(thing)
    if not hasattr(os, "fork"):
        return
    updater = trained.updater(max_age=10)
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            trained.similar("item:i1")
            said = "no error"
        except hedgerow.Error as error:
            said = error.kind
        # The end of these objects does not wait for threads that the child does not have.
        del updater, trained
        os.write(write, said.encode())
        os._exit(0)
    os.close(write)
    assert os.read(read, 100) == b"forked"
    assert os.waitpid(child, 0)[1] == 0
    updater.stop()
    assert len(trained.similar("item:i1")) > 0


def test_threads_share_a_handle(trained: hedgerow.Database) -> None:
    failures: list[BaseException] = []

    def work(number: int) -> None:
        try:
            for step in range(15):
                with trained.batch() as batch:
                    batch.link(f"user:t{number}", f"item:i{step}")
                if step % 5 == 0:
                    trained.refresh()
                trained.similar(f"item:i{step}", 3)
                trained.embeddings("item")
                len(trained.edges("item-user"))
        except BaseException as failure:
            failures.append(failure)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    trained.refresh()
    assert trained.verify()


def test_asyncio_goes_on_while_a_call_runs(trained: hedgerow.Database) -> None:
    async def ask() -> int:
        answers = await asyncio.gather(*(trained.aio.similar(f"item:i{item}", 3) for item in range(10)))
        await trained.aio.refresh()
        return sum(map(len, answers))

    assert asyncio.run(ask()) == 30
    with pytest.raises(AttributeError, match="no call"):
        _ = trained.aio.nothing


INTERRUPTED = """
import hedgerow, sys
sys.path.insert(0, {tests!r})
from conftest import edges
db = hedgerow.open({path!r})
db.link(edges(400, 300), src="user", dst="item")
def heard(event):
    if event["event"] == "epoch":
        print("epoch", flush=True)
try:
    db.train("item", dim=64, epochs=100000, patience=0, progress=heard)
except KeyboardInterrupt:
    print("interrupted", len(db.similar("item:i1")), flush=True)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="a signal to a process of Windows is another one")
def test_ctrl_c_ends_a_training_and_keeps_its_complete_epochs(tmp_path: Path) -> None:
    program = INTERRUPTED.format(tests=str(Path(__file__).parent), path=str(tmp_path / "store"))
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stdout.readline() == "epoch\n"
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=60)
    assert out.splitlines()[-1] == "interrupted 10", out


def test_the_import_is_light() -> None:
    program = (
        "import sys, hedgerow; print(sorted({'numpy', 'pandas', 'polars', 'pyarrow', 'scipy'} & set(sys.modules)))"
    )
    ran = subprocess.run([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, check=True)
    assert ran.stdout.strip() == "[]"

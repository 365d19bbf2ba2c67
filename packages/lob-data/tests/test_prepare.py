"""Stores are prepared whole or not at all, and only what changed is prepared again."""

from __future__ import annotations

import dataclasses
import json
import os
import pickle
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from lob_data import (
    FormatError,
    LobDataError,
    OptionError,
    PrepareOptions,
    SourceError,
    StoreError,
    open_store,
    prepare,
)
from lob_data.manifest import DayEntry, divide_dates, make_splits
from lob_data.testing import write_pair

FAST = PrepareOptions(verify=False)


def files_under(folder: Path) -> dict[str, bytes]:
    paths = (p for p in sorted(folder.rglob("*")) if p.is_file())
    return {str(p.relative_to(folder)): p.read_bytes() for p in paths}


@pytest.fixture
def raw(tmp_path, busy_venue) -> Path:
    folder = tmp_path / "raw"
    for day in ("2020-01-02", "2020-01-03", "2020-01-06"):
        write_pair(folder, *busy_venue.rows(3), "TEST", day, compress=True)
    return folder


def test_prepare__store_says_what_it_holds(tmp_path, raw):
    report = prepare(raw, tmp_path / "store")
    manifest = open_store(tmp_path / "store").manifest
    assert [day.date for day in manifest.days] == ["2020-01-02", "2020-01-03", "2020-01-06"]
    assert report.days == manifest.days
    assert all(day.is_verified for day in manifest.days)
    assert manifest.schema_version == 1
    assert manifest.tick_size == 0.01
    first = manifest.days[0]
    assert len(first.sources[0]["sha256"]) == 64
    assert sum(first.event_counts.values()) == first.rows
    assert first.messages == first.rows + first.sync_messages
    assert manifest.max_orders == tuple(
        max(day.max_orders[i] for day in manifest.days) for i in (0, 1)
    )


def test_prepare__unchanged_input_touches_nothing(tmp_path, raw):
    store = tmp_path / "store"
    prepare(raw, store, FAST)
    before = {p: p.stat().st_mtime_ns for p in store.rglob("*")}
    report = prepare(raw, store, FAST)
    assert report.is_unchanged
    assert {p: p.stat().st_mtime_ns for p in store.rglob("*")} == before


def test_prepare__only_the_day_that_changed_is_prepared_again(tmp_path, raw, busy_venue):
    store = tmp_path / "store"
    prepare(raw, store, FAST)
    busy_venue.submit(1, 9_900, 3)
    busy_venue.execute(1, 5)
    write_pair(raw, *busy_venue.rows(3), "TEST", "2020-01-03", compress=True)
    report = prepare(raw, store, FAST)
    assert report.prepared == ["TEST_2020-01-03_34200000_57600000_3"]
    assert len(list((store / "days").iterdir())) == 3


def test_prepare__other_options_prepare_again(tmp_path, raw):
    store = tmp_path / "store"
    prepare(raw, store, FAST)
    report = prepare(raw, store, dataclasses.replace(FAST, keep_hidden=False))
    assert len(report.prepared) == 3


def test_prepare__other_shares_change_the_splits_only(tmp_path, raw):
    store = tmp_path / "store"
    prepare(raw, store, FAST)
    report = prepare(raw, store, dataclasses.replace(FAST, train=0.34, validation=0.33))
    assert report.is_unchanged
    assert open_store(store).manifest.options.train == 0.34


def test_prepare__continues_after_a_bad_file_and_lists_it(tmp_path, raw):
    bad = raw / "TEST_2020-01-03_34200000_57600000_orderbook_3.csv.gz"
    bad.write_bytes(bad.read_bytes()[:100])
    (raw / "TEST_2020-01-06_34200000_57600000_message_3.csv.gz").unlink()
    report = prepare(raw, tmp_path / "store", FAST)
    assert [day.date for day in report.days] == ["2020-01-02"]
    texts = sorted(str(failure) for failure in report.failures)
    assert len(texts) == 2
    assert "truncated or damaged gzip" in texts[0]
    assert "half of a pair: no message file" in texts[1]


def test_prepare__in_several_processes_gives_the_same_store(tmp_path, raw):
    bad = raw / "TEST_2020-01-03_34200000_57600000_message_3.csv.gz"
    bad.write_bytes(b"")
    one = prepare(raw, tmp_path / "one", FAST)
    two = prepare(raw, tmp_path / "two", FAST, num_workers=2)
    assert files_under(tmp_path / "one") == files_under(tmp_path / "two")
    assert [str(f) for f in one.failures] == [str(f) for f in two.failures]
    assert isinstance(two.failures[0], SourceError)


BAD_INPUTS = {
    "half of a pair": "half of a pair",
    "truncated gzip": "truncated or damaged gzip",
    "zero bytes": "is empty",
    "level mismatch": "level mismatch",
    "time back": "time goes back",
    "crossed": "crossed or locked",
    "off the grid": "off the grid",
    "columns": "has 2 columns",
    "row counts": "rows but",
    "text": "size is 'many'; it must be a whole number",
    "levels out of order": "level 2 is not worse than the level before it",
    "damaged zstd": "truncated or damaged zstd",
    "no gzip": "truncated or damaged gzip",
    "damaged zip": "damaged archive",
    "nothing": "holds no LOBSTER file",
}


def spoil(raw: Path, fault: str, busy_venue) -> None:
    messages, books = busy_venue.rows(3)
    pair = write_pair(raw, messages, books, compress=fault == "truncated gzip")
    if fault == "half of a pair":
        pair.books.path.unlink()
    elif fault == "truncated gzip":
        pair.books.path.write_bytes(pair.books.path.read_bytes()[:200])
    elif fault == "zero bytes":
        pair.messages.path.write_bytes(b"")
    elif fault == "level mismatch":
        for source in (pair.messages, pair.books):
            name = source.path.name.replace("_3.csv", "_7.csv")
            source.path.rename(source.path.with_name(name))
    elif fault == "nothing":
        for source in (pair.messages, pair.books):
            source.path.rename(source.path.with_suffix(".txt"))
    elif fault == "damaged zip":
        for source in (pair.messages, pair.books):
            source.path.unlink()
        (raw / "sample.zip").write_bytes(b"PK nothing")
    elif fault in ("damaged zstd", "no gzip"):
        suffix = ".zst" if fault == "damaged zstd" else ".gz"
        magic = b"\x28\xb5\x2f\xfd" if fault == "damaged zstd" else b""
        pair.books.path.with_name(pair.books.path.name + suffix).write_bytes(magic + b"nonsense")
        pair.books.path.unlink()
    elif fault == "text":
        text = pair.messages.path.read_text().splitlines()
        text[3] = "34200.5,1,5,many,1000000,1"
        pair.messages.path.write_text("\n".join(text))
    elif fault == "columns":
        pair.books.path.write_text("1,2\n" * len(books))
    elif fault == "row counts":
        write_pair(raw, messages[:-1], books)
        pair.books.path.write_text(pair.books.path.read_text() + ",".join(map(str, books[-1])))
    else:
        if fault == "time back":
            messages[5] = (0, *messages[5][1:])
        elif fault == "crossed":
            books[5][2] = books[5][0] + 100
        elif fault == "levels out of order":
            books[5][4] = books[5][0]
        elif fault == "off the grid":
            books[5][4] += 1
        write_pair(raw, messages, books)


@pytest.mark.parametrize("had_store", [False, True])
@pytest.mark.parametrize("fault", BAD_INPUTS)
def test_prepare__bad_input_leaves_nothing_half_written(tmp_path, busy_venue, fault, had_store):
    store = tmp_path / "store"
    if had_store:
        write_pair(tmp_path / "good", *busy_venue.rows(2))
        prepare(tmp_path / "good", store, FAST)
        before = files_under(store)
    raw = tmp_path / "raw"
    raw.mkdir()
    spoil(raw, fault, busy_venue)
    with pytest.raises(LobDataError, match=BAD_INPUTS[fault]) as caught:
        prepare(raw, store, FAST)
    assert str(raw) in str(caught.value)
    if had_store:
        assert files_under(store) == before
    else:
        assert not store.exists()


def test_prepare__refuses_a_folder_of_something_else(tmp_path, raw):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("years of work")
    with pytest.raises(StoreError, match="folder of something else"):
        prepare(raw, tmp_path / "mine", FAST)
    assert files_under(tmp_path / "mine") == {"thesis.tex": b"years of work"}


def test_prepare__several_levels_of_one_day_need_a_choice(tmp_path, raw, busy_venue):
    write_pair(raw, *busy_venue.rows(2), "TEST", "2020-01-02")
    with pytest.raises(OptionError, match=r"more than once.*option level"):
        prepare(raw, tmp_path / "store", FAST)
    report = prepare(raw, tmp_path / "store", dataclasses.replace(FAST, level=2))
    assert [day.level for day in report.days] == [2]
    with pytest.raises(OptionError, match="no pair of ticker NONE"):
        prepare(raw, tmp_path / "other", dataclasses.replace(FAST, ticker="NONE"))
    assert not (tmp_path / "other").exists()


KILLED_RUN = """
import sys, lob_data, lob_data.prepared, lob_data.store
def wait_before(path, sync=lob_data.prepared.sync_to_disk):
    print(path.name, flush=True)
    sys.stdin.readline()
    sync(path)
lob_data.prepared.sync_to_disk = lob_data.store.sync_to_disk = wait_before
lob_data.prepare(sys.argv[1], sys.argv[2], lob_data.PrepareOptions(verify=False))
print("done", flush=True)
"""


def prepare_and_kill(raw: Path, store: Path, at: str, occurrence: int) -> None:
    """Starts `prepare` in a process and kills it while it writes a file, the n-th of that name."""
    command = [sys.executable, "-c", KILLED_RUN, str(raw), str(store)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, **pipes) as process:
        for line in process.stdout:
            assert line != "done\n"
            occurrence -= line.startswith(at)
            if occurrence == 0:
                break
            process.stdin.write("\n")
            process.stdin.flush()
        os.kill(process.pid, signal.SIGKILL)
        process.stdin.close()
    assert process.returncode == -signal.SIGKILL


# In the middle of the second day's folder, and when only the manifest is still to be replaced.
MOMENTS = [("rows.parquet", 2), (".manifest.json.partial", 1)]


@pytest.mark.parametrize(("at", "occurrence"), MOMENTS)
def test_prepare__a_killed_first_run_leaves_no_store_and_can_be_repeated(
    tmp_path, raw, at, occurrence
):
    store = tmp_path / "store"
    prepare_and_kill(raw, store, at, occurrence)
    assert [path for path in store.rglob("*") if "partial" in path.name]
    with pytest.raises(StoreError, match="no prepared store"):
        open_store(store)
    prepare(raw, store, FAST)
    assert len(list((store / "days").iterdir())) == 3
    assert not [path for path in store.rglob("*") if "partial" in path.name]


@pytest.mark.parametrize(("at", "occurrence"), MOMENTS)
def test_prepare__a_killed_later_run_leaves_the_old_store(
    tmp_path, raw, busy_venue, at, occurrence
):
    store = tmp_path / "store"
    prepare(raw, store, FAST)
    old = (store / "manifest.json").read_bytes()
    for path in raw.iterdir():
        path.unlink()
    for day in ("2021-01-04", "2021-01-05", "2021-01-06"):
        write_pair(raw, *busy_venue.rows(2), "TEST", day)
    prepare_and_kill(raw, store, at, occurrence)
    assert (store / "manifest.json").read_bytes() == old
    assert open_store(store).windows(num_steps=2, messages_per_step=5).num_windows > 0
    prepare(raw, store, FAST)
    assert [day.date[:4] for day in open_store(store).manifest.days] == ["2021"] * 3


def test_options__out_of_range_values_are_refused():
    for bad in (
        {"train": 0.0},
        {"train": 0.9, "validation": 0.2},
        {"tick_units": 0},
        {"session_start": 5.0, "session_end": 4.0},
    ):
        with pytest.raises(OptionError):
            PrepareOptions(**bad)
    with pytest.raises(OptionError, match="num_workers is 0"):
        prepare("nowhere", "nowhere", num_workers=0)


def test_open_store__other_schema_version_is_refused(tmp_path, raw):
    prepare(raw, tmp_path / "store", FAST)
    path = tmp_path / "store" / "manifest.json"
    content = json.loads(path.read_text())
    content["schema_version"] = 99
    path.write_text(json.dumps(content))
    with pytest.raises(StoreError, match="schema version 99"):
        open_store(tmp_path / "store")
    path.write_text("{")
    with pytest.raises(StoreError, match="damaged manifest"):
        open_store(tmp_path / "store")
    assert len(prepare(raw, tmp_path / "store", FAST).prepared) == 3


def test_open_store__missing_files_are_named(tmp_path, raw):
    prepare(raw, tmp_path / "store", FAST)
    store = open_store(tmp_path / "store")
    (tmp_path / "store" / store.manifest.days[1].folder / "messages.parquet").unlink()
    store.day(store.labels[0])
    with pytest.raises(StoreError, match="cannot be read"):
        store.day(store.labels[1])
    with pytest.raises(StoreError, match="holds no day 'X'"):
        store.day("X")


def test_errors__survive_the_way_between_processes():
    back = pickle.loads(pickle.dumps(FormatError("reason", path="file.csv", row=7)))
    assert (type(back), str(back), back.row) == (FormatError, "file.csv, row 7: reason", 7)


def entry(label: str, day: str, rows: int = 100) -> DayEntry:
    return DayEntry(
        label=label,
        ticker="T",
        date=day,
        level=1,
        key=label,
        folder=label,
        sources=[],
        rows=rows,
        messages=rows,
        sync_messages=0,
        sync_rows=0,
        stand_ins=0,
        max_orders=[1, 1],
        num_orders=1,
        first_ts_ns=0,
        last_ts_ns=1,
        event_counts={},
        is_verified=True,
    )


def test_splits__whole_days_in_order_of_time_without_overlap():
    days = [entry(f"{t}{d:02d}", f"2020-01-{d:02d}") for d in range(1, 11) for t in "AB"]
    split_by, splits = make_splits(days, {}, PrepareOptions())
    dates = {name: sorted({s.day[1:] for s in segments}) for name, segments in splits.items()}
    assert split_by == "day"
    assert dates["train"] == [f"{d:02d}" for d in range(1, 8)]
    assert sorted(dates["validation"] + dates["test"]) == ["08", "09", "10"]
    assert max(dates["train"]) < min(dates["validation"]) <= max(dates["validation"])
    assert max(dates["validation"]) < min(dates["test"])


@pytest.mark.parametrize("num_dates", range(3, 30))
def test_splits__every_share_gets_a_day(num_dates):
    num_train, num_validation = divide_dates(num_dates, PrepareOptions())
    assert num_train >= 1
    assert num_validation >= 1
    assert num_dates - num_train - num_validation >= 1
    everything = divide_dates(num_dates, PrepareOptions(train=1.0, validation=0.0))
    assert everything == (num_dates, 0)
    assert sum(divide_dates(num_dates, PrepareOptions(train=0.8, validation=0.2))) == num_dates


def test_splits__one_day_is_divided_by_time(tmp_path, busy_venue):
    write_pair(tmp_path / "raw", *busy_venue.rows(3))
    prepare(tmp_path / "raw", tmp_path / "store", FAST)
    store = open_store(tmp_path / "store")
    segments = [store.manifest.splits[name][0] for name in ("train", "validation", "test")]
    day = store.day(store.labels[0])
    assert store.manifest.split_by == "time"
    assert [s.row_start for s in segments] == [0, segments[0].row_end, segments[1].row_end]
    assert segments[2].row_end == day.entry.rows
    span = day.ts_ns[-1] - day.ts_ns[0]
    assert abs(day.ts_ns[segments[0].row_end] - day.ts_ns[0] - 0.7 * span) < 0.05 * span

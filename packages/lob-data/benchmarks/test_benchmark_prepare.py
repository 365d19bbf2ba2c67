"""Rows per second and peak memory from raw files to a verified store.

With LOBSTER_SAMPLES set the GOOG level 10 day is used, otherwise a synthetic pair. Where pandas is
installed (dependency group `bench`), `times_pandas` says how long the straightforward pandas way
takes, measured in turns with ours, as a multiple of ours; what that way leaves out each test says.
"""

from __future__ import annotations

import io
import itertools
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import jax
import numpy as np
import polars as pl
import pytest
from lob_core.runtime import configure_cpu
from lob_data import PrepareOptions, calibrate, open_store, prepare, synthesize
from lob_data.csv_text import parse_books
from lob_data.lobster import Pair, find_pairs, read_pair
from lob_data.sync import synchronize
from lob_data.validate import check_day
from lob_data.verify import verify_stream

configure_cpu()

TICK = 100
MEASURE_PEAK = """
import resource, sys, threading
from pathlib import Path
action, folder, small, day = sys.argv[1], *map(Path, sys.argv[2:])
def rss(): return int(open("/proc/self/statm").read().split()[1]) * resource.getpagesize()
if action == "pandas":
    import pandas
    def run(path, out):
        books = Path(str(path).replace("_message_", "_orderbook_"))
        kept = [pandas.read_csv(file, header=None) for file in (path, books)]
else:
    from lob_core.runtime import configure_cpu
    configure_cpu()
    import lob_data
    from lob_data.lobster import find_pairs, read_pair
    def run(path, out):
        if action == "read":
            kept = read_pair(find_pairs(path)[0][0])
        elif action == "verify":
            lob_data.verify(path)
        elif action == "prepare":
            lob_data.prepare(path, folder / out)
        else:
            lob_data.open_store(folder / out).windows(num_steps=5, messages_per_step=100)
run(small, "small")  # loads and compiles what is needed
base, peak, done = rss(), 0, threading.Event()
def watch():
    global peak
    while not done.wait(0.002): peak = max(peak, rss())
thread = threading.Thread(target=watch); thread.start()
run(day, "day")
done.set(); thread.join()
print(peak - base)
"""


@pytest.fixture(scope="module")
def pair(tmp_path_factory) -> Pair:
    samples = os.environ.get("LOBSTER_SAMPLES")
    if samples:
        pairs, _ = find_pairs(samples)
        return next(p for p in pairs if (p.name.ticker, p.name.level) == ("GOOG", 10))
    folder = tmp_path_factory.mktemp("raw")
    return synthesize(folder, num_messages=100_000, num_levels=10).pair


@pytest.fixture(scope="module")
def store(pair, tmp_path_factory):
    out = tmp_path_factory.mktemp("store") / "store"
    prepare(pair.messages.path, out, PrepareOptions(verify=False))
    return out


def note(benchmark, num_rows: int, **more: object) -> None:
    seconds = benchmark.stats.stats.median
    benchmark.extra_info.update(
        rows=num_rows, rows_per_second=round(num_rows / seconds), polars=pl.__version__, **more
    )


def times_ours(ours: Callable[[], object], other: Callable[[], object], rounds: int = 5) -> float:
    """Median time of `other` over that of `ours`, taken in turns."""
    seconds: tuple[list[float], list[float]] = ([], [])
    for run, taken in [*zip((ours, other), seconds, strict=True)] * (rounds + 1):
        start = time.perf_counter()
        run()
        taken.append(time.perf_counter() - start)
    first, second = (statistics.median(taken[1:]) for taken in seconds)
    return round(second / first, 2)


def read_by_pandas(pair: Pair) -> tuple[object, object]:
    """Both files as data frames; nothing is hashed, checked or converted."""
    pandas = pytest.importorskip("pandas")
    messages, books = (
        pandas.read_csv(source.path, header=None) for source in (pair.messages, pair.books)
    )
    return messages, books


def prepare_by_pandas(pair: Pair, out: Path) -> int:
    """What a notebook does: read, check a little, ticks, nanoseconds, two Parquet files.

    Left out of what `prepare` does: hashes, most checks, synchronising messages (so that nothing
    can be replayed exactly), verification, splits, atomic writing.
    """
    messages, books = read_by_pandas(pair)
    messages.columns = ["time", "type", "order_id", "size", "price", "side"]
    messages["ts_ns"] = (messages.pop("time") * 1e9).round().astype("int64")
    is_displayed = messages["type"] <= 4
    messages["price"] = (messages["price"] // TICK).where(is_displayed, 0).astype("int32")
    prices = [column for column in books.columns if column % 2 == 0]
    books[prices] = (books[prices] // TICK).clip(-(2**31) + 1, 2**31 - 1)
    books = books.astype("int32")
    assert messages["ts_ns"].is_monotonic_increasing
    assert (books[0] > books[2]).all()
    out.mkdir(exist_ok=True)
    for name, frame in (("messages", messages), ("books", books)):
        frame.columns = frame.columns.astype(str)
        pl.DataFrame({column: frame[column].to_numpy() for column in frame.columns}).write_parquet(
            out / f"{name}.parquet", compression="zstd", compression_level=1
        )
    return len(messages)


def test_benchmark_read(benchmark, pair):
    """Read, hash, unpack and parse strictly; against `read_by_pandas`."""
    pytest.importorskip("pandas")
    raw = benchmark(read_pair, pair)
    assert raw.books.shape == (4 * pair.name.level, len(raw.ts_ns))
    ratio = times_ours(lambda: read_pair(pair), lambda: read_by_pandas(pair))
    csv_mb = round(raw.csv_bytes / 2**20, 1)
    note(benchmark, len(raw.ts_ns), csv_mb=csv_mb, times_pandas=ratio)


def test_benchmark_parse(benchmark, pair):
    """The unpacked order book file alone; against pandas and polars from the same bytes."""
    pandas = pytest.importorskip("pandas")
    data = pair.books.csv_bytes(pair.books.stored_bytes())
    table = benchmark(parse_books, data, pair.name.level, "file")
    others = {
        "pandas": lambda: pandas.read_csv(io.BytesIO(data), header=None),
        "polars": lambda: pl.read_csv(data, has_header=False),
    }
    assert (table == pl.read_csv(data, has_header=False).to_numpy().T).all()

    def parse() -> np.ndarray:
        return parse_books(data, pair.name.level, "file")

    ratios = {f"times_{name}": times_ours(parse, run) for name, run in others.items()}
    note(benchmark, table.shape[1], **ratios)


def test_benchmark_check(benchmark, pair):
    raw = read_pair(pair)
    check_day(raw)
    day = benchmark(check_day, raw)
    note(benchmark, day.num_rows)


def test_benchmark_synchronize(benchmark, pair):
    day = check_day(read_pair(pair))
    synchronize(day)
    stream = benchmark(synchronize, day)
    assert len(stream.row_start) == day.num_rows + 1
    note(benchmark, day.num_rows, sync_share=round(stream.sync_share, 4))


def test_benchmark_verify(benchmark, pair):
    day = check_day(read_pair(pair))
    stream = synchronize(day)
    verify_stream(day, stream)
    report = benchmark(verify_stream, day, stream)
    assert report.is_exact
    note(benchmark, day.num_rows, device=jax.devices()[0].device_kind)


@pytest.mark.parametrize("is_verified", [False, True])
def test_benchmark_prepare(benchmark, pair, tmp_path, is_verified):
    """From .gz to a store on disk, each round in a new folder; against `prepare_by_pandas`."""
    pytest.importorskip("pandas")
    options = PrepareOptions(verify=is_verified)
    numbers = itertools.count()

    def run() -> int:
        return prepare(pair.messages.path, tmp_path / str(next(numbers)), options).days[0].rows

    run()
    rows = benchmark(run)
    ratio = times_ours(run, lambda: prepare_by_pandas(pair, tmp_path / "pandas"))
    note(benchmark, rows, verified=is_verified, times_pandas=ratio)


@pytest.mark.parametrize("action", ["read", "pandas", "verify", "prepare", "open"])
def test_benchmark_peak_memory(benchmark, pair, tmp_path, action):
    """Peak resident memory over that of the loaded libraries; `pandas` is `read_by_pandas`."""
    small = synthesize(tmp_path / "small_raw", num_messages=2000, num_levels=10).pair
    if action == "pandas":
        pytest.importorskip("pandas")
    if action == "open":
        for name, source in (("small", small), ("day", pair)):
            prepare(source.messages.path, tmp_path / name, PrepareOptions(verify=False))
    arguments = [str(tmp_path), str(small.messages.path), str(pair.messages.path)]
    command = [sys.executable, "-c", MEASURE_PEAK, action, *arguments]

    def run() -> int:
        result = subprocess.run(command, capture_output=True, text=True, check=True)
        return int(result.stdout)

    peak = benchmark.pedantic(run, rounds=1)
    csv_bytes = read_pair(pair).csv_bytes
    assert peak > 0
    benchmark.extra_info.update(
        peak_mb=round(peak / 2**20, 1), peak_over_csv=round(peak / csv_bytes, 2)
    )


@pytest.mark.parametrize("model", ["zero_intelligence", "hawkes", "queue_reactive"])
def test_benchmark_calibrate(benchmark, store, model):
    """A fit to the training part of the day."""
    calibrate(store, model=model)
    result = benchmark.pedantic(lambda: calibrate(store, model=model), rounds=3)
    assert result.fit["residual_mean"] == pytest.approx(1, abs=0.05)
    note(benchmark, int(result.fit["events"]), residual_ks=round(result.fit["residual_ks"], 4))


WINDOWS = {
    "messages": {"num_steps": 50, "messages_per_step": 100},
    "overlapping": {"num_steps": 50, "messages_per_step": 10, "stride": 50},
    "seconds": {"num_steps": 60, "seconds_per_step": 1.0},
}


@pytest.mark.parametrize("name", WINDOWS)
def test_benchmark_open_windows(benchmark, store: Path, name):
    """From a closed store to windows on the device."""

    def run() -> int:
        windows = open_store(store).windows(**WINDOWS[name])
        return int(jax.block_until_ready(windows).num_windows)

    run()
    count = benchmark(run)
    assert count > 0
    benchmark.extra_info.update(windows=count, device=jax.devices()[0].device_kind)

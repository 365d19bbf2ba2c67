"""Rows per second and peak memory from raw files to a verified store.

With LOBSTER_SAMPLES set the GOOG level 10 day is used, otherwise a synthetic pair.
"""

from __future__ import annotations

import csv
import gzip
import os
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import polars as pl
import pytest
from lob_core.runtime import configure_cpu
from lob_data import PrepareOptions, open_store, prepare, synthesize
from lob_data.lobster import Pair, find_pairs, read_pair
from lob_data.sync import synchronize
from lob_data.validate import check_day
from lob_data.verify import verify_stream

configure_cpu()

MEASURE_PEAK = """
import resource, sys, threading
from lob_core.runtime import configure_cpu
configure_cpu()
import jax, lob_data
from lob_data import PrepareOptions, prepare
def rss(): return int(open("/proc/self/statm").read().split()[1]) * resource.getpagesize()
prepare(sys.argv[1], sys.argv[2] + "/small")
base, peak, done = rss(), 0, threading.Event()
def watch():
    global peak
    while not done.wait(0.002): peak = max(peak, rss())
thread = threading.Thread(target=watch); thread.start()
prepare(sys.argv[3], sys.argv[2] + "/day")
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


def test_benchmark_read(benchmark, pair):
    raw = benchmark(read_pair, pair)
    assert raw.books.height == len(raw.ts_ns)
    note(benchmark, raw.books.height, csv_mb=round(raw.csv_bytes / 2**20, 1))


def test_benchmark_read_by_csv_module(benchmark, pair):
    """The straightforward way, for comparison: rows of Python integers into an array."""

    def read() -> np.ndarray:
        with gzip.open(pair.books.path, "rt") as file:
            return np.array([[int(x) for x in row] for row in csv.reader(file)])

    books = benchmark.pedantic(read, rounds=1)
    assert books.shape[1] == 4 * pair.name.level
    note(benchmark, len(books))


def test_benchmark_read_by_pandas(benchmark, pair):
    """What most users do today, for comparison; nothing is checked or converted."""
    pandas = pytest.importorskip("pandas")

    def read() -> tuple[object, object]:
        files = (pair.messages.path, pair.books.path)
        return tuple(pandas.read_csv(file, header=None) for file in files)  # type: ignore[return-value]

    messages, books = benchmark(read)
    assert len(messages) == len(books)
    note(benchmark, len(books))


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
    """From .gz to a store on disk; each round prepares into a new folder."""
    options = PrepareOptions(verify=is_verified)
    rounds = iter(range(1000))

    def run() -> int:
        return prepare(pair.messages.path, tmp_path / str(next(rounds)), options).days[0].rows

    run()
    note(benchmark, benchmark(run), verified=is_verified)


def test_benchmark_peak_memory(benchmark, pair, tmp_path):
    """Peak resident memory of one verified preparation over that of the loaded libraries."""
    small = synthesize(tmp_path / "small_raw", num_messages=600, num_levels=10).pair
    arguments = [str(small.messages.path), str(tmp_path), str(pair.messages.path)]
    command = [sys.executable, "-c", MEASURE_PEAK, *arguments]

    def run() -> int:
        result = subprocess.run(command, capture_output=True, text=True, check=True)
        return int(result.stdout)

    peak = benchmark.pedantic(run, rounds=1)
    csv_bytes = read_pair(pair).csv_bytes
    assert peak > 0
    benchmark.extra_info.update(
        peak_mb=round(peak / 2**20, 1), peak_over_csv=round(peak / csv_bytes, 2)
    )


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

"""Measures the engine on a GPU in one sitting, checks it against the CPU, and writes JSON.

    python packages/lob-core/benchmarks/gpu.py --out gpu.json

Every rate is the median of several calls of one compiled program, in which a `scan` plays at least
100 messages on each book in steps of 1, 10 or 100; compile time apart. The first books of each
setting are played on the CPU too, and all their bits must agree. What has not begun after
`--seconds` is left out and listed as such.
"""

from __future__ import annotations

import argparse
import datetime
import functools
import itertools
import json
import platform
import statistics
import subprocess
import sys
import time
from pathlib import Path

import jax
import jaxlib
import numpy as np
from lob_core import BookConfig, process_messages
from lob_core.flow import ZeroIntelligence, simulate
from lob_core.runtime import configure_cpu

NUM_STREAMS = 64
NUM_CALLS = 5
LEAST_MESSAGES = 100


@functools.cache
def make_flow(config: BookConfig, num_steps: int, step: int, cpu):
    """Books in mid-session `[64, N]`, what comes next `[64, steps, M]`, and how that ends."""
    model = ZeroIntelligence(refresh_every=10)
    params = model.default_params()

    def run(key):
        key_open, key_warm, key_run = jax.random.split(key, 3)
        book, state = model.opening(key_open, params, config)
        book, state, *_ = simulate(model, key_warm, book, state, params, 200, config)
        total = -(-num_steps * step // 10) * 10
        return book, simulate(model, key_run, book, state, params, total, config)[2]

    def cut(rows):
        return rows[:, : num_steps * step].reshape(NUM_STREAMS, num_steps, step)

    with jax.default_device(cpu):
        books, messages = jax.jit(jax.vmap(run))(jax.random.split(jax.random.key(0), NUM_STREAMS))
        messages = jax.tree.map(cut, messages)
        expected = player(config, None)(books, messages)
    return jax.device_get((books, messages, expected))


def player(config: BookConfig, backend: str | None):
    """Plays `[B, steps, M]` messages on `[B]` books, step by step."""

    def run(book, messages):
        def play(book, messages):
            book, outcome = process_messages(book, messages, config=config, backend=backend)
            return book, (outcome.reports, outcome.fills, outcome.trades.count)

        return jax.lax.scan(play, book, messages)

    return jax.jit(jax.vmap(run))


def measure(config: BookConfig, backend: str, num_books: int, step: int, devices) -> dict:
    """One row of the table; raises if the device's bits differ from the CPU's."""
    num_steps = max(1, LEAST_MESSAGES // step)
    cpu, device = devices
    books, messages, expected = make_flow(config, num_steps, step, cpu)
    repeats = -(-num_books // NUM_STREAMS)

    def tile(x):
        tiled = np.tile(x, (repeats,) + (1,) * (x.ndim - 1))[:num_books]
        return jax.device_put(tiled, device)

    arguments = jax.tree.map(tile, (books, messages))
    start = time.perf_counter()
    compiled = player(config, backend).lower(*arguments).compile()
    compile_seconds = time.perf_counter() - start
    found = jax.device_get(jax.tree.map(lambda x: x[:NUM_STREAMS], compiled(*arguments)))
    for left, right in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        np.testing.assert_array_equal(left, right[: left.shape[0]])
    seconds = []
    for _ in range(NUM_CALLS):
        start = time.perf_counter()
        jax.block_until_ready(compiled(*arguments))
        seconds.append(time.perf_counter() - start)
    total = num_books * num_steps * step
    memory = (device.memory_stats() or {}).get("peak_bytes_in_use")
    return {
        "backend": backend,
        "books": num_books,
        "messages": step,
        "slots": config.num_slots,
        "messages_per_s": int(total / statistics.median(seconds)),
        "fastest": int(total / min(seconds)),
        "compile_seconds": round(compile_seconds, 2),
        "peak_bytes_so_far": memory,
        "equals_cpu": True,
    }


def driver_version() -> str | None:
    """Version of the NVIDIA driver, if there is one."""
    command = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None


def main(arguments: list[str] | None = None) -> int:
    """Runs the measurements; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("gpu.json"), help="JSON file to write")
    parser.add_argument("--seconds", type=float, default=420, help="begin nothing after that")
    parser.add_argument("--backends", nargs="+", default=["pallas", "xla"])
    parser.add_argument("--books", nargs="+", type=int, default=[1024, 4096, 65_536])
    parser.add_argument("--messages", nargs="+", type=int, default=[100, 10, 1])
    parser.add_argument("--slots", nargs="+", type=int, default=[128])
    parser.add_argument("--device", choices=["gpu", "cpu"], default="gpu")
    options = parser.parse_args(arguments)
    configure_cpu()
    try:
        devices = jax.devices("cpu")[0], jax.devices(options.device)[0]
    except RuntimeError as error:
        sys.stderr.write(f"no {options.device}: {error}\n")
        return 2
    rows, skipped, begin = [], [], time.perf_counter()
    settings = itertools.product(options.slots, options.backends, options.messages, options.books)
    for slots, backend, step, num_books in settings:
        name = f"{backend} {num_books} x {step}, {slots} slots"
        if time.perf_counter() - begin > options.seconds:
            skipped.append(name)
            continue
        config = BookConfig(num_slots=slots, max_trades=32, num_agents=2)
        row = measure(config, backend, num_books, step, devices)
        rows.append(row)
        sys.stdout.write(f"{name}: {row['messages_per_s'] / 1e6:.1f} M messages/s\n")
        sys.stdout.flush()
    report = {
        "schema": 1,
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "device": devices[1].device_kind,
        "driver": driver_version(),
        "versions": {
            "python": platform.python_version(),
            "jax": jax.__version__,
            "jaxlib": jaxlib.__version__,
        },
        "rows": rows,
        "skipped": skipped,
    }
    options.out.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())

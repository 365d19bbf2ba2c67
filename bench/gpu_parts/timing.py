"""Compiling, timing and profiling one program, and comparing it with what the CPU makes of it."""

from __future__ import annotations

import dataclasses
import itertools
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np
from lob_core.testing.programs import count_launches
from lob_core.usage import watch

TOP_KERNELS = 8


@dataclasses.dataclass
class Timed:
    """A program on one device, compiled for its arguments.

    Attributes:
        compiled: the program.
        numbers: what is known of it: compile seconds, temporary bytes, kernels.
    """

    compiled: Any
    numbers: dict[str, Any]


class Compiler:
    """Compiles programs, each once for each device."""

    def __init__(self) -> None:
        self._done: dict[Any, Timed] = {}

    def __call__(
        self, key: Any, function: Callable[..., Any], arguments: Any, device: jax.Device
    ) -> Timed:
        """A function compiled for arguments that lie on the device; `key` says which it is."""
        if (key, device) not in self._done:
            self._done[key, device] = _compile(function, arguments, device)
        return self._done[key, device]


def _compile(function: Callable[..., Any], arguments: Any, device: jax.Device) -> Timed:
    began = time.perf_counter()
    with jax.default_device(device):
        compiled = jax.jit(function).lower(*arguments).compile()
    seconds = time.perf_counter() - began
    launches = count_launches(compiled.as_text())
    memory = compiled.memory_analysis()
    return Timed(
        compiled,
        {
            "compile_seconds": round(seconds, 1),
            "kernels_per_innermost_step": launches.innermost,
            "temporary_bytes": getattr(memory, "temp_size_in_bytes", None),
        },
    )


def measure(timed: Timed, arguments: Any, device: jax.Device, calls: int) -> dict[str, Any]:
    """Seconds of a call (median and least of several), and how the device was used meanwhile."""
    seconds = []
    jax.block_until_ready(timed.compiled(*arguments))
    with watch(device) as usage:
        for _ in range(calls):
            began = time.perf_counter()
            jax.block_until_ready(timed.compiled(*arguments))
            seconds.append(time.perf_counter() - began)
    return {
        **timed.numbers,
        "median_seconds": statistics.median(seconds),
        "least_seconds": min(seconds),
        "utilization": usage.utilization,
        "peak_bytes_so_far": usage.peak_bytes,
    }


def profile(timed: Timed, arguments: Any, device: jax.Device) -> dict[str, Any]:
    """Where the time of one call goes: its kernels, their share of it, and the longest ones.

    XLA starts kernels one by one while it is watched, not as CUDA graphs. On a CPU events nest, so
    that shares may exceed 1.
    """
    with tempfile.TemporaryDirectory() as folder:
        with jax.profiler.trace(folder):
            began = time.perf_counter()
            jax.block_until_ready(timed.compiled(*arguments))
            wall_ns = (time.perf_counter() - began) * 1e9
        files = sorted(Path(folder).rglob("*.xplane.pb"))
        data = jax.profiler.ProfileData.from_file(str(files[-1]))
        name = "/device:GPU" if device.platform == "gpu" else "/host:CPU"
        busy_ns, calls = Counter[str](), Counter[str]()
        for plane in data.planes:
            if not plane.name.startswith(name):
                continue
            for line in plane.lines:
                if device.platform == "gpu" and not line.name.startswith("Stream"):
                    continue
                for event in line.events:
                    if event.name.startswith("$"):  # a function of Python
                        continue
                    busy_ns[event.name] += event.duration_ns
                    calls[event.name] += 1
    top = itertools.islice(busy_ns.most_common(), TOP_KERNELS)
    return {
        "milliseconds": round(wall_ns / 1e6, 3),
        "share_of_events": round(sum(busy_ns.values()) / wall_ns, 3),
        "events": sum(calls.values()),
        "longest": [
            {"name": key, "calls": calls[key], "milliseconds": round(ns / 1e6, 3)}
            for key, ns in top
        ],
    }


def differences(found: Any, expected: Any, *, tolerance: float) -> list[str]:
    """Leaves that differ: integers at all, reals by more than the tolerance; empty if none.

    Args:
        found: of the device.
        expected: of the CPU; the same tree, leaves of at least as many rows.
        tolerance: relative to the largest value of the leaf.
    """
    lines = []
    pairs = zip(jax.tree.leaves_with_path(found), jax.tree.leaves(expected), strict=True)
    for (path, left), right in pairs:
        left, right = np.asarray(left), np.asarray(right)
        name = jax.tree_util.keystr(path)
        if np.issubdtype(left.dtype, np.floating):
            if not np.isfinite(left).all():
                lines.append(f"{name} is not finite")
            scale = max(float(np.max(np.abs(right), initial=0.0)), 1e-6)
            worst = float(np.max(np.abs(left - right), initial=0.0)) / scale
            if not worst <= tolerance:
                lines.append(f"{name} differs by {worst:.2g} of its scale")
        elif not np.array_equal(left, right):
            lines.append(f"{name} differs in {int(np.sum(left != right))} of {left.size} numbers")
    return lines

"""How full and how busy a device is while something runs on it."""

from __future__ import annotations

import contextlib
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator

import jax

_SAMPLE_MS = 100


class Usage:
    """What was seen; complete when the `with` block of `watch` has ended.

    Attributes:
        utilization: between 0 and 1. On a GPU the share of time in which some kernel ran, as the
            driver samples it; on a CPU the processor time of this process, over the time that
            all cores had. None where it cannot be had.
        peak_bytes: the most memory that was in use since the process began: of JAX on a GPU, of
            the process on a CPU. None where it cannot be had.
    """

    utilization: float | None = None
    peak_bytes: int | None = None


@contextlib.contextmanager
def watch(device: jax.Device) -> Iterator[Usage]:
    """Watches a device; results must have been waited for before the block ends.

    Args:
        device: what is watched.
    """
    usage = Usage()
    if device.platform == "gpu":
        sampler = _start_sampler(device.local_hardware_id)
        try:
            yield usage
        finally:
            usage.utilization = _read_sampler(sampler)
            usage.peak_bytes = (device.memory_stats() or {}).get("peak_bytes_in_use")
        return
    wall, work = time.perf_counter(), time.process_time()
    try:
        yield usage
    finally:
        elapsed = max(time.perf_counter() - wall, 1e-9)
        share = (time.process_time() - work) / (elapsed * (os.cpu_count() or 1))
        usage.utilization = min(share, 1.0)
        usage.peak_bytes = _peak_of_process()


def _start_sampler(index: int | None) -> subprocess.Popen[str] | None:
    """`nvidia-smi` printing the utilization in percent, line by line; None without it."""
    command = ["nvidia-smi", "--query-gpu=utilization.gpu", "--format=csv,noheader,nounits"]
    command += [f"--id={index or 0}", f"--loop-ms={_SAMPLE_MS}"]
    try:
        return subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
    except OSError:
        return None


def _read_sampler(sampler: subprocess.Popen[str] | None) -> float | None:
    """Stops the sampler; the mean of what it saw, or None."""
    if sampler is None:
        return None
    sampler.terminate()
    lines, _ = sampler.communicate()
    seen = [int(line) for line in lines.split() if line.isdigit()]
    return statistics.fmean(seen) / 100 if seen else None


def _peak_of_process() -> int | None:
    try:
        import resource
    except ImportError:  # not on Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return int(peak if sys.platform == "darwin" else peak * 1024)

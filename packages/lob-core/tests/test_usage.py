import os
import stat
import time
import types

import jax
import numpy as np
from lob_core.usage import watch


def test_watch__sees_a_busy_process():
    with watch(jax.devices("cpu")[0]) as usage:
        np.linalg.svd(np.random.default_rng(0).normal(size=(300, 300)))
    assert 0 < usage.utilization <= 1
    assert usage.peak_bytes > 1_000_000


def pretended_gpu(stats):
    return types.SimpleNamespace(platform="gpu", local_hardware_id=0, memory_stats=lambda: stats)


def test_watch__asks_the_driver_on_a_gpu(tmp_path, monkeypatch):
    tool = tmp_path / "nvidia-smi"
    tool.write_text("#!/bin/sh\nprintf '40\\n60\\n[N/A]\\n'\nexec sleep 10\n")
    tool.chmod(tool.stat().st_mode | stat.S_IEXEC)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    with watch(pretended_gpu({"peak_bytes_in_use": 123})) as usage:
        time.sleep(0.5)
    assert usage.utilization == 0.5
    assert usage.peak_bytes == 123


def test_watch__knows_nothing_without_the_drivers_tool(monkeypatch):
    monkeypatch.setenv("PATH", "")
    with watch(pretended_gpu(None)) as usage:
        pass
    assert usage.utilization is None
    assert usage.peak_bytes is None

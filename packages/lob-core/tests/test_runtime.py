import os
import subprocess
import sys
import types
import warnings

import jax
import jax.numpy as jnp
import pytest
from lob_core import runtime
from lob_core.runtime import (
    SCHEDULER_FLAG,
    DeviceError,
    compile_quickly,
    configure_cpu,
    cpu_options,
    require_device,
    run_once,
)


def test_configure_cpu__appends_the_flag_once(monkeypatch):
    monkeypatch.setenv("XLA_FLAGS", "--xla_dump_to=x")
    configure_cpu()
    configure_cpu()
    assert os.environ["XLA_FLAGS"] == f"--xla_dump_to=x {SCHEDULER_FLAG}=false"


def test_configure_cpu__leaves_the_users_choice(monkeypatch):
    monkeypatch.setenv("XLA_FLAGS", f"{SCHEDULER_FLAG}=true")
    configure_cpu()
    assert os.environ["XLA_FLAGS"] == f"{SCHEDULER_FLAG}=true"


def test_configure_cpu__works_without_flags(monkeypatch):
    monkeypatch.delenv("XLA_FLAGS", raising=False)
    configure_cpu()
    assert os.environ["XLA_FLAGS"] == f"{SCHEDULER_FLAG}=false"


def test_compile_quickly__adds_flags_that_xla_knows_and_leaves_the_users_choice(monkeypatch):
    monkeypatch.setenv("XLA_FLAGS", "--xla_backend_optimization_level=1")
    compile_quickly()
    once = os.environ["XLA_FLAGS"]
    compile_quickly()
    assert os.environ["XLA_FLAGS"] == once
    assert once.count("--xla_backend_optimization_level") == 1
    monkeypatch.setenv("XLA_FLAGS", "")
    compile_quickly()
    assert "--xla_backend_optimization_level=0" in os.environ["XLA_FLAGS"]
    code = "import jax; assert jax.jit(lambda x: x + 1)(1) == 2"
    subprocess.run([sys.executable, "-c", code], check=True, env={**os.environ, "XLA_FLAGS": once})


def test_cpu_options__leave_the_users_choice(monkeypatch):
    options = {"xla_backend_optimization_level": "1"}
    monkeypatch.setenv("XLA_FLAGS", "--xla_dump_to=x")
    assert cpu_options(options) == options
    monkeypatch.setenv("XLA_FLAGS", "--xla_backend_optimization_level=2")
    assert cpu_options(options) is None
    monkeypatch.setenv("XLA_FLAGS", "")
    monkeypatch.setattr(runtime.jax, "default_backend", lambda: "gpu")
    assert cpu_options(options) is None


@pytest.mark.parametrize("flags", ["", "--xla_backend_optimization_level=2"])
def test_run_once__gives_what_jit_gives_also_inside_jit_and_vmap(monkeypatch, flags):
    monkeypatch.setenv("XLA_FLAGS", flags)
    numbers = {"a": jnp.arange(6), "b": jnp.int32(3)}

    def play(x, k):
        return x["a"] * x["b"] + k

    for run in (jax.jit(lambda x, k: run_once(play, x, k)), lambda x, k: run_once(play, x, k)):
        assert run(numbers, 2).tolist() == [2, 5, 8, 11, 14, 17]
    assert jax.vmap(lambda k: run_once(play, numbers, k))(jnp.arange(2)).shape == (2, 6)
    inside = jax.jit(lambda k: run_once(play, numbers, 2) + k)  # what it is given is not traced
    assert inside(1).tolist() == [3, 6, 9, 12, 15, 18]


def test_import__starts_no_backend_and_changes_no_setting():
    code = (
        "import os, jax; before = dict(os.environ), dict(jax.config.values)\n"
        "import lob_core, lob_core.runtime, lob_core.views, lob_core.flow\n"
        "from jax._src import xla_bridge\n"
        "lob_core.runtime.configure_cpu()\n"
        "assert not xla_bridge.backends_are_initialized()\n"
        "os.environ['XLA_FLAGS'] = before[0].get('XLA_FLAGS', '')\n"
        "assert before[0].get('XLA_FLAGS') is not None or os.environ.pop('XLA_FLAGS') == ''\n"
        "assert (dict(os.environ), dict(jax.config.values)) == before\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_import__leaves_numba_and_pallas_until_they_are_used():
    code = (
        "import sys, lob_core, lob_core.views, lob_core.measures, lob_core.replay\n"
        "late = ('numba', 'llvmlite', 'jax.experimental.pallas', 'hypothesis')\n"
        "assert not [name for name in late if name in sys.modules]\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_require_device__cpu_is_always_there():
    assert require_device("cpu").platform == "cpu"


def test_require_device__names_an_unknown_device():
    with pytest.raises(DeviceError, match="device is 'tpux'; it must be one of auto, cpu, gpu"):
        require_device("tpux")


def test_require_device__missing_gpu_is_an_error_that_names_it():
    if jax.default_backend() == "gpu":
        pytest.skip("this machine has a GPU")
    with pytest.raises(DeviceError, match="device is 'gpu', but JAX cannot use one"):
        require_device("gpu")


def test_require_device__auto_warns_when_an_installed_gpu_plugin_is_unusable(monkeypatch):
    if jax.default_backend() == "gpu":
        pytest.skip("this machine has a GPU")
    monkeypatch.setattr(runtime, "_GPU_PLUGINS", ("jax",))
    monkeypatch.setattr(runtime, "_allows_gpu", lambda: True)
    with pytest.warns(RuntimeWarning, match="RUNNING ON THE CPU: jax is installed, but") as seen:
        assert require_device("auto").platform == "cpu"
    assert len(seen) == 1


def test_require_device__auto_warns_when_a_card_is_there_but_jax_has_no_cuda(monkeypatch, tmp_path):
    if jax.default_backend() == "gpu":
        pytest.skip("this machine has a GPU")
    tool = tmp_path / "nvidia-smi"
    tool.write_text("#!/bin/sh\necho NVIDIA H200\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr(runtime, "_GPU_PLUGINS", ())
    monkeypatch.setattr(runtime, "_allows_gpu", lambda: True)
    with pytest.warns(RuntimeWarning, match="RUNNING ON THE CPU: NVIDIA H200 is there") as seen:
        assert require_device("auto").platform == "cpu"
    assert len(seen) == 1


@pytest.mark.parametrize(("visible", "allowed"), [(None, True), ("0", True), ("", False)])
def test_require_device__auto_heeds_that_cards_are_hidden(monkeypatch, visible, allowed):
    config = types.SimpleNamespace(values={"jax_platforms": None})
    monkeypatch.setattr(runtime, "jax", types.SimpleNamespace(config=config))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert runtime._allows_gpu() is allowed


def test_require_device__auto_is_silent_without_a_gpu_plugin_or_card(monkeypatch):
    monkeypatch.setattr(runtime, "_GPU_PLUGINS", ())
    monkeypatch.setattr(runtime, "_allows_gpu", lambda: True)
    monkeypatch.setenv("PATH", "")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        require_device("auto")

"""Choosing the device and the XLA flags that CPU runs need; nothing happens at import."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import warnings
from collections.abc import Callable
from typing import Any, Final, Literal, TypeVar, get_args

import jax

from lob_core.backends import ffi

_T = TypeVar("_T")
SCHEDULER_FLAG: Final = "--xla_cpu_enable_concurrency_optimized_scheduler"
"""XLA flag under whose default batched decompositions of JAX 0.10 (`jnp.linalg.qr` under `vmap`)
that run side by side hang: each waits on a thread of XLA's pool for tasks of the same pool. Turned
off, it keeps most of them apart, not those of nested calls."""

QUICK_OPTIONS: Final[dict[str, str | bool]] = {
    "xla_backend_optimization_level": "0",
    **({"xla_cpu_use_fusion_emitters": False} if jax.__version_info__ < (0, 11) else {}),
}
"""XLA's options for programs that run on a CPU for a moment only: no optimization, and before JAX
0.11 the older of its two emitters. A third of the time to compile, several times that to run."""

DeviceName = Literal["auto", "cpu", "gpu"]
"""What a user may ask for."""

_GPU_PLUGINS: Final = ("jax_cuda12_plugin", "jax_cuda13_plugin", "jax_rocm60_plugin")


class DeviceError(ValueError):
    """The device asked for is unknown or cannot be used."""


def configure_cpu() -> None:
    """Turns off XLA's concurrency-optimized CPU scheduler, unless the user has set that flag.

    Call it before JAX runs anything: XLA reads `XLA_FLAGS` when its first backend starts. It only
    edits the environment variable, and calling it again changes nothing.
    """
    flags = os.environ.get("XLA_FLAGS", "")
    if SCHEDULER_FLAG not in flags:
        os.environ["XLA_FLAGS"] = f"{flags} {SCHEDULER_FLAG}=false".strip()


def compile_ahead() -> None:
    """Starts to compile the engine for CPUs in a process of its own; returns at once.

    For applications, as their first statement: a first run imports and traces meanwhile, instead of
    waiting ten seconds for the kernel. Whoever needs the engine first waits for that process. If
    the kernel lies compiled on the disk it ends after a second; if it fails, the engine compiles in
    this process as it would have. Calling it again, or after the engine was used, changes nothing.
    """
    ffi.compile_ahead()


def run_once(function: Callable[..., _T], *arguments: Any) -> _T:
    """Calls a function under `jit`, on CPUs compiled with `QUICK_OPTIONS`.

    For small work that a process does once, which takes longer to compile than to run. A level of
    optimization that `XLA_FLAGS` sets stays, and for arguments that are traced this is plain `jit`.

    Args:
        function: what to run; what it is traced for, it is given.
        arguments: pytrees of arrays.

    Returns:
        What the function returns.
    """
    run = jax.jit(function)
    if any(isinstance(x, jax.core.Tracer) for x in jax.tree.leaves(arguments)):
        return run(*arguments)  # type: ignore[no-any-return]
    compiled = run.lower(*arguments).compile(compiler_options=cpu_options(QUICK_OPTIONS))
    return compiled(*arguments)  # type: ignore[no-any-return]


def cpu_options(options: dict[str, str | bool]) -> dict[str, str | bool] | None:
    """Compiler options for CPUs, for programs of the default device.

    Returns:
        None, for XLA's own, on other platforms and if `XLA_FLAGS` sets one of them.
    """
    flags = os.environ.get("XLA_FLAGS", "")
    if jax.default_backend() != "cpu" or any(name in flags for name in options):
        return None
    return options


def compile_quickly() -> None:
    """Sets `QUICK_OPTIONS` for all programs; for tests.

    Flags that the user has set stay. Call it before JAX runs anything.
    """
    flags = os.environ.get("XLA_FLAGS", "")
    wanted = {f"--{name}": str(value).lower() for name, value in QUICK_OPTIONS.items()}
    added = [f"{name}={value}" for name, value in wanted.items() if name not in flags]
    os.environ["XLA_FLAGS"] = " ".join([flags, *added]).strip()


def require_device(name: str = "auto") -> jax.Device:
    """The device to run on; starts JAX's backends.

    Args:
        name: "cpu", "gpu", or "auto" for whatever JAX prefers here.

    Returns:
        The first device of that kind; use it with `jax.default_device`.

    Raises:
        DeviceError: if `name` is unknown, or the device it names cannot be used; the message
            gives JAX's reason.

    Warns:
        RuntimeWarning: if `name` is "auto" and the CPU is taken although a GPU plugin is
            installed or an NVIDIA card is there, unless the environment asks for CPUs
            (`JAX_PLATFORMS`, `CUDA_VISIBLE_DEVICES`).
    """
    if name not in get_args(DeviceName):
        allowed = ", ".join(get_args(DeviceName))
        raise DeviceError(f"device is {name!r}; it must be one of {allowed}")
    if name != "auto":
        return _first_device(name)
    try:
        device = jax.devices()[0]
    except RuntimeError as error:
        raise DeviceError(f"device is 'auto', but JAX finds no usable device: {error}") from error
    if device.platform == "cpu" and _allows_gpu():
        reason = _why_no_gpu()
        if reason is not None:
            warnings.warn(f"RUNNING ON THE CPU: {reason}", RuntimeWarning, stacklevel=2)
    return device


def _why_no_gpu() -> str | None:
    """What keeps JAX from a GPU that seems to be wanted; None if there is no sign of one."""
    plugins = [plugin for plugin in _GPU_PLUGINS if importlib.util.find_spec(plugin)]
    if plugins:
        try:
            _first_device("gpu")
        except DeviceError as error:
            return f"{', '.join(plugins)} is installed, but {error}"
        return None
    cards = _visible_cards()
    if not cards:
        return None
    return f"{', '.join(cards)} is there, but JAX is installed without CUDA (jax[cuda13])"


def _visible_cards() -> list[str]:
    """Names of the NVIDIA cards that the driver's tool sees."""
    try:
        listed = subprocess.run(
            ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"],
            capture_output=True,
            text=True,
            check=True,
            timeout=20,
        )
    except (OSError, subprocess.SubprocessError):
        return []
    return [line.strip() for line in listed.stdout.splitlines() if line.strip()]


def prefers_branches() -> bool:
    """Whether a program of this process should skip work by `lax.cond`; asked while tracing.

    On a GPU the host waits for the condition before it can start what follows, and the side that
    is not taken copies what it hands on: small work is done sooner than skipped.
    """
    return all(device.platform == "cpu" for device in jax.local_devices())


def _first_device(name: str) -> jax.Device:
    try:
        return jax.devices(name)[0]
    except RuntimeError as error:
        raise DeviceError(f"device is {name!r}, but JAX cannot use one: {error}") from error


def _allows_gpu() -> bool:
    """Whether the user has left JAX free to start a GPU."""
    if os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1"):
        return False
    platforms = jax.config.values.get("jax_platforms")
    return not platforms or any(name in platforms for name in ("gpu", "cuda", "rocm"))

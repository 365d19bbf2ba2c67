"""Tests compile many small programs: XLA is told not to spend time on optimizing them."""

import os

import pytest
from lob_core.runtime import configure_cpu

os.environ.setdefault("JAX_PLATFORMS", "cpu")


def pytest_configure(config: pytest.Config) -> None:
    """Sets XLA's flags before JAX runs: four devices, optimization for long proofs only."""
    if config.option.markexpr != "learn":
        flags = os.environ.get("XLA_FLAGS", "")
        own = "--xla_backend_optimization_level=0 --xla_force_host_platform_device_count=4"
        os.environ["XLA_FLAGS"] = f"{flags} {own}"
    configure_cpu()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A test that hangs ends with a traceback of every thread."""
    for item in items:
        if item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(240))

"""Tests compile many small programs: XLA is told not to spend time on optimizing them."""

import os

import pytest
from lob_core.runtime import compile_quickly, configure_cpu

os.environ.setdefault("JAX_PLATFORMS", "cpu")


def pytest_configure(config: pytest.Config) -> None:
    """Sets XLA's flags before JAX runs: four devices, optimization for long proofs only."""
    configure_cpu()
    if config.option.markexpr != "learn":
        compile_quickly()
        os.environ["XLA_FLAGS"] += " --xla_force_host_platform_device_count=4"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A test that hangs ends with a traceback of every thread."""
    for item in items:
        if item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(240))

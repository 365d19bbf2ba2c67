"""Programs of these tests run for a moment only: they are compiled without optimization."""

import os

from lob_core.runtime import configure_cpu

configure_cpu()
LEVEL = "--xla_backend_optimization_level"
if LEVEL not in os.environ["XLA_FLAGS"]:
    os.environ["XLA_FLAGS"] += f" {LEVEL}=0"

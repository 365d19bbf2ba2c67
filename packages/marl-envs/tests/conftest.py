"""Programs of these tests run for a moment only: they are compiled without optimization."""

import gc

from lob_core.runtime import compile_quickly, configure_cpu

configure_cpu()
compile_quickly()
gc.set_threshold(100_000, 10, 100)  # tracing makes much that stays, and is looked through in vain

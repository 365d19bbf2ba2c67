"""Programs of these tests run for a moment only: they are compiled without optimization."""

from lob_core.runtime import compile_quickly, configure_cpu

configure_cpu()
compile_quickly()

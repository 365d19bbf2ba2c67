"""Programs of these tests run for a moment only, and are not optimized but `as_a_user`."""

import os

import pytest
from lob_core.runtime import compile_quickly, configure_cpu

configure_cpu()
AS_A_USER = dict(os.environ)
compile_quickly()


@pytest.fixture(scope="session")
def as_a_user() -> dict[str, str]:
    """Environment variables of a process that compiles as it does for users."""
    return AS_A_USER

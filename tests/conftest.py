import os

import pytest
from lob_core.runtime import configure_cpu

configure_cpu()


@pytest.fixture
def lobster_samples() -> str:
    folder = os.environ.get("LOBSTER_SAMPLES")
    if not folder:
        pytest.skip("LOBSTER_SAMPLES is not set")
    return folder

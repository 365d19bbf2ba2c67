"""Background flow to benchmark with: recorded GOOG messages where there are any, else generated."""

import dataclasses
import os
import tempfile

import pytest
from lob_core.runtime import configure_cpu
from lob_core.types import BookConfig
from marl_envs.testing import record_windows

configure_cpu()

NUM_WINDOWS = 16


@pytest.fixture
def replay():
    """The function `recorded_flow`."""
    return recorded_flow


def recorded_flow(config, messages_per_step):
    """Windows, the config that fits them, and the name of their source.

    With `LOBSTER_SAMPLES` set and lob-data installed they are cut from a prepared store of the GOOG
    day at level 10; if its books need more than `config.num_slots` slots, the config gets as many.
    """
    samples = os.environ.get("LOBSTER_SAMPLES")
    if samples:
        try:
            import lob_data
        except ImportError:
            samples = None
    if not samples:
        windows = record_windows(config, messages_per_step, NUM_WINDOWS)
        return windows, config, "generated (zero intelligence)"
    with tempfile.TemporaryDirectory() as folder:
        lob_data.prepare(samples, folder, lob_data.PrepareOptions(ticker="GOOG", level=10))
        store = lob_data.open_store(folder)
        length = {"num_steps": config.num_steps, "messages_per_step": messages_per_step}
        try:
            windows = store.windows(**length, config=BookConfig(num_slots=config.num_slots))
        except lob_data.LobDataError:
            windows = store.windows(**length)
    slots = windows.opening.bids.price.shape[-1]
    return windows, dataclasses.replace(config, num_slots=slots), "GOOG 2012-06-21, level 10"

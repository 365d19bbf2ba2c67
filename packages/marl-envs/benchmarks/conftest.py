"""Background flow to benchmark with: recorded GOOG messages where there are any, else generated."""

import dataclasses
import functools
import os
import tempfile

import pytest
from lob_core.runtime import configure_cpu
from lob_core.types import BookConfig
from marl_envs.testing import record_windows

configure_cpu()

NUM_WINDOWS = 16


@functools.cache
def goog_store():
    """The GOOG day at level 10, prepared once a session; None without samples or lob-data."""
    samples = os.environ.get("LOBSTER_SAMPLES")
    if not samples:
        return None
    try:
        import lob_data
    except ImportError:
        return None
    folder = tempfile.TemporaryDirectory()
    lob_data.prepare(samples, folder.name, lob_data.PrepareOptions(ticker="GOOG", level=10))
    return lob_data.open_store(folder.name), folder


@pytest.fixture
def replay():
    """The function `recorded_flow`."""
    return recorded_flow


def recorded_flow(config, messages_per_step):
    """Windows, the config that fits them, and the name of their source.

    With `LOBSTER_SAMPLES` set and lob-data installed they are cut from a prepared store of the GOOG
    day at level 10; if its books need more than `config.num_slots` slots, the config gets as many.
    """
    prepared = goog_store()
    if prepared is None:
        windows = record_windows(config, messages_per_step, NUM_WINDOWS)
        return windows, config, "generated (zero intelligence)"
    from lob_data import LobDataError

    store, _ = prepared
    length = {"num_steps": config.num_steps, "messages_per_step": messages_per_step}
    try:
        windows = store.windows(**length, config=BookConfig(num_slots=config.num_slots))
    except LobDataError:
        windows = store.windows(**length)
    slots = windows.opening.bids.price.shape[-1]
    return windows, dataclasses.replace(config, num_slots=slots), "GOOG 2012-06-21, level 10"

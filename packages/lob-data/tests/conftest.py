"""Settings and data that the tests of this package share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from lob_core.runtime import compile_quickly, configure_cpu
from lob_data.testing import Venue

configure_cpu()
compile_quickly()

BID, ASK = 1, -1


@pytest.fixture(scope="session")
def samples() -> Path:
    """Folder of real LOBSTER samples; tests that use it carry the marker `data`."""
    folder = os.environ.get("LOBSTER_SAMPLES")
    if not folder:
        pytest.skip("LOBSTER_SAMPLES is not set")
    return Path(folder)


@pytest.fixture
def venue() -> Venue:
    """A standing book of five levels a side around 100.00, nothing recorded yet."""
    market = Venue()
    for distance in range(5):
        market.seed(BID, 9_999 - distance, 100 * (distance + 1))
        market.seed(ASK, 10_001 + distance, 100 * (distance + 1))
    return market


@pytest.fixture
def busy_venue(venue: Venue) -> Venue:
    """The same after 400 events of every displayed kind, mostly in view."""
    state = 12345
    own: list[int] = []
    for _ in range(400):
        state = (1103515245 * state + 12345) % 2**31
        draw = state >> 8
        side = BID if draw & 1 else ASK
        best = venue.levels(side)[0][0] if venue.levels(side) else 10_000 - side
        own = [order_id for order_id in own if order_id in venue.orders]
        if draw % 10 < 6 or not own:
            price = best + side * (draw // 16 % 2) - side * (draw // 64 % 8)
            other = venue.levels(-side)
            if other and side * price >= side * other[0][0]:
                price = other[0][0] - side
            own.append(venue.submit(side, price, 1 + draw // 512 % 300))
        elif draw % 10 < 9:
            order_id = own[draw // 16 % len(own)]
            if draw // 32 % 4 == 0 and venue.orders[order_id].size > 1:
                venue.cancel(order_id, 1)
            else:
                venue.delete(order_id)
        else:
            venue.execute(side, 1 + draw // 512 % 250)
    return venue

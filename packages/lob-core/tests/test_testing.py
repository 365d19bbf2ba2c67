import subprocess
import sys

import numpy as np
import pytest
from lob_core import BookConfig, EventType
from lob_core.testing import make_book, random_messages


def test_make_book__numbers_orders_in_the_order_listed():
    book = make_book(
        bids=[(100, [5, 7]), (98, [1])], asks=[(101, [3])], config=BookConfig(num_slots=4)
    )
    assert book.bids.price.tolist() == [100, 100, 98, 0]
    assert book.bids.size.tolist() == [5, 7, 1, 0]
    assert book.bids.order_id.tolist() == [1, 2, 3, 0]
    assert book.bids.agent_id.tolist() == [0, 0, 0, -1]
    assert book.asks.order_id.tolist() == [4, 0, 0, 0]


@pytest.mark.parametrize(
    ("levels", "match"),
    [
        ({"bids": [(99, [1]), (100, [1])]}, "bids must be listed best price first"),
        ({"asks": [(101, [1]), (100, [1])]}, "asks must be listed best price first"),
        ({"asks": [(101, [0])]}, "must be >= 1"),
        ({"bids": [(101, [1])], "asks": [(101, [1])]}, "below the best ask"),
        ({"bids": [(101, [1] * 129)]}, "bids hold 129 orders; num_slots is 128"),
    ],
)
def test_make_book__refuses_impossible_books(levels, match):
    with pytest.raises(ValueError, match=match):
        make_book(**levels)


def test_random_messages__same_seed_same_stream_and_all_types_occur():
    first, second = random_messages(1, 2000, num_agents=2), random_messages(1, 2000, num_agents=2)
    np.testing.assert_array_equal(first.price, second.price)
    assert set(first.event_type.tolist()) == {int(event_type) for event_type in EventType}
    assert set(first.agent_id.tolist()) == {0, 1, 2, 3}


def test_lob_core__does_not_import_hypothesis():
    code = "import sys, lob_core, lob_core.testing; assert 'hypothesis' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)

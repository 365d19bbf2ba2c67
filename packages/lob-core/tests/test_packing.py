import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lob_core.packing import (
    MAX_VALUES,
    NUM_WORDS,
    pack_messages,
    pad_with_noops,
    unpack_is_sync,
    unpack_messages,
)
from lob_core.types import BACKGROUND_AGENT, EventType, Side

NUM_ROWS = 5
VALID = {
    "event_type": [1, 2],
    "side": [1, -1],
    "price": [100, 101],
    "size": [5, 6],
    "order_id": [1, 2],
    "time_s": [34_200, 34_201],
    "time_ns": [0, 999_999_999],
}

unpack_jit = jax.jit(unpack_messages)


def column(limit: int) -> st.SearchStrategy[list[int]]:
    value = st.one_of(st.sampled_from([0, 1, limit]), st.integers(0, limit))
    return st.lists(value, min_size=NUM_ROWS, max_size=NUM_ROWS)


@settings(deadline=None, max_examples=100)
@given(
    columns=st.fixed_dictionaries({name: column(limit) for name, limit in MAX_VALUES.items()}),
    side=st.lists(st.sampled_from([1, -1]), min_size=NUM_ROWS, max_size=NUM_ROWS),
)
def test_pack_messages__round_trip_is_exact_for_every_value_that_fits(columns, side):
    packed = pack_messages(side=side, **columns)
    assert packed.shape == (NUM_ROWS, NUM_WORDS)
    assert packed.dtype == np.int32
    messages = unpack_jit(packed)
    np.testing.assert_array_equal(messages.side, side)
    np.testing.assert_array_equal(messages.agent_id, BACKGROUND_AGENT)
    np.testing.assert_array_equal(unpack_is_sync(packed), np.array(columns["is_sync"]) == 1)
    for name in MAX_VALUES.keys() - {"is_sync"}:
        np.testing.assert_array_equal(getattr(messages, name), columns[name], err_msg=name)


@pytest.mark.parametrize("name", sorted(MAX_VALUES))
@pytest.mark.parametrize("is_low", [True, False])
def test_pack_messages__names_field_row_value_and_limit(name, is_low):
    columns = {key: np.array(value) for key, value in VALID.items()}
    value = -1 if is_low else MAX_VALUES[name] + 1
    columns[name] = np.array([int(np.broadcast_to(columns.get(name, 0), 2)[0]), value])
    with pytest.raises(ValueError, match=rf"{name} is {value} at row 1; .* 0 \.\. "):
        pack_messages(**columns)


def test_pack_messages__rejects_sides_fractions_and_ragged_columns():
    with pytest.raises(ValueError, match="side is 0 at row 0"):
        pack_messages(**{**VALID, "side": [0, 1]})
    with pytest.raises(ValueError, match="price has dtype float64"):
        pack_messages(**{**VALID, "price": [1.5, 2.0]})
    with pytest.raises(ValueError, match="one length"):
        pack_messages(**{**VALID, "size": [1, 2, 3]})
    with pytest.raises(ValueError, match="one-dimensional"):
        pack_messages(**{**VALID, "size": [[1, 2], [3, 4]]})


def test_pad_with_noops__appends_messages_that_do_nothing():
    packed = pad_with_noops(pack_messages(**VALID), 3)
    messages = unpack_messages(packed)
    assert messages.event_type.tolist() == [1, 2, *[int(EventType.NOOP)] * 3]
    assert messages.side.tolist() == [1, -1, *[int(Side.BID)] * 3]
    with pytest.raises(ValueError, match="num_rows is -1"):
        pad_with_noops(packed, -1)


def test_pack_messages__no_messages_give_an_empty_table():
    empty = {name: np.zeros(0, np.int64) for name in VALID}
    assert pack_messages(**empty).shape == (0, NUM_WORDS)

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from lob_core import BookConfig, EventType
from lob_core.packing import pack_messages, pad_with_noops
from lob_core.replay import ReplayWindows, check_windows, opening_book, step_messages
from lob_core.testing import make_book, stack_trees

CONFIG = BookConfig(num_slots=4, max_trades=4)
MAX_PER_STEP = 3
STARTS = [[0, 2, 5], [4, 4, 7]]


def make_windows(**changes: object) -> ReplayWindows:
    packed = pack_messages(
        event_type=np.full(7, EventType.SUBMIT),
        side=np.ones(7, int),
        price=np.full(7, 100),
        size=np.full(7, 5),
        order_id=np.arange(1, 8),
        time_s=np.full(7, 34_200),
        time_ns=np.arange(7),
    )
    books = [make_book(bids=[(price, [1])], config=CONFIG) for price in (90, 91)]
    windows = ReplayWindows(
        packed=jnp.asarray(pad_with_noops(packed, MAX_PER_STEP)),
        step_start=jnp.array(STARTS, jnp.int32),
        opening=stack_trees(books),
        time_s=jnp.array([34_200, 34_201], jnp.int32),
        time_ns=jnp.zeros(2, jnp.int32),
        max_messages_per_step=MAX_PER_STEP,
    )
    return dataclasses.replace(windows, **changes)


@pytest.mark.parametrize("window", [0, 1])
@pytest.mark.parametrize("step", [0, 1])
def test_step_messages__returns_the_slice_padded_with_noops(window, step):
    messages = jax.jit(step_messages)(make_windows(), window, step)
    start, end = STARTS[window][step : step + 2]
    num_noops = MAX_PER_STEP - (end - start)
    assert messages.order_id.tolist() == [*range(start + 1, end + 1), *[0] * num_noops]
    assert messages.event_type.tolist() == [1] * (end - start) + [0] * num_noops


def test_step_messages__vmap_over_windows_agrees_with_single_calls():
    windows = make_windows()
    batched = jax.vmap(lambda w, s: step_messages(windows, w, s))(
        jnp.array([0, 1, 1]), jnp.array([1, 0, 1])
    )
    single = stack_trees([step_messages(windows, w, s) for w, s in [(0, 1), (1, 0), (1, 1)]])
    jax.tree.map(np.testing.assert_array_equal, batched, single)


def test_opening_book__is_that_of_the_window():
    windows = make_windows()
    assert opening_book(windows, 1).bids.price[0] == 91
    assert (windows.num_windows, windows.num_steps) == (2, 2)


def test_max_messages_per_step__is_static():
    leaves, treedef = jax.tree.flatten(make_windows())
    assert jax.tree.unflatten(treedef, leaves).max_messages_per_step == MAX_PER_STEP
    assert all(isinstance(leaf, jax.Array) for leaf in leaves)


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"step_start": jnp.array([[0, 4, 5], [4, 4, 7]])}, "0 .. max_messages_per_step = 3"),
        ({"step_start": jnp.array([[2, 0, 1], [4, 4, 7]])}, "steps hold -2 .. 3"),
        ({"step_start": jnp.array([[0, 2, 5], [5, 6, 8]])}, "must be in 0 .. 7"),
        ({"step_start": jnp.zeros(3, jnp.int32)}, r"step_start has shape \(3,\)"),
        ({"packed": jnp.zeros((9, 3), jnp.int32)}, r"packed has shape \(9, 3\)"),
        ({"time_s": jnp.zeros(3, jnp.int32)}, r"time_s has shape \(3,\)"),
        ({"opening": make_book(config=CONFIG)}, r"opening.bids.price has shape \(4,\)"),
    ],
)
def test_check_windows__names_what_is_wrong(changes, match):
    with pytest.raises(ValueError, match=match):
        check_windows(make_windows(**changes))


def test_check_windows__returns_good_windows():
    windows = make_windows()
    assert check_windows(windows) is windows

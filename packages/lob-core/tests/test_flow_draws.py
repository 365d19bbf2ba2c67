"""What the flow models share: draws, cumulative sums, the choice of cancels, clock, order ids."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from lob_core import BookConfig
from lob_core.flow import composing
from lob_core.flow.base import advance_clock, number_orders
from lob_core.flow.draws import (
    find_in_sums,
    geometric_sizes,
    index_from_uniform,
    poisson_counts,
    running_sum,
    size_from_uniform,
)
from lob_core.testing import make_book
from lob_core.types import FIRST_AGENT_ORDER_ID

SIX_SIGMA = 6.0
"""A normal statistic beyond six standard deviations has a false-alarm rate of 2e-9."""


def uniforms(seed, num=40_000):
    return jax.random.uniform(jax.random.key(seed), (num,))


def assert_shares(counts, shares):
    """Each count is binomial with its share, within six sigma."""
    counts, shares = np.asarray(counts, float), np.asarray(shares, float)
    sigma = np.sqrt(counts.sum() * shares * (1 - shares))
    assert (np.abs(counts - counts.sum() * shares) <= SIX_SIGMA * sigma).all(), (counts, shares)


@pytest.mark.parametrize("length", [1, 31, 33, 200, 300])
def test_running_sum__is_the_cumulative_sum(length):
    values = np.random.default_rng(0).integers(0, 1000, (3, length)).astype(np.float32)
    np.testing.assert_array_equal(running_sum(jnp.asarray(values)), np.cumsum(values, axis=1))


@pytest.mark.parametrize("length", [1, 2, 7, 8, 200])
def test_find_in_sums__is_the_right_hand_bisection(length):
    sums = np.cumsum(np.random.default_rng(1).integers(0, 3, length)).astype(np.float32)
    targets = np.arange(-1, sums[-1] + 2, 0.5, dtype=np.float32)
    found = find_in_sums(jnp.asarray(sums), jnp.asarray(targets))
    np.testing.assert_array_equal(found, np.searchsorted(sums, targets, side="right"))


def test_index_from_uniform__draws_by_weight_and_never_a_weight_of_zero():
    weights = np.array([0.0, 2.0, 0.0, 1.0, 0.0])
    drawn = index_from_uniform(uniforms(1), jnp.asarray(weights, jnp.float32))
    assert_shares(np.bincount(drawn, minlength=5), weights / 3)
    edges = index_from_uniform(jnp.array([0.0, 1 - 2**-24, 1.0]), jnp.asarray(weights))
    assert edges.tolist() == [1, 3, 3]


def test_size_from_uniform__takes_sizes_of_the_table_equally_often():
    sizes = np.asarray(size_from_uniform(uniforms(2), jnp.array([7, 30, 30, 100], jnp.int32)))
    assert_shares([(sizes == size).sum() for size in (7, 30, 100)], [0.25, 0.5, 0.25])
    edges = size_from_uniform(jnp.array([0.0, 1 - 2**-24]), jnp.arange(128, dtype=jnp.int32))
    assert edges.tolist() == [0, 127]


def test_geometric_sizes__have_their_law():
    lots = np.bincount(np.asarray(geometric_sizes(100, 1.5)) // 100, minlength=5)
    law = [2 / 3 * (1 / 3) ** k for k in range(4)]
    np.testing.assert_allclose(lots[1:5] / lots.sum(), law, atol=1 / lots.sum())
    assert geometric_sizes(100, 1.5).dtype == jnp.int32


def test_poisson_counts__have_their_law_and_are_cut():
    mean = jnp.full(40_000, 2.5)
    counts = np.asarray(poisson_counts(jax.random.key(3), mean, 20))
    assert abs(counts.mean() - 2.5) < SIX_SIGMA * np.sqrt(2.5 / counts.size)
    law = np.exp(-2.5) * np.array([1.0, 2.5])
    assert_shares(
        [(counts == 0).sum(), (counts == 1).sum(), (counts > 1).sum()], [*law, 1 - law.sum()]
    )
    assert int(poisson_counts(jax.random.key(3), mean, 2).max()) == 2
    assert int(poisson_counts(jax.random.key(3), jnp.float32(0.0), 2)) == 0


BOOK = make_book(
    bids=[(100, [10, 20]), (98, [30])],
    asks=[(102, [5]), (103, [40])],
    config=BookConfig(num_slots=8, max_trades=0),
)
RATES = jnp.zeros(16).at[jnp.array([0, 1, 2, 8, 9])].set(jnp.array([4.0, 1.0, 1.0, 2.0, 2.0]))


CHOOSE = jax.jit(composing.choose_cancels)


def choose(cancel_draw, is_cancel, sell_size=0):
    """Slots that cancels name, and whether there is one; the last event is a market sale."""
    num = len(is_cancel) + 1
    events = composing.Events(
        wait_s=jnp.zeros(num),
        is_cancel=jnp.array([*is_cancel, False]),
        is_market=jnp.arange(num) == num - 1,
        is_buy=jnp.zeros(num, bool),
        price=jnp.zeros(num, jnp.int32),
        size=jnp.full(num, sell_size),
        cancel_draw=jnp.asarray(cancel_draw, jnp.float32),
    )
    look = composing.Look(BOOK, jnp.int32(100), jnp.int32(102), RATES)
    slots, is_possible = CHOOSE(events, look)
    return slots[:-1].tolist(), is_possible[:-1].tolist()


def test_choose_cancels__replaces_repeats_by_the_spare_draws_in_order():
    draws = [0.1, 0.2, 0.45, 0.99, 0.45, 0.3, 0.65, 0.99]  # slots 0 0 1 (9) | spares 1 0 8 9
    slots, is_possible = choose(draws, [True, True, True])
    assert slots == [0, 1, 8]
    assert is_possible == [True, True, True]


def test_choose_cancels__only_reads_the_draws_of_cancels():
    slots, is_possible = choose([0.1, 0.2, 0.45, 0.99, 0.1, 0.1, 0.1, 0.1], [False, True, True])
    assert slots[1:] == [0, 1]
    assert is_possible[1:] == [True, True]


def test_choose_cancels__leaves_what_market_orders_reach():
    draws = [0.1, 0.45, 0.99, 0.45, 0.55, 0.1, 0.65, 0.1]  # slots 0 1 (9) | spares 1 2 0 8 0
    for sell_size, expected in ((0, [0, 1]), (10, [1, 2]), (11, [2, 8]), (31, [8, None])):
        slots, is_possible = choose(draws, [True, True], sell_size)
        assert [s if ok else None for s, ok in zip(slots, is_possible, strict=True)] == expected


def test_choose_cancels__without_a_usable_draw_names_none():
    _, is_possible = choose([0.1] * 8, [True, True])
    assert is_possible == [True, False]


def test_choose_cancels__of_one_look_are_drawn_without_replacement():
    """The second of two cancels is another order, in proportion to the rates that are left."""
    num_draws = 3 + composing.num_spare_draws(3)
    draws = jax.random.uniform(jax.random.key(4), (40_000, num_draws))
    look = composing.Look(BOOK, jnp.int32(100), jnp.int32(102), RATES)

    @jax.jit
    @jax.vmap
    def pair(cancel_draw):
        events = composing.Events(
            wait_s=jnp.zeros(3),
            is_cancel=jnp.array([True, False, True]),
            is_market=jnp.zeros(3, bool),
            is_buy=jnp.zeros(3, bool),
            price=jnp.zeros(3, jnp.int32),
            size=jnp.zeros(3, jnp.int32),
            cancel_draw=cancel_draw,
        )
        return composing.choose_cancels(events, look)

    slots, is_possible = jax.tree.map(np.asarray, pair(draws))
    is_pair = is_possible[:, 0] & is_possible[:, 2]
    assert is_pair.mean() > 0.99  # a pair fails if all its draws name the same order
    rates = np.asarray(RATES)[[0, 1, 2, 8, 9]]
    first, second = (np.searchsorted([0, 1, 2, 8, 9], slots[is_pair, i]) for i in (0, 2))
    law = rates[:, None] * rates / (rates.sum() - rates[:, None]) / rates.sum()
    np.fill_diagonal(law, 0)
    missing = (rates / rates.sum()) ** (num_draws - 1)  # of pairs that begin with each order
    counts = np.bincount(first * 5 + second, minlength=25)
    assert (counts[law.ravel() == 0] == 0).all()
    sigma = np.sqrt(counts.sum() * law * (1 - law)).ravel()
    slack = counts.sum() * missing.sum()
    assert (np.abs(counts - counts.sum() * law.ravel()) <= SIX_SIGMA * sigma + slack).all()


def test_advance_clock__adds_exactly_across_seconds():
    waits = jnp.array([0.25, 0.75, 3.5, 0.0, 1e9], jnp.float32)
    seconds, nanoseconds = advance_clock(jnp.int32(10), jnp.int32(999_999_999), waits)
    assert seconds.tolist() == [11, 11, 15, 15, 1_015]
    assert nanoseconds.tolist() == [249_999_999, 999_999_999, 499_999_999, *[499_999_999] * 2]


def test_advance_clock__is_exact_for_many_waits():
    waits = np.random.default_rng(5).exponential(0.3, 500).astype(np.float32)
    seconds, nanoseconds = advance_clock(jnp.int32(34_200), jnp.int32(7), jnp.asarray(waits))
    whole = np.floor(waits)
    steps = whole.astype(np.int64) * 10**9 + ((waits - whole) * np.float32(1e9)).astype(np.int64)
    expected = 34_200 * 10**9 + 7 + np.cumsum(steps)
    found = np.asarray(seconds, np.int64) * 10**9 + np.asarray(nanoseconds)
    np.testing.assert_array_equal(found, expected)


def test_advance_clock__refuses_more_waits_than_it_adds_exactly():
    with pytest.raises(ValueError, match="16001 messages of one look; at most 16000"):
        advance_clock(jnp.int32(0), jnp.int32(0), jnp.zeros(16_001))


def test_number_orders__starts_again_below_the_ids_of_agents():
    is_new = jnp.array([True, False, True, True])
    ids, following = number_orders(jnp.int32(FIRST_AGENT_ORDER_ID - 2), is_new)
    last = FIRST_AGENT_ORDER_ID - 1
    assert np.asarray(ids)[np.asarray(is_new)].tolist() == [last - 1, last, 1]
    assert int(following) == 2

"""The queue-reactive model against closed forms; false-alarm rates of six sigma, 2e-9 each."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from lob_core import BookConfig, EventType, Side, process_messages
from lob_core.flow import QueueReactive, simulate
from lob_core.flow.queue_sizes import draw_queues, law_table, stationary_law
from lob_core.testing import make_book
from lob_core.testing.agreement import assert_sound

CONFIG = BookConfig(num_slots=32, max_trades=0)
MODEL = QueueReactive(num_levels=3, num_sizes=6)
SIX_SIGMA = 6.0
PARAMS = MODEL.default_params().replace(
    limit_rate=jnp.arange(1.0, 19.0).reshape(3, 6),
    cancel_rate=jnp.arange(1.0, 19.0).reshape(3, 6) / 6,
    market_rate=jnp.arange(1.0, 19.0).reshape(3, 6) / 3,
    size_floor=jnp.array([0, 1, 2, 4, 6, 9], jnp.int32),
    event_size=jnp.array([10, 20, 40], jnp.int32),
    limit_size=jnp.repeat(jnp.array([10, 30], jnp.int32), 64),
    market_size=jnp.repeat(jnp.array([5, 20, 60, 70], jnp.int32), 32),
    far_cancel_rate=jnp.float32(0.5),
)
# Around 100.5: bids of 2 and 0 and 1 units, one far away; asks of 0, 4 and 11 units.
BOOK = make_book(
    bids=[(100, [10, 5]), (98, [40]), (95, [7])],
    asks=[(102, [20, 20, 20, 1]), (103, [400, 1])],
    config=CONFIG,
)


def make_state(**changes):
    state = MODEL.opening(jax.random.key(0), PARAMS, CONFIG)[1]
    at = {"reference": jnp.int32(100), "mid_half_ticks": jnp.int32(202)}
    return state.replace(**at | changes)


@functools.cache
def many_single_events(num_draws=40_000):
    """One event each from many independent looks at `BOOK`."""
    keys = jax.random.split(jax.random.key(1), num_draws)
    draw = jax.vmap(lambda key: MODEL.sample(key, BOOK, make_state(), PARAMS, 1)[0])
    return jax.tree.map(lambda x: np.asarray(x)[:, 0], jax.jit(draw)(keys))


def rate(table, distance, column):
    return float(getattr(PARAMS, table)[distance - 1, column])


BID_COLUMNS, ASK_COLUMNS = (2, 0, 1), (0, 3, 5)


def expected_rates():
    """Rates of limit buys and sells by distance, of market orders, and of cancels by order id."""
    buys = [rate("limit_rate", i + 1, n) for i, n in enumerate(BID_COLUMNS)]
    sells = [rate("limit_rate", i + 1, n) for i, n in enumerate(ASK_COLUMNS)]
    market = {Side.BID: rate("market_rate", 2, 3), Side.ASK: rate("market_rate", 1, 2)}
    cancels = [rate("cancel_rate", 1, 2)] * 2 + [rate("cancel_rate", 3, 1), 0.5]
    cancels += [rate("cancel_rate", 2, 3)] * 4 + [rate("cancel_rate", 3, 5)] * 2
    return buys, sells, market, cancels


def assert_shares(counts, weights):
    counts, share = np.asarray(counts, float), np.asarray(weights, float) / np.sum(weights)
    sigma = np.sqrt(counts.sum() * share * (1 - share))
    assert (np.abs(counts - counts.sum() * share) <= SIX_SIGMA * sigma).all(), (counts, share)


def test_sample__draws_every_event_at_its_rate():
    messages = many_single_events()
    buys, sells, market, cancels = expected_rates()
    is_limit = messages.event_type == EventType.SUBMIT
    counts = [(is_limit & (messages.price == 100 - i)).sum() for i in range(3)]
    counts += [(is_limit & (messages.price == 101 + i)).sum() for i in range(3)]
    is_market = messages.event_type == EventType.MARKET
    counts += [(is_market & (messages.side == side)).sum() for side in market]
    is_cancel = messages.event_type == EventType.DELETE
    counts += [(is_cancel & (messages.order_id == i + 1)).sum() for i in range(len(cancels))]
    assert sum(counts) == messages.price.size
    assert_shares(counts, [*buys, *sells, *market.values(), *cancels])


def test_sample__draws_sizes_from_its_tables():
    messages = many_single_events()
    for event_type, sizes in ((EventType.SUBMIT, [10, 30]), (EventType.MARKET, [5, 20, 60, 70])):
        drawn = messages.size[messages.event_type == event_type]
        counts = [(drawn == size).sum() for size in sizes]
        assert sum(counts) == drawn.size > 1_000
        assert_shares(counts, np.ones(len(sizes)))


def test_sample__waits_at_the_total_rate():
    messages = many_single_events()
    buys, sells, market, cancels = expected_rates()
    total = sum(buys) + sum(sells) + sum(market.values()) + sum(cancels)
    waits = ((messages.time_s - 34_200) + messages.time_ns * 1e-9) * total
    assert abs(waits.mean() - 1) < SIX_SIGMA / np.sqrt(waits.size)
    assert abs(waits.var() - 1) < SIX_SIGMA * np.sqrt(8 / waits.size)


def test_rates__count_orders_of_agents_but_never_cancel_them():
    agent_id = jnp.where(BOOK.bids.order_id == 1, 3, BOOK.bids.agent_id)
    book = BOOK.replace(bids=BOOK.bids.replace(agent_id=agent_id))
    look = jax.jit(lambda book: MODEL.rates(book, make_state(), PARAMS))
    (rates, cancels), (before, _) = look(book), look(BOOK)
    np.testing.assert_array_equal(rates, before)
    one = [rate("cancel_rate", 1, 2), rate("cancel_rate", 3, 1), 0.5]
    np.testing.assert_allclose(cancels[:4], [0.0, *one])


def test_queue__has_the_stationary_law_of_its_birth_death_chain():
    """With one level the reference cannot move, and both queues are independent chains.

    Chains are read after a fixed number of events, which favors states that are left quickly, so
    each is weighted by one over its total rate. The share of every size is tested.
    """
    model = QueueReactive(num_levels=1, num_sizes=8)
    size = np.arange(8)
    limit, cancel, market = 3.0 - 0.3 * size, np.full(8, 0.5), 1.0 / np.maximum(size, 1)
    market[0] = 0.0
    limit[-1] = 0.0  # the last column is for that size alone
    params = model.default_params().replace(
        limit_rate=jnp.asarray(limit[None], jnp.float32),
        cancel_rate=jnp.asarray(cancel[None], jnp.float32),
        market_rate=jnp.asarray(market[None], jnp.float32),
    )

    def run(key):
        key_open, key_run = jax.random.split(key)
        book, state = model.opening(key_open, params, CONFIG)
        book, state, _, outcome = simulate(model, key_run, book, state, params, 200, CONFIG)
        counts = jnp.stack([(book.bids.size > 0).sum(), (book.asks.size > 0).sum()])
        return counts, state.reference, outcome.reports.code

    num_chains = 2048
    keys = jax.random.split(jax.random.key(3), num_chains)
    counts, reference, codes = jax.tree.map(np.asarray, jax.jit(jax.vmap(run))(keys))
    assert (reference == 10_000).all()
    assert not np.isin(codes, [9, 10, 11, 12]).any()

    deaths = cancel * size + market
    law = np.cumprod(np.r_[1.0, limit[:-1] / deaths[1:]])
    law /= law.sum()
    rates = params.limit_rate, params.cancel_rate, params.market_rate
    np.testing.assert_allclose(stationary_law(*rates, params.size_floor, 8)[0], law, rtol=1e-4)
    weight = 1 / (limit + deaths)[counts].sum(1)
    for units, share in enumerate(law):
        values = (counts == units).mean(1)
        found = (weight * values).sum() / weight.sum()
        sigma = np.sqrt(((weight * (values - found)) ** 2).sum()) / weight.sum()
        assert abs(found - share) < SIX_SIGMA * sigma + 1e-3, (units, found, share, sigma)


def test_opening__has_queues_of_the_stationary_law():
    params = MODEL.default_params()
    draw = jax.jit(jax.vmap(lambda key: MODEL.opening(key, params, CONFIG)))
    books, states = draw(jax.random.split(jax.random.key(4), 4_000))
    assert_sound(jax.tree.map(lambda x: x[0], books))
    law = [np.bincount(row, minlength=6) for row in np.asarray(params.queue_size)]
    for distance in (1, 2):  # the farthest holds an order where the side would be empty
        counts = (np.asarray(books.bids.price) == 10_001 - distance).sum(1)
        assert_shares(np.bincount(counts, minlength=6), law[distance - 1])
    num_orders = (np.asarray(books.bids.size) > 0).sum(1) + (np.asarray(books.asks.size) > 0).sum(1)
    np.testing.assert_array_equal(states.next_order_id, num_orders + 1)
    assert (np.asarray(books.bids.size[:, 0]) > 0).all()


def test_stationary_law__reads_the_rates_of_each_bin():
    limit, cancel = jnp.array([[2.0, 2.0, 1.0]]), jnp.full((1, 3), 0.5)
    law = stationary_law(limit, cancel, 0 * cancel, jnp.array([0, 1, 4], jnp.int32), 40)
    # Orders arrive at 2, from four on at 1, and each leaves at 1/2.
    up = np.where(np.arange(39) < 4, 2.0, 1.0)
    expected = np.cumprod(np.r_[1.0, up / (0.5 * np.arange(1, 40))])
    np.testing.assert_allclose(law[0], expected / expected.sum(), rtol=1e-4, atol=1e-9)


def test_draw_queues__follows_the_law_and_leaves_no_side_empty():
    table = law_table(jnp.array([[0.25, 0.5, 0.25, 0.0], [0.5, 0.0, 0.25, 0.25]]))
    counts = [np.bincount(row, minlength=4).tolist() for row in np.asarray(table)]
    assert counts == [[32, 64, 32, 0], [64, 0, 32, 32]]
    uniform = jnp.array([[0.99, 0.6], [0.1, 0.1]])
    assert draw_queues(uniform, table).tolist() == [[2, 2], [0, 1]]


def test_sample__moves_the_reference_price_with_the_mid():
    """Best quotes 100 and 102 are a mid of 202 half ticks; the reference may be 100 or 101."""
    keys = jax.random.split(jax.random.key(5), 4_000)

    def references(book, state):
        draw = jax.vmap(lambda key: MODEL.sample(key, book, state, PARAMS, 1)[1])
        return np.asarray(jax.jit(draw)(keys).reference)

    probability = float(PARAMS.move_probability)
    sigma = np.sqrt(probability * (1 - probability) / keys.size)
    up = references(BOOK, make_state(mid_half_ticks=jnp.int32(201)))
    assert abs((up == 101).mean() - probability) < SIX_SIGMA * sigma
    assert set(up) == {100, 101}
    assert set(references(BOOK, make_state())) == {100}  # the mid has not moved
    down = make_state(mid_half_ticks=jnp.int32(203))
    assert set(references(BOOK, down)) == {100}  # not below the best bid
    far = make_state(reference=jnp.int32(120))
    assert set(references(BOOK, far)) == {101}  # always between the best quotes
    gaps = make_book(bids=[(90, [10])], asks=[(110, [10])], config=CONFIG)
    jump = make_state(mid_half_ticks=jnp.int32(195), reference=jnp.int32(96))
    assert set(references(gaps, jump)) == {96, 99}  # as far as the mid, rounded up


@pytest.mark.parametrize("num_messages", [1, 10])
def test_sample__draws_the_book_anew_when_the_reference_price_has_moved(num_messages):
    """Queues end with the sizes drawn, in no time, whatever they held; agents' orders stay."""
    params = MODEL.default_params().replace(
        queue_size=jnp.tile(jnp.repeat(jnp.array([2, 3, 4, 4], jnp.int32), 32), (3, 1)),
        move_probability=jnp.float32(1),
    )
    model = dataclasses.replace(MODEL, redraw_probability=1.0)
    book = make_book(
        bids=[(100, [100] * 6), (98, [100, 60]), (95, [7])],
        asks=[(102, [100] * 2), (103, [100] * 5)],
        config=CONFIG,
    )
    agent_id = jnp.where(book.bids.order_id == 6, 3, book.bids.agent_id)
    book = book.replace(bids=book.bids.replace(agent_id=agent_id))
    state = make_state(mid_half_ticks=jnp.int32(201))

    @jax.jit
    def look(key, book, state):
        messages, state = model.sample(key, book, state, params, num_messages)
        book, outcome = process_messages(book, messages, config=CONFIG)
        return book, state, outcome.reports.code

    keys = iter(jax.random.split(jax.random.key(8), 40))
    book, state, _ = look(next(keys), book, state)
    assert state.is_redrawing
    assert int(state.reference) == 101
    drawn = np.asarray(state.drawn)
    for key in keys:
        before = book, state
        book, state, code = look(key, book, state)
        assert not np.isin(code, [9, 10, 11, 12]).any()
        if not state.is_redrawing:
            break
        assert (state.time_s, state.time_ns, state.reference) == (34_200, 0, 101)
        np.testing.assert_array_equal(state.drawn, drawn)
    assert not state.is_redrawing
    book, state = before
    for side, orders in enumerate((book.bids, book.asks)):
        away = 101 - orders.price if side == 0 else orders.price - 102
        held = [int(orders.size[away == k].sum()) for k in range(3)]
        wanted = 100 * drawn[side]
        if side == 0:  # the agent's order stood sixth in the queue at 100
            wanted[1] += 100
            assert (orders.agent_id == 3).sum() == 1
        assert held == wanted.tolist()
    assert (book.bids.price == 95).sum() == 1


@pytest.mark.parametrize(("refresh_every", "redraw_probability"), [(1, 0.0), (10, 0.0), (10, 0.9)])
def test_simulate__stays_liquid_and_every_message_is_understood(refresh_every, redraw_probability):
    model = QueueReactive(refresh_every=refresh_every, redraw_probability=redraw_probability)
    config = BookConfig(num_slots=96, max_trades=0)

    def run(key):
        key_open, key_run = jax.random.split(key)
        params = model.default_params()
        book, state = model.opening(key_open, params, config)
        return simulate(model, key_run, book, state, params, 2_000, config)

    book, state, _, outcome = jax.jit(jax.vmap(run))(jax.random.split(jax.random.key(6), 8))
    bid, ask = np.asarray(outcome.reports.best_bid), np.asarray(outcome.reports.best_ask)
    spread = (ask - bid)[(bid > 0) & (ask > 0)]
    assert spread.size > 0.999 * bid.size
    assert (spread >= 1).all()
    assert (spread <= 3).mean() > 0.95
    assert np.unique(bid).size > 3  # the price moves
    assert not any(int(value.sum()) for value in dataclasses.astuple(book.counters))
    assert (np.asarray(state.time_s) > 34_200 + 10).all()


def test_model__is_hashable_and_checks_its_fields():
    assert hash(QueueReactive()) == hash(QueueReactive())
    with pytest.raises(ValueError, match="num_sizes is 1; it must be an int >= 2"):
        QueueReactive(num_sizes=1)
    with pytest.raises(ValueError, match=r"redraw_probability is 1.5; it must be in \[0, 1\]"):
        QueueReactive(redraw_probability=1.5)

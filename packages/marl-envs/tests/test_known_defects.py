"""Defects known from other simulators, each with the claim that it is not here: the market."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from lob_core import EventType, Side, make_messages, process_messages
from lob_core.packing import pack_messages, pad_with_noops
from lob_core.replay import ReplayWindows
from marl_envs import AgentSpec, EnvConfig, MarketEnv
from marl_envs.netting import net_orders, no_orders
from marl_envs.testing import ScriptedFlow, make_book
from marl_envs.types import Wanted

SUBMIT, MARKET = int(EventType.SUBMIT), int(EventType.MARKET)
BUY, SELL = int(Side.BID), int(Side.ASK)


def test_cancel_and_new_order_on_two_sides__do_not_annihilate_each_other():
    """Ten shares bid at 99, ten wanted offered at 99: one delete and one new order are sent."""
    resting = no_orders(1).replace(
        side=jnp.array([BUY]),
        price=jnp.array([99]),
        size=jnp.array([[10, 0]]),
        order_id=jnp.array([[7, 0]]),
    )
    wanted = Wanted(
        side=jnp.array([SELL]),
        price=jnp.array([99]),
        size=jnp.array([10]),
        is_immediate=jnp.array([False]),
    )
    requests, _ = net_orders(wanted, resting, jnp.int32(9), 1)
    sent = [int(kind) for kind in requests.event_type if kind]
    assert sent == [EventType.DELETE, EventType.SUBMIT]
    kept = requests.event_type > 0
    assert requests.side[kept].tolist() == [BUY, SELL]
    assert requests.size[kept].tolist() == [10, 10]


@pytest.fixture(scope="module")
def steps():
    """Infos of three steps: a sweep of twelve one-share orders, a race at one time, one share."""
    env = MarketEnv(
        EnvConfig(
            agents=(
                AgentSpec("directional", settings={"fixed_quant_value": 12}),
                AgentSpec("market_maker", action="simple"),
            ),
            num_steps=3,
            messages_per_step=2,
            num_slots=16,
        )
    )
    flow = ScriptedFlow(
        asks=(*[(101, 1)] * 12, (105, 100)),
        script=(
            (),
            ((SUBMIT, BUY, 99, 50), (MARKET, SELL, 0, 105)),
            ((MARKET, SELL, 0, 1),),
        ),
    )
    params = env.make_params(flow, num_openings=1)
    _, state = jax.jit(env.reset)(jax.random.key(0), params)
    step, infos = jax.jit(env.step_env), []
    for directional, maker in ((1, 3), (0, 0), (0, 0)):
        action = {"directional": jnp.array([directional]), "market_maker": jnp.array([maker])}
        _, state, _, _, _, info = step(jax.random.key(1), state, action, params)
        infos.append(info)
    return env, infos


def test_fills__are_complete_without_any_buffer_of_trades(steps):
    env, infos = steps
    assert env.config.book.max_trades == 0
    seen = infos[0]["agents"]["directional"]
    assert seen["bought"].tolist() == [12]
    assert seen["cash"].tolist() == [-12 * (101 - 100)]
    assert int(infos[0]["market"]["volume"]) == 12


def test_equal_timestamps__a_later_order_does_not_jump_the_queue(steps):
    """The maker joins 100 at 99, then 50 more come at the same time, then 105 are sold."""
    _, infos = steps
    assert infos[1]["agents"]["market_maker"]["bought"].tolist() == [5]


def test_one_share_trade__is_a_trade(steps):
    _, infos = steps
    assert int(infos[2]["market"]["volume"]) == 1
    assert infos[2]["agents"]["market_maker"]["bought"].tolist() == [1]


def test_long_position__is_closed_at_the_bid_and_never_at_the_ask(steps):
    """Bought 12 at 101; the best bid of the others is 99."""
    _, infos = steps
    assert bool(infos[2]["episode"]["done"])
    assert infos[2]["episode"]["directional"]["pnl"].tolist() == [12 * (99 - 101)]


def test_full_side__loses_the_order_of_lowest_priority_and_no_level():
    config = EnvConfig(num_slots=4).book
    book = make_book(bids=[(99, 5), (98, 5), (97, 5), (96, 5)], num_slots=4)
    messages = make_messages(
        event_type=[SUBMIT, SUBMIT], side=BUY, price=[95, 98], size=[7, 7], order_id=[50, 51]
    )
    book, _ = process_messages(book, messages, config=config)
    assert book.bids.price.tolist() == [99, 98, 98, 97]
    assert book.bids.size.tolist() == [5, 5, 7, 5]
    assert (int(book.counters.dropped_orders), int(book.counters.dropped_size)) == (2, 12)


def test_clock_time_windows__start_and_advance_by_the_clock():
    """Windows at 10:00:00 and 10:00:20, steps of ten seconds; message k is sent at 10:00:00 + 4k.

    The first step of the second window holds messages 5, 6 and 7, and the agents of its second
    step act at 10:00:30, though the last message came at :28.
    """
    seconds = 36_000 + 4 * np.arange(10)
    packed = pack_messages(
        event_type=[SUBMIT] * 10, side=[BUY] * 10, price=10 + np.arange(10), size=[1] * 10,
        order_id=1 + np.arange(10), time_s=seconds, time_ns=[0] * 10,
    )  # fmt: skip
    windows = ReplayWindows(
        packed=jnp.asarray(pad_with_noops(packed, 3)),
        step_start=jnp.asarray([[0, 3, 5], [5, 8, 10]]),
        opening=jax.tree.map(
            lambda leaf: jnp.stack([leaf, leaf]), make_book(bids=[(99, 1)], asks=[(101, 1)])
        ),
        time_s=jnp.asarray([36_000, 36_020]),
        time_ns=jnp.asarray([0, 0]),
        max_messages_per_step=3,
    )
    env = MarketEnv(
        EnvConfig(
            agents=(AgentSpec("market_maker", action="do_nothing"),), num_steps=2, num_slots=16
        )
    )
    params = env.make_params(windows, step_seconds=10)
    reset, step = jax.jit(env.reset), jax.jit(env.step_env)
    seen = set()
    for seed in range(8):
        _, state = reset(jax.random.key(seed), params)
        window = int(state.background.window)
        times, orders = [int(state.market.time_s)], []
        for _ in range(2):
            action = {"market_maker": jnp.zeros(1, int)}
            _, state, _, _, _, info = step(jax.random.key(0), state, action, params)
            times.append(int(info["market"]["time_s"]))
            orders.append(sorted(p for p in state.book.bids.price.tolist() if 0 < p < 99))
        start = 36_000 + 20 * window
        assert times == [start, start + 10, start + 20]
        first = 5 * window
        assert orders[0] == [10 + first + k for k in range(3)]
        assert orders[1] == [10 + first + k for k in range(5)]
        seen.add(window)
    assert seen == {0, 1}

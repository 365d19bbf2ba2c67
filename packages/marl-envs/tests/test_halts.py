"""Nothing trades while trading is halted."""

import dataclasses

import jax
import jax.numpy as jnp
from lob_core import BookConfig, EventType, Side, make_messages, process_messages
from lob_core.packing import pack_messages, pad_with_noops
from lob_core.replay import ReplayWindows
from lob_core.types import TimeInForce
from marl_envs import AgentSpec, EnvConfig, MarketEnv
from marl_envs.halts import suspend
from marl_envs.testing import make_book

E, T = EventType, TimeInForce


def test_suspend__orders_rest_or_are_refused_until_trading_resumes():
    book = make_book(bids=[(99, 10)], asks=[(101, 10)])
    messages = make_messages(
        event_type=[E.HALT, E.SUBMIT, E.SUBMIT, E.MARKET, E.EXECUTE_VISIBLE, E.SUBMIT, E.DELETE,
                    E.HALT, E.SUBMIT],
        side=[1, 1, 1, 1, -1, -1, -1, 1, 1],
        price=[0, 100, 101, 0, 101, 99, 101, 0, 102],
        size=[1, 1, 2, 3, 4, 5, 10, 0, 6],
        order_id=[0, 11, 12, 13, 2, 14, 2, 0, 15],
        time_in_force=[0, 0, 0, 0, 0, T.IOC, 0, 0, 0],
    )  # fmt: skip
    played, is_halted = suspend(messages, jnp.asarray(False))
    config = BookConfig(num_slots=16, max_trades=8)
    book, outcome = process_messages(book, played, config=config)
    assert int(outcome.trades.count) == 0
    assert not bool(is_halted)
    assert book.bids.price[:4].tolist() == [102, 100, 99, 0]
    assert int(book.asks.size.sum()) == 0
    _, is_halted = suspend(messages, jnp.asarray(True))
    assert not bool(is_halted)
    _, is_halted = suspend(jax.tree.map(lambda leaf: leaf[:3], messages), jnp.asarray(False))
    assert bool(is_halted)


def halted_windows(is_halted):
    """Three steps: halt (or a far bid); an aggressive bid at 101; trading resumes, another bid."""
    first = (E.HALT, Side.BID, 0, 1, 0) if is_halted else (E.SUBMIT, Side.BID, 10, 1, 90)
    rows = [
        first,
        (E.SUBMIT, Side.BID, 101, 5, 91),
        (E.HALT, Side.BID, 0, 0, 0),
        (E.SUBMIT, Side.BID, 101, 5, 92),
    ]
    names = ("event_type", "side", "price", "size", "order_id")
    columns = dict(zip(names, map(list, zip(*rows, strict=True)), strict=True))
    packed = pack_messages(**columns, time_s=[1, 2, 3, 4], time_ns=[0] * 4)
    opening = make_book(bids=[(99, 10)], asks=[(103, 10)], num_slots=8)
    return ReplayWindows(
        packed=jnp.asarray(pad_with_noops(packed, 2)),
        step_start=jnp.asarray([[0, 1, 2, 4]]),
        opening=jax.tree.map(lambda leaf: leaf[None], opening),
        time_s=jnp.asarray([0]),
        time_ns=jnp.asarray([0]),
        max_messages_per_step=2,
    )


def test_market__agents_neither_take_nor_are_hit_in_a_halt():
    """The maker's ask inside the spread is there when a recorded bid would hit it."""
    config = EnvConfig(
        agents=(
            AgentSpec("market_maker", action="fixed_quants_paper"),
            AgentSpec("directional", settings={"fixed_quant_value": 3}),
        ),
        num_steps=3,
        num_slots=8,
    )
    env = MarketEnv(config)
    step = jax.jit(env.step_env)
    traded = {}
    for is_halted in (False, True):
        params = env.make_params(halted_windows(is_halted))
        assert params.background.has_halts
        _, state = env.reset(jax.random.key(0), params)
        volume, halted = [], []
        for action in ((3, 0), (3, 1), (0, 0)):
            actions = {
                "market_maker": jnp.asarray([action[0]]), "directional": jnp.asarray([action[1]])
            }  # fmt: skip
            _, state, _, _, _, info = step(jax.random.key(1), state, actions, params)
            volume.append(int(info["market"]["volume"]))
            halted.append(bool(info["market"]["is_halted"]))
        traded[is_halted] = volume
        assert halted == [is_halted, is_halted, False]
    assert traded[False][1] > 0
    assert traded[True][:2] == [0, 0]


def test_market__without_recorded_halts_the_rule_costs_nothing():
    windows = halted_windows(True)
    kinds = [E.SUBMIT, E.SUBMIT]
    packed = pack_messages(
        event_type=kinds, side=[1, 1], price=[5, 6], size=[1, 1], order_id=[1, 2],
        time_s=[1, 2], time_ns=[0, 0],
    )  # fmt: skip
    quiet = dataclasses.replace(
        windows,
        packed=jnp.asarray(pad_with_noops(packed, 2)),
        step_start=jnp.asarray([[0, 1, 2, 2]]),
    )
    env = MarketEnv(EnvConfig(num_steps=3, num_slots=8))
    assert not env.make_params(quiet).background.has_halts

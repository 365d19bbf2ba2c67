"""A replayed book with agents in it differs from the recorded one only where they acted."""

import jax
import jax.numpy as jnp
import numpy as np
from lob_core import EventType, Side
from lob_core.packing import pack_messages, pad_with_noops
from lob_core.replay import ReplayWindows
from marl_envs import AgentSpec, EnvConfig, MarketEnv
from marl_envs.testing import make_book

SUBMIT, CANCEL, EXECUTE = EventType.SUBMIT, EventType.CANCEL, EventType.EXECUTE_VISIBLE
BUY, SELL = int(Side.BID), int(Side.ASK)
ROWS = [  # one message a step: type, side, price, size, id
    (SUBMIT, BUY, 99, 30, 91),
    (SUBMIT, SELL, 102, 40, 92),
    (CANCEL, BUY, 99, 10, 91),
    (EXECUTE, BUY, 99, 20, 1),
    (SUBMIT, SELL, 101, 5, 93),
]


def windows():
    kind, side, price, size, ids = zip(*ROWS, strict=True)
    count = len(ROWS)
    packed = pack_messages(
        event_type=kind, side=side, price=price, size=size, order_id=ids,
        time_s=range(1, count + 1), time_ns=[0] * count,
    )  # fmt: skip
    opening = make_book(bids=[(99, 100), (98, 100)], asks=[(101, 10), (102, 100)], num_slots=16)
    return ReplayWindows(
        packed=jnp.asarray(pad_with_noops(packed, 1)),
        step_start=jnp.arange(count + 1)[None],
        opening=jax.tree.map(lambda leaf: leaf[None], opening),
        time_s=jnp.asarray([0]),
        time_ns=jnp.asarray([0]),
        max_messages_per_step=1,
    )


def levels(book):
    """Shares of the background by (side, price)."""
    depth = {}
    for sign, side in ((BUY, book.bids), (SELL, book.asks)):
        for price, size, owner in zip(
            np.asarray(side.price), np.asarray(side.size), np.asarray(side.agent_id), strict=True
        ):
            if size > 0 and owner == 0:
                depth[sign, int(price)] = depth.get((sign, int(price)), 0) + int(size)
    return depth


def test_impact__the_book_differs_from_the_recorded_one_only_where_agents_acted():
    env = MarketEnv(
        EnvConfig(
            agents=(
                AgentSpec("market_maker"),
                AgentSpec("directional", settings={"fixed_quant_value": 4}),
            ),
            num_steps=len(ROWS),
            num_slots=16,
        )
    )
    params = env.make_params(windows())
    reset, step = jax.jit(env.reset), jax.jit(env.step_env)

    def play(actions):
        _, state = reset(jax.random.key(0), params)
        books = []
        for maker, taker in actions:
            action = {"market_maker": jnp.array([maker]), "directional": jnp.array([taker])}
            _, state, _, _, _, info = step(jax.random.key(0), state, action, params)
            books.append(levels(state.book))
        return books, info

    quiet = [(4, 0)] * len(ROWS)  # the maker rests where nothing recorded reaches it
    recorded, info = play(quiet)
    assert int(info["counters"]["unknown_ids"]) == 0
    assert recorded[-1] == {(1, 99): 100, (1, 98): 100, (-1, 101): 15, (-1, 102): 140}

    acted, info = play([quiet[0], (4, 1), *quiet[2:]])  # 4 shares bought at 101 in step 1
    assert acted[0] == recorded[0]
    for before, after in zip(recorded[1:], acted[1:], strict=True):
        differing = {key for key in {*before, *after} if before.get(key) != after.get(key)}
        assert differing == {(-1, 101)}
        assert after[-1, 101] == before[-1, 101] - 4
    assert int(info["counters"]["unknown_ids"]) == 0

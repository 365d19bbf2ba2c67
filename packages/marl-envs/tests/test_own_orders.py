"""Reading agents' orders from the book: both ways agree with the plain definition."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from lob_core import Side
from lob_core.types import Orders
from marl_envs import own_orders
from marl_envs.testing import make_book
from marl_envs.types import OwnOrders

NUM_SLOTS, NUM_AGENTS, FIRST = 12, 5, 3


def random_side(rng, side, num_live):
    """Sorted orders of the background (0), of agents 1 to 9, and free slots."""
    price = np.sort(rng.integers(1, 4, num_live) + 50)[:: -side if side == Side.BID else 1]
    empty = NUM_SLOTS - num_live
    return Orders(
        price=jnp.asarray(np.r_[price, np.zeros(empty, int)], jnp.int32),
        size=jnp.asarray(np.r_[rng.integers(1, 9, num_live), np.zeros(empty, int)], jnp.int32),
        order_id=jnp.asarray(np.r_[100 + rng.permutation(num_live), np.zeros(empty)], jnp.int32),
        agent_id=jnp.asarray(np.r_[rng.integers(0, 10, num_live), -np.ones(empty)], jnp.int32),
    )


def expected(side, agent, sign):
    """(best of others, own best, shares ahead of it) by walking through the side."""
    rows = list(zip(*(np.asarray(leaf).tolist() for leaf in jax.tree.leaves(side)), strict=True))
    live = [row for row in rows if row[1] > 0]
    others = [price for price, _, _, owner in live if owner != agent]
    own = [(place, row[0]) for place, row in enumerate(live) if row[3] == agent]
    if not own:
        return (others or [0])[0], 0, 0
    place, quote = own[0]
    return (others or [0])[0], quote, sum(r[1] for r in live[:place] if r[0] == quote)


@pytest.mark.parametrize("many", [1, 100], ids=["slot by slot", "agent by agent"])
def test_views__agree_with_a_walk_through_the_book(many, monkeypatch):
    monkeypatch.setattr(own_orders, "MANY_AGENTS", many)
    rng = np.random.default_rng(0)
    agents = jnp.arange(FIRST, FIRST + NUM_AGENTS)
    for trial in range(20):
        bids = random_side(rng, Side.BID, int(rng.integers(0, NUM_SLOTS + 1)))
        asks = random_side(rng, Side.ASK, int(rng.integers(0, NUM_SLOTS + 1)))
        asks = asks.replace(order_id=jnp.where(asks.order_id > 0, asks.order_id + 100, 0))
        book = make_book(num_slots=NUM_SLOTS).replace(bids=bids, asks=asks)
        ids = np.zeros((NUM_AGENTS, 16, 2), np.int32)
        sizes = np.zeros_like(ids)
        for index, agent in enumerate(np.asarray(agents)):
            own = [
                (int(i), int(s))
                for side in (bids, asks)
                for i, s, a in zip(side.order_id, side.size, side.agent_id, strict=True)
                if a == agent
            ]
            for row, (order_id, size) in enumerate(own[:16]):
                ids[index, row, trial % 2], sizes[index, row, trial % 2] = order_id, size
        table = OwnOrders(
            side=jnp.zeros((NUM_AGENTS, 16), jnp.int32),
            price=jnp.zeros((NUM_AGENTS, 16), jnp.int32),
            size=jnp.zeros(ids.shape, jnp.int32),
            order_id=jnp.asarray(ids),
        )
        assert np.array_equal(own_orders.read_sizes(table, agents, book).size, sizes)
        for side, sign in ((bids, Side.BID), (asks, Side.ASK)):
            want = np.array([expected(side, int(agent), sign) for agent in agents])
            assert np.array_equal(own_orders.best_of_others(side, agents), want[:, 0])
            quote = jnp.asarray(want[:, 1])
            assert np.array_equal(own_orders.queue_ahead(side, quote, agents), want[:, 2])

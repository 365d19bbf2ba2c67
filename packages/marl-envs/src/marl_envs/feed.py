"""Market data that comes late: recent states of the market, one a step.

An agent with feed latency L decides and observes from the newest state whose time is at least L
ago. The resolution is therefore the step: within a step nothing is recorded. What it sees late are
the book, all public facts and the best quotes of the others; its own account, its own orders and
the clock are known without delay.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from flax import struct
from lob_core.types import BookState, Orders

from marl_envs import own_orders
from marl_envs.clock import add_time, is_after
from marl_envs.terms import Terms
from marl_envs.types import AgentState, MarketState, Replaceable

Array = jax.Array


@struct.dataclass
class Feed(Replaceable):
    """The last `F` states of a market; step s is in row `s % F`.

    Attributes:
        market: public facts, leaves `[F]`.
        bids: buy orders, leaves `[F, N]`.
        asks: sell orders, leaves `[F, N]`.
    """

    market: MarketState
    bids: Orders
    asks: Orders


def open_feed(market: MarketState, book: BookState, depth: int) -> Feed:
    """A feed of `depth` rows, all as at the open."""
    rows: tuple[Any, ...] = jax.tree.map(
        lambda leaf: jnp.broadcast_to(leaf, (depth, *leaf.shape)), (market, book.bids, book.asks)
    )
    return Feed(*rows)


def record(feed: Feed, market: MarketState, book: BookState) -> Feed:
    """The feed with the state after a step in place of its oldest row."""
    row = market.step % feed.market.step.shape[0]
    updated: Feed = jax.tree.map(
        lambda old, new: old.at[row].set(new), feed, Feed(market, book.bids, book.asks)
    )
    return updated


def delayed(
    feed: Feed, agents: AgentState, market: MarketState, book: BookState, terms: Terms
) -> tuple[AgentState, MarketState, BookState, Array]:
    """What the agents of a type see.

    Args:
        feed: recent states, the current one among them.
        agents: leaves led by `[A]`.
        market: public facts now, leaves `[]`.
        book: the book now, leaves `[N]`.
        terms: of the agents.

    Returns:
        The agents with the best quotes of others and the queues that they see; facts, leaves
        `[A]`, and books, leaves `[A, N]`, that they see; and how many of them should see an older
        state than is kept, `[]` int32.
    """
    number, depth = agents.agent_id.shape[0], feed.market.step.shape[0]
    seconds, nanoseconds = terms.delay("latency_feed_ns", number)
    recorded = (feed.market.time_s, feed.market.time_ns)
    visible_at = add_time(recorded, seconds[:, None], nanoseconds[:, None])
    is_visible = ~is_after(visible_at, (market.time_s, market.time_ns))
    step = jnp.where(is_visible, feed.market.step, -1)
    newest = jnp.max(step, axis=1)
    oldest = jnp.min(feed.market.step)
    row = jnp.where(newest < 0, oldest, newest) % depth
    is_too_short = (newest < 0) & (oldest > 0)

    seen, bids, asks = jax.tree.map(lambda leaf: leaf[row], (feed.market, feed.bids, feed.asks))
    seen = seen.replace(
        **{
            name: jnp.broadcast_to(getattr(market, name), (number,))
            for name in ("step", "steps_left", "time_s", "time_ns")
        }
    )
    books = book.replace(bids=bids, asks=asks)
    return _own_view(agents, seen, books), seen, books, jnp.sum(is_too_short, dtype=jnp.int32)


def _own_view(agents: AgentState, seen: MarketState, books: BookState) -> AgentState:
    """The agents with the quotes of others, and the queues before their own, in those books."""

    def look(agent_id: Array, bid_quote: Array, ask_quote: Array, book: BookState) -> Any:
        ids = agent_id[None]
        return (
            own_orders.best_of_others(book.bids, ids)[0],
            own_orders.best_of_others(book.asks, ids)[0],
            own_orders.queue_ahead(book.bids, bid_quote[None], ids)[0],
            own_orders.queue_ahead(book.asks, ask_quote[None], ids)[0],
        )

    axes = (0, 0, 0, jax.tree.map(lambda leaf: 0 if leaf.ndim else None, books))
    bid, ask, bid_queue, ask_queue = jax.vmap(look, axes)(
        agents.agent_id, agents.bid_quote, agents.ask_quote, books
    )
    return agents.replace(
        best_bid=jnp.where(bid > 0, bid, seen.best_bid),
        best_ask=jnp.where(ask > 0, ask, seen.best_ask),
        bid_queue=bid_queue,
        ask_queue=ask_queue,
    )

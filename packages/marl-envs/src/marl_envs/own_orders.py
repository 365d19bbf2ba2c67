"""Agents' resting orders, read from the sorted sides of the book.

A type of few agents compares every agent with every slot, which vectorizes; a type of many would
pay for that product, so there each slot is added to the agent that owns it.
"""

from __future__ import annotations

from typing import Final

import jax
import jax.numpy as jnp
from lob_core.types import BookState, Orders

from marl_envs.types import OwnOrders

Array = jax.Array

MANY_AGENTS: Final = 32
"""Agents of a type from which slots look for their agent, rather than agents for their slots."""


def read_sizes(table: OwnOrders, agent_id: Array, book: BookState) -> OwnOrders:
    """Tables with the sizes that their orders have in the book.

    Args:
        table: leaves `[A, K, ...]`; every order of these agents in the book is in their tables.
        agent_id: `[A]` int32, consecutive.
        book: leaves `[N]`.
    """
    if agent_id.shape[0] < MANY_AGENTS:
        ids = table.order_id[..., None]
        found = sum(
            jnp.sum(jnp.where(side.order_id == ids, side.size, 0), axis=-1)
            for side in (book.bids, book.asks)
        )
        return table.replace(size=jnp.where(table.order_id > 0, found, 0))
    found = jnp.zeros_like(table.order_id)
    for side in (book.bids, book.asks):
        row = _row(side, agent_id)
        own = table.order_id.at[row].get(mode="fill", fill_value=0)
        is_same = own == side.order_id[:, None, None]
        found = found.at[row].add(jnp.where(is_same, side.size[:, None, None], 0), mode="drop")
    return table.replace(size=found)


def resting(book: BookState, agent_id: Array) -> Array:
    """Shares that each agent has resting on the bid and on the ask side, `[A, 2]` int32.

    Args:
        book: leaves `[N]`.
        agent_id: `[A]` int32, consecutive.
    """
    sums = []
    for side in (book.bids, book.asks):
        if agent_id.shape[0] < MANY_AGENTS:
            is_own = side.agent_id == agent_id[:, None]
            sums.append(jnp.sum(jnp.where(is_own, side.size, 0), axis=-1))
        else:
            none = jnp.zeros(agent_id.shape, jnp.int32)
            sums.append(none.at[_row(side, agent_id)].add(side.size, mode="drop"))
    return jnp.stack(sums, axis=1)


def best_of_others(side: Orders, agent_id: Array) -> Array:
    """Best price of everyone but the agent, for each agent, `[A]` int32; 0 if there is none.

    For the owner of the first order that is the price of the first order of anyone else; for all
    others it is the best price.

    Args:
        side: leaves `[N]`.
        agent_id: `[A]` int32, each >= 1.
    """
    owner, num_slots = side.agent_id[0], side.size.shape[0]
    is_next = (side.size > 0) & (side.agent_id != owner)
    slot = jnp.arange(num_slots)
    place = jnp.min(jnp.where(is_next, slot, num_slots))  # plain sums vectorize, argmax does not
    next_price = jnp.sum(jnp.where(slot == place, side.price, 0))
    return jnp.where(agent_id == owner, next_price, side.price[0])


def queue_ahead(side: Orders, quote: Array, agent_id: Array) -> Array:
    """Shares at each agent's quote that stand before its first order, `[A]` int32.

    Args:
        side: leaves `[N]`.
        quote: `[A]` int32, ticks: its best resting price on this side, 0 if none.
        agent_id: `[A]` int32, consecutive.
    """
    num_slots = side.size.shape[0]
    slot = jnp.arange(num_slots)
    if agent_id.shape[0] < MANY_AGENTS:
        is_own = side.agent_id == agent_id[:, None]
        place = jnp.min(jnp.where(is_own, slot, num_slots), axis=-1)[:, None]
        is_ahead = (side.price == quote[:, None]) & (slot < place) & (quote > 0)[:, None]
        return jnp.sum(jnp.where(is_ahead, side.size, 0), axis=-1)
    before = jnp.cumsum(side.size) - side.size
    starts_level = jnp.concatenate([jnp.ones(1, bool), side.price[1:] != side.price[:-1]])
    at_level = before - jax.lax.cummax(jnp.where(starts_level, before, 0))
    place = jnp.full(agent_id.shape, num_slots).at[_row(side, agent_id)].min(slot, mode="drop")
    ahead = at_level.at[place].get(mode="fill", fill_value=0)
    return jnp.where(quote > 0, ahead, 0)


def _row(side: Orders, agent_id: Array) -> Array:
    """Position in `agent_id` of the owner of each slot, `[N]`; out of range if it is not there."""
    row = side.agent_id - agent_id[0]
    return jnp.where((row >= 0) & (row < agent_id.shape[0]), row, agent_id.shape[0])

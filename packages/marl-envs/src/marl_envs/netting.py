"""From wanted orders to messages, so that an order still wanted keeps its place in the queue.

Wanted orders are compared with the agent's resting ones per side and price. What is still wanted
stays untouched; where less is wanted the youngest shares are cancelled; where more is wanted the
difference is sent as a new order behind; everything else is deleted. An order shrinks by a CANCEL
of the surplus, not by a MODIFY to the new size: both keep priority, but a MODIFY would add shares
if another agent, acting earlier in the same step, had already filled part of the order.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from flax import struct
from lob_core.types import EventType, TimeInForce

from marl_envs.types import INT32_MAX, SLOTS_PER_ORDER, OwnOrders, Replaceable, Wanted

Array = jax.Array
_NO_ID = INT32_MAX


@struct.dataclass
class Requests(Replaceable):
    """Messages of one agent in the order they are to be processed, unused rows are NOOP.

    Attributes:
        event_type: `[R]` int32, an `EventType`.
        side: `[R]` int32.
        price: `[R]` int32, ticks.
        size: `[R]` int32, shares.
        order_id: `[R]` int32.
        time_in_force: `[R]` int32.
    """

    event_type: Array
    side: Array
    price: Array
    size: Array
    order_id: Array
    time_in_force: Array


def num_requests(num_orders: int) -> int:
    """Message slots of an agent that can want `num_orders` orders at once."""
    return (SLOTS_PER_ORDER + 1) * num_orders


def no_orders(num_orders: int) -> OwnOrders:
    """An agent's empty table for `K = num_orders` wanted orders."""
    return OwnOrders(
        side=jnp.zeros(num_orders, jnp.int32),
        price=jnp.zeros(num_orders, jnp.int32),
        size=jnp.zeros((num_orders, SLOTS_PER_ORDER), jnp.int32),
        order_id=jnp.zeros((num_orders, SLOTS_PER_ORDER), jnp.int32),
    )


def merge_duplicates(wanted: Wanted) -> Wanted:
    """The same orders with equal (side, price, immediacy) added up in the first such row."""
    num_orders = wanted.size.shape[0]
    if num_orders == 1:
        return wanted
    same = (
        (wanted.side[:, None] == wanted.side)
        & (wanted.price[:, None] == wanted.price)
        & (wanted.is_immediate[:, None] == wanted.is_immediate)
        & (wanted.size[:, None] > 0)
        & (wanted.size > 0)
    )
    earlier = jnp.tri(num_orders, k=-1, dtype=bool)
    is_first = ~jnp.any(same & earlier, axis=1)
    total = jnp.sum(jnp.where(same, wanted.size, 0), axis=1)
    return wanted.replace(size=jnp.where(is_first, total, 0))


def net_orders(
    wanted: Wanted,
    resting: OwnOrders,
    first_id: Array,
    id_stride: int,
    room: Array | None = None,
) -> tuple[Requests, OwnOrders]:
    """Messages that turn one agent's resting orders into its wanted ones.

    Args:
        wanted: leaves `[K]`.
        resting: its table of resting orders, for the same K.
        first_id: `[]` int32, id of the first new order; row k uses `first_id + k * id_stride`.
        id_stride: number of agents, so that no two agents share an id.
        room: `[2]` int32, shares that new orders may buy and sell at most; the rest of them is
            not sent. None sends all.

    Returns:
        Cancels first, then new orders, `R = num_requests(K)` rows; and the table that follows if
        every new good-till-cancelled order rests. Its sizes must be read from the book afterwards,
        see `own_orders.read_sizes`.
    """
    wanted = merge_duplicates(wanted)
    num_orders = wanted.size.shape[0]
    side = jnp.repeat(resting.side, SLOTS_PER_ORDER)
    price = jnp.repeat(resting.price, SLOTS_PER_ORDER)
    size, order_id = resting.size.reshape(-1), resting.order_id.reshape(-1)
    is_live = size > 0

    rests = (wanted.size > 0) & ~wanted.is_immediate
    match = (  # [K, R]: resting order r is at the side and price of wanted order k
        rests[:, None] & is_live & (wanted.side[:, None] == side) & (wanted.price[:, None] == price)
    )
    older = (  # [R, R]: order s stands before order r at its price
        is_live
        & (side[:, None] == side)
        & (price[:, None] == price)
        & (order_id[:, None] > order_id)
    )
    ahead = jnp.sum(jnp.where(older, size, 0), axis=1)
    target = jnp.sum(jnp.where(match, wanted.size[:, None], 0), axis=0)
    keep = jnp.clip(target - ahead, 0, size)

    missing = wanted.size - jnp.sum(jnp.where(match, size, 0), axis=1)
    is_full = (missing > 0) & (jnp.sum(match, axis=1) == SLOTS_PER_ORDER)
    is_resent = is_full[:, None] & match & jnp.any(older, axis=1)
    keep = jnp.where(jnp.any(is_resent, axis=0), 0, keep)
    missing += jnp.sum(jnp.where(is_resent, size, 0), axis=1)
    missing = jnp.maximum(missing, 0)
    if room is not None:
        missing = _fit(missing, wanted.side, room)

    new_id = first_id + id_stride * jnp.arange(num_orders, dtype=jnp.int32)
    cancel = jnp.where(
        keep == size,
        EventType.NOOP,
        jnp.where(keep > 0, EventType.CANCEL, EventType.DELETE),
    )
    submit = jnp.where(missing > 0, EventType.SUBMIT, EventType.NOOP)
    in_force = jnp.where(wanted.is_immediate, TimeInForce.IOC, TimeInForce.GTC)
    requests = Requests(
        event_type=jnp.concatenate([cancel, submit]).astype(jnp.int32),
        side=jnp.concatenate([side, wanted.side]),
        price=jnp.concatenate([price, wanted.price]),
        size=jnp.concatenate([size - keep, missing]),
        order_id=jnp.concatenate([order_id, new_id]),
        time_in_force=jnp.concatenate([jnp.zeros_like(side), in_force]).astype(jnp.int32),
    )

    kept_ids = jnp.where(match & (keep > 0), order_id, _NO_ID)
    sent_ids = jnp.where(rests & (missing > 0), new_id, _NO_ID)
    candidates = jnp.concatenate([kept_ids, sent_ids[:, None]], axis=1)
    first = jnp.min(candidates, axis=1)
    second = jnp.min(jnp.where(candidates > first[:, None], candidates, _NO_ID), axis=1)
    ids = jnp.stack([first, second], axis=1)
    ids = jnp.where(ids == _NO_ID, 0, ids)
    table = OwnOrders(side=wanted.side, price=wanted.price, size=jnp.zeros_like(ids), order_id=ids)
    return requests, table


def _fit(size: Array, side: Array, room: Array) -> Array:
    """Sizes `[K]` cut, later rows first, so that each side adds up to at most its room `[2]`."""
    allowed = jnp.where(side > 0, room[0], room[1])
    is_before = (side[:, None] == side) & jnp.tri(side.shape[0], k=-1, dtype=bool)
    before = jnp.sum(jnp.where(is_before, size, 0), axis=1)
    return jnp.clip(allowed - before, 0, size)

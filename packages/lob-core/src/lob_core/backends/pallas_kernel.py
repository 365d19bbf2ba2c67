"""The GPU kernel: one program plays all messages of one book without leaving the chip.

Inside, orders lie in any slot, and priority is a pair of numbers, lower first: the price with its
sign turned for bids, and a serial number of arrival. Bids and asks share one vector of `2 P`
slots, `P` a power of two, bids first. So every step is an element-wise operation or a reduction,
which is what Pallas can lower for GPUs; a sweep is a loop over the trades it makes.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from lob_core.backends.pallas_request import (
    WORST,
    Located,
    Request,
    decode,
    message_hash,
    result_code,
    size_left,
)
from lob_core.types import (
    NO_PRICE,
    OPENING_AGENT,
    Array,
    BookConfig,
    Counters,
    Fills,
    Message,
    SelfMatch,
    Side,
    UnknownCancel,
)


class Slots(NamedTuple):
    """Orders of both sides, `[2 P]` int32 each; a slot of size zero is free."""

    key: Array  # price of an ask, minus the price of a bid
    size: Array
    order_id: Array
    agent_id: Array
    serial: Array  # lower arrived earlier


class _Sweep(NamedTuple):
    """A taker on its way through the opposite side; scalars, slots and accounts."""

    size: Array
    fills: Fills
    remaining: Array
    filled: Array
    num_trades: Array
    best: Array  # key of the best order left
    is_open: Array  # whether that order can be reached


def play(messages: Any, slots: Slots, reports: Any, trades: Any, config: BookConfig) -> Any:
    """Plays the messages of one book.

    Args:
        messages: a `Message` of references `[M]`, without times.
        slots: the book.
        reports: a `Reports` of references `[M]`, written.
        trades: a list of the row fields of `Trades` as references `[T + 1]`, written; rows from
            `T` on are lost. Not read if `config.max_trades` is zero.
        config: rules of the book.

    Returns:
        The slots after the last message, the `Counters` raised, the `Fills` `[A']`, `A'` a power
        of two, and the number of trades (zero if `config.max_trades` is).
    """
    num_accounts = power_of_two(config.num_agents + 1)
    zero = jnp.int32(0)
    start = (
        slots,
        Counters(*[zero] * 6),
        Fills(*[jnp.zeros(num_accounts, jnp.int32)] * 6),
        zero,
    )

    def step(index: Array, now: Any) -> Any:
        message = jax.tree.map(lambda field: field[index], messages)
        slots, counters, fills, num_trades = now
        slots, counters, fills, num_trades, report = _apply(
            message, index, slots, counters, fills, num_trades, trades, config
        )
        for reference, value in zip(reports, report, strict=True):
            reference[index] = value
        return slots, counters, fills, num_trades

    return jax.lax.fori_loop(0, messages.price.shape[0], step, start)


def power_of_two(number: int) -> int:
    """The smallest power of two that is at least `number`."""
    return 1 << (number - 1).bit_length()


def _apply(
    message: Message,
    index: Array,
    slots: Slots,
    counters: Counters,
    fills: Fills,
    num_trades: Array,
    trades: Any,
    config: BookConfig,
) -> Any:
    """Carries out one message; the same steps as in the `xla` backend."""
    request = decode(message)
    half = slots.size.shape[0] // 2
    number = jax.lax.iota(jnp.int32, slots.size.shape[0])
    is_own = (number < half) == request.is_buy

    located = _locate(slots, is_own, message, request, config)
    is_requeue = request.is_modify & located.is_found & ~located.keeps_priority
    is_taker = request.is_valid & (~request.is_lookup | is_requeue)
    agent_id = jnp.where(request.is_lookup, located.agent_id, message.agent_id)

    take = jnp.where(is_taker, message.size, 0)
    sweep, is_rejected, is_stopped = _match(
        slots, ~is_own, take, agent_id, request, index, fills, num_trades, trades, config
    )
    is_active = is_taker & ~is_rejected
    may_rest = ~is_stopped & request.may_rest
    rest_size = jnp.where(may_rest & is_active, sweep.remaining, 0)

    left = size_left(message, request, located, is_requeue & is_active)
    is_it = is_own & located.is_found & (slots.serial == located.serial) & (sweep.size > 0)
    slots = slots._replace(size=jnp.where(is_it, left, sweep.size))
    incoming = Slots(request.key, rest_size, request.order_id, agent_id, half + index)
    slots, dropped_size, is_self_dropped = _insert(slots, is_own, incoming, config.num_slots)

    is_unknown = request.is_valid & request.is_lookup & ~located.is_known
    is_refused = ~request.is_ignored & request.is_known_type & ~request.is_valid
    counters = Counters(
        dropped_orders=counters.dropped_orders + (dropped_size > 0),
        dropped_size=counters.dropped_size + dropped_size,
        dropped_trades=counters.dropped_trades,
        unknown_ids=counters.unknown_ids + is_unknown,
        unknown_types=counters.unknown_types + ~request.is_known_type,
        invalid=counters.invalid + is_refused,
    )
    code = result_code(
        request,
        is_missing=is_unknown & ~located.is_found,
        is_taker=is_taker,
        is_rejected=is_rejected,
        filled=sweep.filled,
        is_filled=sweep.filled == message.size,
        is_resting=may_rest & (sweep.remaining > 0),
        is_dropped=is_self_dropped,
    )
    is_bid = number < half
    best_bid, has_bid = _best(slots, is_bid & (slots.size > 0))
    best_ask, has_ask = _best(slots, ~is_bid & (slots.size > 0))
    report = (
        code,
        sweep.filled,
        jnp.where(has_bid, -best_bid, NO_PRICE),
        jnp.where(has_ask, best_ask, NO_PRICE),
    )
    return slots, counters, sweep.fills, sweep.num_trades, report


def _best(slots: Slots, is_one: Array) -> tuple[Array, Array]:
    """The best key among some slots, and whether there is any."""
    return jnp.min(jnp.where(is_one, slots.key, WORST)), _any(is_one)


def _any(condition: Array) -> Array:
    return jnp.max(condition.astype(jnp.int32)) > 0


def _first_serial(slots: Slots, is_one: Array, key: Array) -> Array:
    """The earliest serial number among some slots with a key."""
    return jnp.min(jnp.where(is_one & (slots.key == key), slots.serial, WORST))


def _pick(values: Array, is_it: Array) -> Array:
    """The value in the one slot where `is_it` holds, else zero."""
    return jnp.sum(jnp.where(is_it, values, 0))


def _locate(
    slots: Slots, is_own: Array, message: Message, request: Request, config: BookConfig
) -> Located:
    """Finds the named order: first at the message's price, else anywhere on its side.

    If it is not there, `config.unknown_cancel` may put another order in its place.
    """
    key = request.key
    is_asked = request.is_valid & request.is_lookup
    is_live = is_own & (slots.size > 0)
    is_named = is_live & (slots.order_id == message.order_id) & is_asked
    is_at_price = is_named & (slots.key == key)
    is_known = _any(is_named)
    is_it = jnp.where(_any(is_at_price), is_at_price, is_named)
    best, is_found = _best(slots, is_it)
    serial = _first_serial(slots, is_it, best)
    if config.unknown_cancel != UnknownCancel.STRICT:
        is_open = is_asked & ~is_known & ~request.is_modify
        other = _stand_in(slots, is_live & (slots.key == key) & is_open, message, config)
        is_found = jnp.where(is_open, other != WORST, is_found)
        serial = jnp.where(is_open, other, serial)
    is_it = is_live & (slots.serial == serial)
    size = _pick(slots.size, is_it)
    keeps = (_pick(slots.key, is_it) == key) & (message.size <= size)
    return Located(
        is_known=is_known,
        is_found=is_found,
        serial=serial,
        size=size,
        agent_id=_pick(slots.agent_id, is_it),
        keeps_priority=keeps,
    )


def _stand_in(slots: Slots, is_at_price: Array, message: Message, config: BookConfig) -> Array:
    """Serial number of the order on which a cancel of an unknown id acts instead, or `WORST`."""
    is_candidate = is_at_price
    if config.unknown_cancel == UnknownCancel.OPENING:
        is_candidate &= slots.agent_id == OPENING_AGENT
    if config.unknown_cancel == UnknownCancel.UNIFORM:
        is_candidate &= slots.agent_id < 1
    serial = jnp.where(is_candidate, slots.serial, WORST)
    if config.unknown_cancel == UnknownCancel.OPENING:
        return jnp.min(serial)
    count = jnp.maximum(jnp.sum(is_candidate.astype(jnp.int32)), 1).astype(jnp.uint32)
    chosen = (message_hash(message) % count).astype(jnp.int32)

    def skip(_: Array, first: Array) -> Array:
        return jnp.min(jnp.where(serial > first, serial, WORST))

    found: Array = jax.lax.fori_loop(0, chosen, skip, jnp.min(serial))
    return found


def _match(
    slots: Slots,
    is_opposite: Array,
    take: Array,
    agent_id: Array,
    request: Request,
    index: Array,
    fills: Fills,
    num_trades: Array,
    trades: Any,
    config: BookConfig,
) -> tuple[_Sweep, Array, Array]:
    """Runs a taker of `take` shares against the other side; also: is it rejected, is it stopped."""
    mode = config.self_match
    is_crossed = is_opposite & (slots.size > 0) & (slots.key <= request.limit)
    best, is_open = _best(slots, is_crossed)
    can_fill = jax.lax.cond(
        request.is_fok & (take > 0),
        lambda: _can_fill(slots, is_crossed, take, agent_id, mode),
        lambda: is_open | True,
    )
    is_rejected = (request.is_fok & ~can_fill) | (request.is_post_only & is_open)
    start = _Sweep(
        size=slots.size,
        fills=fills,
        remaining=jnp.where(is_rejected, 0, take),
        filled=take * 0,
        num_trades=num_trades,
        best=best,
        is_open=is_open,
    )

    def goes_on(now: _Sweep) -> Array:
        return (now.remaining > 0) & now.is_open

    def hit_best(now: _Sweep) -> _Sweep:
        is_left = is_crossed & (now.size > 0)
        is_it = is_left & (slots.serial == _first_serial(slots, is_left, now.best))
        available, maker_agent = _pick(now.size, is_it), _pick(slots.agent_id, is_it)
        used = jnp.minimum(now.remaining, available)
        traded, removed, is_stop = used, used, used < 0
        if mode != SelfMatch.OFF:
            is_prevented = (maker_agent == agent_id) & (agent_id >= 1)
            traded = jnp.where(is_prevented, 0, used)
            if mode == SelfMatch.CANCEL_RESTING:
                removed = jnp.where(is_prevented, available, used)
                used = traded
            if mode == SelfMatch.CANCEL_INCOMING:
                is_stop = is_prevented
                used = removed = traded
        size = jnp.where(is_it, now.size - removed, now.size)
        best, is_open = _best(slots, is_crossed & (size > 0))
        price = jnp.where(request.is_buy, now.best, -now.best)
        num_trades = now.num_trades
        if config.max_trades > 0:
            row = jnp.where(traded > 0, now.num_trades, config.max_trades)
            row = jnp.minimum(row, config.max_trades)
            values = (
                price,
                traded,
                _pick(slots.order_id, is_it),
                request.order_id,
                maker_agent,
                agent_id,
                jnp.where(request.is_buy, Side.BID, Side.ASK),
                index,
            )
            for reference, value in zip(trades, values, strict=True):
                reference[row] = value
            num_trades = num_trades + (traded > 0)
        return _Sweep(
            size=size,
            fills=_add_fills(now.fills, maker_agent, agent_id, traded, price, request, config),
            remaining=now.remaining - used,
            filled=now.filled + traded,
            num_trades=num_trades,
            best=best,
            is_open=is_open & ~is_stop,
        )

    end = jax.lax.while_loop(goes_on, hit_best, start)
    is_stopped = end.remaining < 0  # never; a constant here would not lower
    if mode == SelfMatch.CANCEL_INCOMING:
        # A loop that ended with shares left beside an order in reach was stopped.
        is_stopped = (end.remaining > 0) & _any(is_crossed & (end.size > 0))
    return end, is_rejected, is_stopped


def _can_fill(
    slots: Slots, is_crossed: Array, take: Array, agent_id: Array, mode: SelfMatch
) -> Array:
    """Whether orders in reach hold `take` shares, summed as two numbers that cannot overflow."""
    if mode != SelfMatch.OFF:
        is_prevented = is_crossed & (slots.agent_id == agent_id) & (agent_id >= 1)
        if mode == SelfMatch.CANCEL_RESTING:
            is_crossed &= ~is_prevented
        else:
            key, is_any = _best(slots, is_prevented)
            serial = _first_serial(slots, is_prevented, key)
            is_before = (slots.key < key) | ((slots.key == key) & (slots.serial < serial))
            is_crossed &= is_before | ~is_any
    sizes = jnp.where(is_crossed, slots.size, 0)
    low = jnp.sum(sizes & 0xFFFF)
    high = jnp.sum(sizes >> 16) + (low >> 16)
    need = take >> 16
    return (high > need) | ((high == need) & ((low & 0xFFFF) >= (take & 0xFFFF)))


def _add_fills(
    fills: Fills,
    maker_agent: Array,
    taker_agent: Array,
    traded: Array,
    price: Array,
    request: Request,
    config: BookConfig,
) -> Fills:
    """Adds one trade to the accounts of both parties."""
    account = jax.lax.iota(jnp.int32, fills.bought.shape[0])

    def row(agent_id: Array) -> Array:
        return jnp.where((agent_id >= 1) & (agent_id <= config.num_agents), agent_id, 0)

    maker, taker = row(maker_agent), row(taker_agent)
    is_buyer = account == jnp.where(request.is_buy, taker, maker)
    is_seller = account == jnp.where(request.is_buy, maker, taker)
    is_maker = account == maker
    notional = traded * price
    return Fills(
        bought=fills.bought + jnp.where(is_buyer, traded, 0),
        sold=fills.sold + jnp.where(is_seller, traded, 0),
        bought_notional=fills.bought_notional + jnp.where(is_buyer, notional, 0),
        sold_notional=fills.sold_notional + jnp.where(is_seller, notional, 0),
        maker_size=fills.maker_size + jnp.where(is_maker, traded, 0),
        self_size=fills.self_size + jnp.where(is_maker & (maker == taker), traded, 0),
    )


def _insert(slots: Slots, is_own: Array, new: Slots, num_slots: int) -> tuple[Slots, Array, Array]:
    """Rests `new` if its size > 0, dropping the order of lowest priority from a full side.

    Returns:
        The slots, the shares dropped, and whether they were those of `new`.
    """
    half = slots.size.shape[0] // 2
    number = jax.lax.iota(jnp.int32, slots.size.shape[0])
    is_live = is_own & (slots.size > 0)
    is_full = jnp.sum(is_live.astype(jnp.int32)) >= num_slots
    is_inserted = new.size > 0
    is_free = is_own & (slots.size == 0) & ((number & (half - 1)) < num_slots)
    free = jnp.min(jnp.where(is_free, number, 2 * half))
    worst = jnp.max(jnp.where(is_live, slots.key, -WORST - 1))
    is_worst = is_live & (slots.key == worst)
    last = jnp.max(jnp.where(is_worst, slots.serial, -1))
    is_self_dropped = is_inserted & is_full & (new.key >= worst)
    is_last = is_worst & (slots.serial == last)
    dropped = jnp.where(is_self_dropped, new.size, _pick(slots.size, is_last))
    is_here = jnp.where(is_full, is_last, number == free) & is_inserted & ~is_self_dropped
    slots = Slots(*(jnp.where(is_here, n, s) for s, n in zip(slots, new, strict=True)))
    return slots, jnp.where(is_inserted & is_full, dropped, 0), is_self_dropped

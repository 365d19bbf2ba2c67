"""Cash and inventory, in integers that balance to the last unit."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from lob_core.types import Fills

from marl_envs.terms import Terms
from marl_envs.types import Account

Array = jax.Array


def empty_accounts(shape: tuple[int, ...] = ()) -> Account:
    """Accounts without cash or shares, leaves of `shape`."""
    zero = jnp.zeros(shape, jnp.int32)
    return Account(cash=zero, inventory=zero, bought=zero, sold=zero, maker_size=zero, fees=zero)


def flows_of(fills: Fills, reference_price: Array) -> Account:
    """What every account gained in one step.

    Args:
        fills: sums by account of one engine call, leaves `[A + 1]`.
        reference_price: `[]` int32, ticks; close to the market, so that the differences
            `notional - reference_price * size`, which are exact modulo 2^32, fit int32.

    Returns:
        Leaves `[A + 1]`; row 0 is everyone who is not an agent. Cash and inventory each sum to
        zero over the rows. Fees are zero; see `charge`.
    """
    paid = fills.bought_notional - reference_price * fills.bought
    earned = fills.sold_notional - reference_price * fills.sold
    return Account(
        cash=earned - paid,
        inventory=fills.bought - fills.sold,
        bought=fills.bought,
        sold=fills.sold,
        maker_size=fills.maker_size,
        fees=jnp.zeros_like(fills.bought),
    )


def charge(flow: Account, terms: Terms) -> Account:
    """The same flow with the fees on it, an exact integer.

    Args:
        flow: of the agents of one type, leaves `[A]`.
        terms: theirs.
    """
    if not terms.has_fees:
        return flow
    number = flow.bought.shape[0]
    taker_size = flow.bought + flow.sold - flow.maker_size
    maker_fee, taker_fee = (terms.column(n, number) for n in ("maker_fee", "taker_fee"))
    return flow.replace(fees=flow.maker_size * maker_fee + taker_size * taker_fee)


def add(account: Account, flow: Account) -> Account:
    """The account after a flow."""
    total: Account = jax.tree.map(jnp.add, account, flow)
    return total


def value_half_ticks(account: Account, mark_half_ticks: Array, reference_price: Array) -> Array:
    """Twice the worth of an account, an exact int32.

    Args:
        account: cash and inventory.
        mark_half_ticks: twice the price in ticks at which a share is valued.
        reference_price: `[]` int32, ticks, that cash is counted from.

    Returns:
        `2 * cash + inventory * (mark - 2 * reference)`, in half ticks times shares.
    """
    return 2 * account.cash + account.inventory * (mark_half_ticks - 2 * reference_price)

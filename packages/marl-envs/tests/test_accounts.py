import jax.numpy as jnp
import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from lob_core import Fills
from marl_envs.accounts import add, empty_accounts, flows_of, value_half_ticks


def fills_of(trades, num_accounts=3):
    """`Fills` of (buyer, seller, price, size) rows, wrapping like the engine."""
    columns = {name: np.zeros(num_accounts, np.int64) for name in Fills.__dataclass_fields__}
    for buyer, seller, price, size in trades:
        columns["bought"][buyer] += size
        columns["sold"][seller] += size
        columns["bought_notional"][buyer] += price * size
        columns["sold_notional"][seller] += price * size
        columns["maker_size"][seller] += size
    return Fills(**{k: jnp.asarray(v.astype(np.int32)) for k, v in columns.items()})


def test_flows__worked_example():
    flows = flows_of(fills_of([(1, 0, 103, 10), (2, 1, 104, 4)]), jnp.int32(100))
    assert flows.cash.tolist() == [30, -30 + 16, -16]
    assert flows.inventory.tolist() == [-10, 6, 4]
    assert flows.maker_size.tolist() == [10, 4, 0]


def test_flows__are_exact_where_the_notional_overflows():
    """20,000 ticks times 200,000 shares does not fit int32; the difference does."""
    flows = flows_of(fills_of([(1, 0, 20_003, 200_000)]), jnp.int32(20_000))
    assert flows.cash.tolist() == [600_000, -600_000, 0]


trade = st.tuples(
    st.integers(0, 2), st.integers(0, 2), st.integers(9_000, 11_000), st.integers(1, 5_000)
)


@given(st.lists(trade, max_size=20))
def test_flows__cash_and_shares_sum_to_zero(trades):
    flows = flows_of(fills_of(trades), jnp.int32(10_000))
    assert int(flows.cash.sum()) == 0
    assert int(flows.inventory.sum()) == 0


def test_value__is_cash_plus_inventory_at_the_mark():
    """Bought 10 at 103 with reference 100, marked at 104.5: gains 15 ticks times shares."""
    account = empty_accounts().replace(cash=jnp.int32(-30), inventory=jnp.int32(10))
    assert int(value_half_ticks(account, jnp.int32(209), jnp.int32(100))) == 30


def test_add__sums_every_field():
    one = empty_accounts((2,)).replace(cash=jnp.array([1, 2]))
    assert add(one, one).cash.tolist() == [2, 4]

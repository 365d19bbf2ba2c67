"""Mistakes that agents of other simulators make, each ruled out for every registered scheme.

Those of a single formula or of the market itself have their tests beside the formula or the market:
queues and netting in `test_netting.py`, races in `test_scripted_market.py`.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from lob_core import Side
from marl_envs import AgentSpec, available_kinds
from marl_envs.agents.execution.task import ExecutionTask
from marl_envs.agents.kinds import build_agent
from marl_envs.agents.market_making import rewards
from marl_envs.agents.market_making.optimal import AvellanedaStoikov
from marl_envs.spaces import Discrete
from marl_envs.testing import make_agent, make_market, make_result
from marl_envs.types import Calibration

CALIBRATION = Calibration(
    volatility=jnp.float32(0.5), depth_decay=jnp.float32(0.3), arrival_rate=jnp.float32(0.4)
)
NUM_SAMPLES = 24


def schemes(kind):
    return list(available_kinds()[kind].actions)


def scheme_of(kind, name):
    return build_agent(AgentSpec(kind, action=name)).action


def actions_of(scheme):
    """All actions of a discrete space, else samples and the corners; led by an axis."""
    space = scheme.space
    if isinstance(space, Discrete):
        return jnp.arange(space.n)
    keys = jax.random.split(jax.random.key(0), NUM_SAMPLES)
    nothing = jnp.zeros((1, *space.shape), space.dtype)
    return jnp.concatenate([nothing, jax.vmap(space.sample)(keys)])


@functools.cache
def compiled(scheme):
    """`scheme.wanted` over an axis of actions."""
    return jax.jit(jax.vmap(scheme.wanted, (0, None, None, None)))


def wants(scheme, agent, market):
    """Wanted orders for each of `actions_of`, leaves `[actions, K]` NumPy."""
    want = compiled(scheme)(actions_of(scheme), agent, market, CALIBRATION)
    return jax.tree.map(np.asarray, want)


def executor(remaining, side):
    done = {"bought" if side > 0 else "sold": 600 - remaining}
    return make_agent(96, 103, task_side=side, task_size=600, account=done)


@pytest.mark.parametrize("name", schemes("execution"))
@pytest.mark.parametrize("side", [1, -1])
def test_oversize_passive_action__is_cut_in_size_and_never_becomes_aggressive(name, side):
    """With 7 shares left every order keeps its price and immediacy, and none exceeds the task."""
    scheme = scheme_of("execution", name)
    market = make_market(96, 103, average_volume=500.0)
    full = wants(scheme, executor(600, side), market)
    cut = wants(scheme, executor(7, side), market)
    is_sent = cut.size > 0
    assert (cut.price == full.price)[is_sent].all()
    assert (cut.is_immediate == full.is_immediate)[is_sent].all()
    assert (cut.size.sum(axis=1) <= 7).all()
    assert (wants(scheme, executor(-4, side), market).size == 0).all()


@pytest.mark.parametrize("kind", ["market_maker", "execution", "directional"])
def test_own_quote_at_the_touch__is_not_chased(kind):
    """Prices start from the best quotes of everyone else, not from those of the market."""
    agent = make_agent(96, 103, task_side=1, task_size=600, account={"inventory": 20})
    behind = make_market(96, 103, average_volume=50.0)
    inside = behind.replace(best_bid=jnp.int32(98), best_ask=jnp.int32(99))  # its own quotes
    for name in schemes(kind):
        scheme = scheme_of(kind, name)
        left, right = wants(scheme, agent, behind), wants(scheme, agent, inside)
        assert (left.price == right.price).all(), name


@pytest.mark.parametrize("name", schemes("market_maker"))
@pytest.mark.parametrize("spread", [1, 2, 7])
def test_own_quotes__never_cross_one_another(name, spread):
    for inventory in (0, 60, -300):
        agent = make_agent(4, 4 + spread, account={"inventory": inventory})
        want = wants(scheme_of("market_maker", name), agent, make_market(4, 4 + spread))
        rests = (want.size > 0) & ~want.is_immediate
        highest_bid = np.where(rests & (want.side == Side.BID), want.price, 0).max(axis=1)
        lowest_ask = np.where(rests & (want.side == Side.ASK), want.price, 2**30).min(axis=1)
        assert (highest_bid < lowest_ask).all()
        assert (want.price >= 1).all()


@pytest.mark.parametrize("kind", ["market_maker", "execution", "directional"])
def test_doing_nothing__is_possible(kind):
    scheme = scheme_of(kind, "do_nothing")
    agent = make_agent(96, 103, task_side=1, task_size=600)
    assert (wants(scheme, agent, make_market(96, 103)).size == 0).all()


@pytest.mark.parametrize(("volatility", "decay"), [(0.05, 3.0), (0.5, 0.3), (4.0, 0.02)])
def test_avellaneda_stoikov__no_two_risk_aversions_quote_alike(volatility, decay):
    """In a tight market the tightest quotes meet the touch; prices without it still differ."""
    scheme = AvellanedaStoikov()
    calibration = CALIBRATION.replace(
        volatility=jnp.float32(volatility), depth_decay=jnp.float32(decay)
    )
    gammas = jnp.asarray(scheme.gammas) * decay / 1.5
    bid, ask = scheme.distances(jnp.float32(3.0), gammas, jnp.float32(50), calibration)
    pairs = {(round(float(b), 3), round(float(a), 3)) for b, a in zip(bid, ask, strict=True)}
    assert len(pairs) == scheme.space.n


def test_random_tasks__every_agent_draws_a_side_of_its_own():
    sides = np.asarray(ExecutionTask().sample(jax.random.key(3), 64)[0])
    assert set(sides.tolist()) == {1, -1}


@pytest.mark.parametrize("name", list(available_kinds()["market_maker"].rewards))
def test_volume_bonus__is_zero_and_not_nan_when_nothing_trades(name):
    settings = {"volume_traded_bonus": 100.0}
    reward = build_agent(AgentSpec("market_maker", reward=name, settings=settings)).reward
    assert float(reward.reward(make_result(), reward.init())[0]) == 0.0


@pytest.mark.parametrize("price", ["near_touch", "far_touch", "last_mid"])
@pytest.mark.parametrize("inventory", [10.0, -10.0])
def test_valuation__never_marks_a_position_better_than_the_mid(price, inventory):
    """Quotes -1 and 1 around a mid of 0: a long one is worth at most 0, and so is a short one."""
    reward = rewards.PortfolioValue(reward_scale=1.0, reference_price=price)
    value, _ = reward.reward(make_result(inventory=inventory), reward.init())
    assert float(value) == (0.0 if price == "last_mid" else -10.0)

"""Rule-based and stateful behaviors inside the market."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from lob_core import Side
from marl_envs import AgentKind, AgentSpec, EnvConfig, MarketEnv, register_agent
from marl_envs.agents.base import Behavior, wanted_orders
from marl_envs.agents.market_making.observations import Basic
from marl_envs.agents.market_making.spooner import Spooner
from marl_envs.testing import ScriptedFlow, check_env


@dataclasses.dataclass(frozen=True)
class Alternate(Behavior):
    """Buys and sells one share in turns, at random times; counts its steps."""

    @property
    def num_orders(self):
        return 1

    def init_memory(self, key, agent, market):
        return jax.random.bernoulli(key).astype(jnp.int32)

    def decide(self, key, action, agent, memory, market, calibration):
        is_buy = memory % 2 == 0
        side = jnp.where(is_buy, Side.BID, Side.ASK)
        price = jnp.where(is_buy, agent.best_ask, agent.best_bid)
        size = jax.random.bernoulli(key, 0.5).astype(jnp.int32)
        return wanted_orders((side, price, size), is_immediate=True), memory + 1


register_agent("alternate", AgentKind(actions={"alternate": Alternate}, is_rule_based=True))
LEARNERS = (AgentSpec("market_maker"), AgentSpec("execution", settings={"task_size": 20}))


def market(*extra, num_slots=16):
    return MarketEnv(
        EnvConfig(agents=(*LEARNERS, *extra), num_steps=4, messages_per_step=2, num_slots=num_slots)
    )


@pytest.mark.parametrize("num_agents", [3, 200])
def test_rule_based_types__trade_inside_the_market_and_are_no_group(num_agents):
    env = market(AgentSpec("alternate", num_agents=num_agents))
    params = env.make_params(ScriptedFlow(), num_openings=1)
    assert list(env.groups) == ["market_maker", "execution"]
    if num_agents < 10:
        check_env(env, params, num_steps=6)
    obs, state = jax.jit(env.reset)(jax.random.key(0), params)
    step = jax.jit(env.step_env)
    action = {"market_maker": jnp.zeros(1, int), "execution": jnp.zeros(1, int)}
    starts = np.asarray(state.agents["alternate"].action_memory)
    assert set(starts.tolist()) == {0, 1}
    for index in range(3):
        obs, state, reward, terminated, truncated, info = step(
            jax.random.key(index), state, action, params
        )
    for tree in (obs, reward, terminated, truncated, info["active"]):
        assert sorted(tree) == ["execution", "market_maker"]
    agents = state.agents["alternate"]
    assert np.array_equal(agents.action_memory, starts + 3)
    assert int(agents.account.bought.sum() + agents.account.sold.sum()) > 0
    assert info["episode"]["alternate"]["pnl"].shape == (num_agents,)
    cash = sum(int(a.account.cash.sum()) for a in state.agents.values()) + int(state.rest.cash)
    assert cash == 0


def test_rule_based_types__leave_tasks_and_random_flow_of_learners_as_they_are():
    sides = []
    for extra in ((), (AgentSpec("alternate", num_agents=2),)):
        env = market(*extra)
        params = env.make_params(ScriptedFlow(), num_openings=1)
        keys = jax.random.split(jax.random.key(1), 16)
        _, state = jax.jit(jax.vmap(env.reset, (0, None)))(keys, params)
        sides.append(np.asarray(state.agents["execution"].task_side))
    assert np.array_equal(*sides)
    assert len(set(sides[0].ravel().tolist())) == 2


def test_register_agent__a_rule_based_kind_has_no_observation_and_no_reward():
    for pieces in ({"observations": {"basic": Basic}}, {"rewards": {"spooner": Spooner}}):
        kind = AgentKind(actions={"alternate": Alternate}, is_rule_based=True, **pieces)
        with pytest.raises(ValueError, match="is rule-based; it must have no"):
            register_agent("seeing", kind)
    with pytest.raises(ValueError, match="rule-based kind 'alternate' and has no reward"):
        MarketEnv(EnvConfig(agents=(AgentSpec("alternate", reward="spooner"),)))

"""Every action scheme with every observation and every reward, for a whole episode.

Scheme, observation and reward of a type meet only in the market: so one type for each scheme plays,
and every observation and every reward is evaluated on all that happened to each of them. What
compiles is then one market of a kind, and each observation and each reward once.
"""

import dataclasses
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from lob_core.flow import OrnsteinUhlenbeck
from marl_envs import AgentSpec, EnvConfig, MarketEnv, available_kinds
from marl_envs.agents.base import Observation, Reward
from marl_envs.agents.kinds import build_agent, register_agent
from marl_envs.testing import make_result, sample_actions

NUM_STEPS, NUM_ENVS = 5, 2
KINDS = ("market_maker", "execution", "directional")
QUICK = {"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}
"""Compiler options for programs that run for a moment only."""


@dataclasses.dataclass(frozen=True)
class Nothing(Observation):
    """Shows nothing, but has the market remember messages."""

    @property
    def names(self):
        return ("nothing",)

    @property
    def num_recent_messages(self):
        return 10

    def observe(self, agent, market, book):
        return jnp.zeros(1, jnp.float32)


@dataclasses.dataclass(frozen=True)
class Record(Reward):
    """Pays nothing and remembers what happened in the step."""

    def init(self):
        return make_result()

    def reward(self, result, memory):
        return jnp.zeros((), jnp.float32), result


def play(env, see):
    """`see(state, info)` and actions of every step, leaves `[NUM_ENVS, NUM_STEPS, ...]`."""
    params = env.make_params(num_openings=4)

    def episode(key):
        key_reset, key_play = jax.random.split(key)
        _, state = env.reset_env(key_reset, params)

        def step(state, key):
            key_action, key_step = jax.random.split(key)
            action = sample_actions(env, key_action)
            _, state, *_, info = env.step_env(key_step, state, action, params)
            return state, (see(state, info), action)

        return jax.lax.scan(step, state, jax.random.split(key_play, NUM_STEPS))[1]

    keys = jax.random.split(jax.random.key(1), NUM_ENVS)
    return jax.jit(jax.vmap(episode), compiler_options=QUICK)(keys)


def without_tables(agents):
    """States of agents that look alike whatever their action scheme."""
    return {name: group.replace(orders=(), action_memory=()) for name, group in agents.items()}


def assert_conserved(agents, rest):
    """Cash and shares of everybody sum to zero on every step."""
    for field in ("cash", "inventory"):
        total = sum(np.asarray(getattr(a.account, field)).sum(-1) for a in agents.values())
        assert (total + np.asarray(getattr(rest, field)) == 0).all()


@pytest.mark.parametrize("kind", KINDS)
def test_every_combination__can_be_built(kind):
    pieces = available_kinds()[kind]
    for action, observation, reward in itertools.product(
        pieces.actions, pieces.observations, pieces.rewards
    ):
        built = build_agent(AgentSpec(kind, 1, action, observation, reward))
        assert len(built.observation.names) == built.observation.space.shape[0]


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_every_combination__plays_an_episode_under_jit_and_vmap(kind):
    pieces = available_kinds()[kind]
    recorded = {"observations": {"nothing": Nothing}, "rewards": {"record": Record}}
    register_agent(f"recorded_{kind}", dataclasses.replace(pieces, **recorded))
    specs = tuple(AgentSpec(f"recorded_{kind}", action=a, name=a) for a in pieces.actions)
    env = MarketEnv(EnvConfig(agents=specs, num_steps=NUM_STEPS, messages_per_step=6, num_slots=48))

    def see(state, info):
        return without_tables(state.agents), state.market, state.book, state.rest, info["counters"]

    (seen, market, book, rest, counters), action = play(env, see)
    assert_conserved(seen, rest)
    assert int(market.volume.sum()) > 0
    assert int(counters["invalid"].max()) == 0
    for name, group in env.groups.items():
        assert action[name].shape == (NUM_ENVS, NUM_STEPS, 1, *group.action_space.shape)
        assert bool(group.action_space.contains(action[name])), name

    everyone = jax.tree.map(lambda *leaves: jnp.stack(leaves), *seen.values())
    results, agents = everyone.reward_state, everyone.replace(reward_state=())
    for name, cls in pieces.observations.items():
        observe = cls().observe
        for axes in ((0, None, None), (0, 0, 0), (0, 0, 0), (0, None, None)):
            observe = jax.vmap(observe, axes)
        vector = jax.jit(observe, compiler_options=QUICK)(agents, market, book)
        assert vector.shape == (len(specs), NUM_ENVS, NUM_STEPS, 1, *cls().space.shape)
        assert np.isfinite(vector).all(), name
        assert bool(cls().space.contains(vector)), name
    for name, cls in pieces.rewards.items():
        piece = cls()

        def total(results, piece=piece):
            def step(memory, result):
                paid, memory = piece.reward(result, memory)
                return memory, jnp.asarray(paid, jnp.float32)

            return jax.lax.scan(step, piece.init(), results)[1]

        in_order = jax.tree.map(lambda leaf: jnp.moveaxis(leaf, 2, 3), results)  # steps last
        paid = jax.jit(jax.vmap(jax.vmap(jax.vmap(total))), compiler_options=QUICK)(in_order)
        assert paid.shape == (len(specs), NUM_ENVS, 1, NUM_STEPS)
        assert np.isfinite(paid).all(), name


@pytest.mark.slow
def test_every_rule_based_behavior__plays_an_episode_under_jit_and_vmap():
    specs = tuple(
        AgentSpec(name, num_agents=2, action=action, name=f"{name}.{action}")
        for name, kind in available_kinds().items()
        if kind.is_rule_based
        for action in kind.actions
    )
    config = EnvConfig(
        agents=specs,
        num_steps=NUM_STEPS,
        messages_per_step=6,
        num_slots=96,
        fundamental=OrnsteinUhlenbeck(),
    )
    env = MarketEnv(config)
    assert not env.groups

    def see(state, info):
        return without_tables(state.agents), state.rest, info["episode"], info["counters"]

    (agents, rest, episode, counters), _ = play(env, see)
    assert_conserved(agents, rest)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(episode))
    assert int(counters["invalid"].max()) == 0
    acted = [
        np.asarray(a.bid_quote + a.ask_quote + a.account.bought + a.account.sold).any()
        for a in agents.values()
    ]
    assert sum(acted) > len(acted) / 2
    result = episode["manipulator.spoofing"]
    gains = result["gain_accumulate"] + result["gain_unload"]
    worth = result["pnl"] + result["closing_cost"]
    assert np.allclose(gains[:, -1], worth[:, -1], atol=1e-2)

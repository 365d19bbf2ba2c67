"""Every action scheme with every observation and every reward, for a whole episode.

Scheme, observation and reward of a type meet only in the market: so one type for each scheme plays,
all of them side by side, and every observation and every reward of a kind is evaluated on all that
happened to each of its types. What compiles is one market, and each observation and reward once.
"""

import dataclasses
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from marl_envs import AgentSpec, EnvConfig, MarketEnv, available_kinds
from marl_envs.agents.base import Observation, Reward
from marl_envs.agents.kinds import build_agent, register_agent
from marl_envs.testing import make_result, sample_actions

NUM_STEPS, NUM_ENVS = 5, 2
KINDS = ("market_maker", "execution", "directional")


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


@pytest.fixture(scope="module")
def episode():
    """One type for each scheme of every kind: the env, and what `see` saw on every step."""
    specs = []
    for kind in KINDS:
        pieces = available_kinds()[kind]
        recorded = {"observations": {"nothing": Nothing}, "rewards": {"record": Record}}
        register_agent(f"recorded_{kind}", dataclasses.replace(pieces, **recorded))
        specs += [
            AgentSpec(f"recorded_{kind}", action=name, name=f"{kind}.{name}")
            for name in pieces.actions
        ]
    env = MarketEnv(
        EnvConfig(agents=tuple(specs), num_steps=NUM_STEPS, messages_per_step=6, num_slots=64)
    )
    params = env.make_params(num_openings=4)

    def see(state, action, info):
        agents = {
            name: group.replace(orders=(), action_memory=()) for name, group in state.agents.items()
        }
        return agents, action, state.market, state.book, state.rest, info["counters"]

    def play(key):
        key_reset, key_play = jax.random.split(key)
        _, state = env.reset_env(key_reset, params)

        def step(state, key):
            key_action, key_step = jax.random.split(key)
            action = sample_actions(env, key_action)
            _, state, *_, info = env.step_env(key_step, state, action, params)
            return state, see(state, action, info)

        return jax.lax.scan(step, state, jax.random.split(key_play, NUM_STEPS))[1]

    keys = jax.random.split(jax.random.key(1), NUM_ENVS)
    return env, jax.jit(jax.vmap(play))(keys)


@pytest.mark.parametrize("kind", KINDS)
def test_every_combination__can_be_built(kind):
    pieces = available_kinds()[kind]
    for action, observation, reward in itertools.product(
        pieces.actions, pieces.observations, pieces.rewards
    ):
        built = build_agent(AgentSpec(kind, 1, action, observation, reward))
        assert len(built.observation.names) == built.observation.space.shape[0]


@pytest.mark.slow
def test_every_scheme__acts_within_its_space_and_conserves_cash_and_shares(episode):
    env, (agents, action, market, _, rest, counters) = episode
    for name, group in env.groups.items():
        assert action[name].shape == (NUM_ENVS, NUM_STEPS, 1, *group.action_space.shape)
        assert bool(group.action_space.contains(action[name])), name
    for field in ("cash", "inventory"):
        total = sum(np.asarray(getattr(a.account, field)).sum(-1) for a in agents.values())
        assert (total + np.asarray(getattr(rest, field)) == 0).all()
    assert int(market.volume.sum()) > 0
    assert int(counters["invalid"].max()) == 0


def of_kind(agents, kind):
    """The agents of all types of a kind, leaves `[types, NUM_ENVS, NUM_STEPS, 1, ...]`."""
    chosen = [group for name, group in agents.items() if name.startswith(f"{kind}.")]
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *chosen)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_every_observation__is_finite_and_within_its_space_for_every_scheme(kind, episode):
    _, (agents, _, market, book, *_) = episode
    pieces = {name: cls() for name, cls in available_kinds()[kind].observations.items()}

    def observe(agent, market, book):
        return {name: piece.observe(agent, market, book) for name, piece in pieces.items()}

    for axes in ((0, None, None), (0, 0, 0), (0, 0, 0), (0, None, None)):
        observe = jax.vmap(observe, axes)
    everyone = of_kind(agents, kind).replace(reward_state=())
    seen = jax.jit(observe)(everyone, market, book)
    for name, vector in seen.items():
        space = pieces[name].space
        assert vector.shape == (*everyone.task_side.shape, *space.shape), name
        assert vector.dtype == space.dtype, name
        assert np.isfinite(vector).all(), name
        assert bool(space.contains(vector)), name


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_every_reward__is_finite_for_every_scheme(kind, episode):
    _, (agents, *_) = episode
    pieces = {name: cls() for name, cls in available_kinds()[kind].rewards.items()}

    def pay(results):
        def step(memory, result):
            both = {name: piece.reward(result, memory[name]) for name, piece in pieces.items()}
            paid = {name: jnp.asarray(value, jnp.float32) for name, (value, _) in both.items()}
            return {name: kept for name, (_, kept) in both.items()}, paid

        return jax.lax.scan(step, {name: piece.init() for name, piece in pieces.items()}, results)

    results = of_kind(agents, kind).reward_state
    in_order = jax.tree.map(lambda leaf: jnp.moveaxis(leaf, 2, 3), results)  # steps last
    _, paid = jax.jit(jax.vmap(jax.vmap(jax.vmap(pay))))(in_order)
    for name, values in paid.items():
        assert values.shape == in_order.bought.shape, name
        assert np.isfinite(values).all(), name

"""Each probe isolates one part of PPO; expected values are closed forms."""

import dataclasses
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import pytest
from marl_algos import testing
from marl_algos.learners.ippo import PPO
from marl_algos.learners.mappo import make_mappo
from marl_algos.settings import NetworkConfig, PPOConfig, TypeConfig

DISCOUNT = 0.9
SMALL = NetworkConfig(hidden=(16,))
RECURRENT = NetworkConfig(kind="gru", hidden=(16,), gru_size=16)
S5 = NetworkConfig(kind="s5", hidden=(16,), s5_size=8, s5_layers=1)
SETTINGS = PPOConfig(
    learning_rate=1e-2, discount=DISCOUNT, num_minibatches=2, max_grad_norm=10.0, entropy_coef=0.0
)


def train(env, network=SMALL, *, make=PPO, num_steps=8, num_updates=40):
    types = {name: TypeConfig(SETTINGS, network) for name in env.groups}
    ppo = make(env, types, num_envs=16, num_steps=num_steps, num_updates=num_updates)

    @jax.jit
    def run(key):
        return jax.lax.scan(
            lambda state, _: ppo.update(state, None), ppo.init(key, None), length=num_updates
        )

    state, metrics = run(jax.random.key(0))
    assert bool(jnp.all(metrics["finite"]))
    return ppo, state, metrics


def outputs(ppo, state, obs, name="agent"):
    """Value and greedy action of one type for observations [A, F] at the start of an episode."""
    obs = {k: jnp.asarray(v, jnp.float32)[None] for k, v in obs.items()}
    is_first = jnp.ones((1,), bool)

    @jax.jit
    def run(agents, obs):
        outputs = ppo.distributions(agents, obs, ppo.initial_carry(1), is_first, {})
        _, distribution, value = outputs[name]
        return value[0], distribution.mode()[0]

    return run(state.agents, obs)


class Trained(NamedTuple):
    ppo: PPO
    states: Any
    metrics: Any

    def on(self, probe):
        """What was learned on one probe, `(state, metrics)`."""
        number = PROBES.index(probe)
        return jax.tree.map(lambda x: x[number], (self.states, self.metrics))


PROBES = (
    testing.ConstantReward,
    testing.RewardIsObservation,
    testing.DelayedReward,
    testing.ActionDecides,
    testing.ObservationTimesAction,
    testing.EarlyFinish,
    testing.EndlessReward,
)


@pytest.fixture(scope="module")
def trained():
    """One program that learns on each of the probes apart."""
    env = testing.OneOf(*(probe() for probe in PROBES))
    types = {"agent": TypeConfig(SETTINGS, SMALL)}
    ppo = PPO(env, types, num_envs=16, num_steps=8, num_updates=80)
    states, metrics = testing.learn_apart(ppo)
    assert bool(jnp.all(metrics["finite"]))
    return Trained(ppo, states, metrics)


@pytest.mark.parametrize(
    ("probe", "obs", "values"),
    [
        (testing.ConstantReward, [[0.0], [0.0]], [1.0, 1.0]),
        (testing.RewardIsObservation, [[1.0], [-1.0]], [1.0, -1.0]),
        (testing.DelayedReward, [[0.0], [1.0]], [DISCOUNT, 1.0]),
        (testing.EarlyFinish, [[1.0], [1.0]], [1.0, 1.0]),
        (testing.EndlessReward, [[0.0], [0.0]], [10.0, 10.0]),  # cut, never terminal
    ],
)
def test_probe__critic_knows_the_value(trained, probe, obs, values):
    state, _ = trained.on(probe)
    value, _ = outputs(trained.ppo, state, {"agent": obs})
    assert value == pytest.approx(values, abs=0.1)


@pytest.mark.parametrize(
    ("probe", "obs", "actions"),
    [
        (testing.ActionDecides, [[0.0], [0.0]], [1, 1]),
        (testing.ObservationTimesAction, [[1.0], [-1.0]], [1, 0]),
    ],
)
def test_probe__action_that_pays_is_taken(trained, probe, obs, actions):
    state, metrics = trained.on(probe)
    _, action = outputs(trained.ppo, state, {"agent": obs})
    assert action.tolist() == actions
    assert metrics["agents"]["agent"]["episode_return"][-1] > 0.9


def test_probe__critic_explains_what_can_be_explained(trained):
    _, metrics = trained.on(testing.RewardIsObservation)
    assert metrics["agents"]["agent"]["explained_variance"][-1] > 0.95


def test_probe__pay_after_an_early_finish_is_ignored(trained):
    _, metrics = trained.on(testing.EarlyFinish)
    assert metrics["agents"]["agent"]["episode_return"][-1] == pytest.approx(1.0)
    assert metrics["agents"]["agent"]["reward_mean"][-1] == pytest.approx(1.0)


def test_probe__rewards_can_be_scaled_by_their_returns():
    config = TypeConfig(dataclasses.replace(SETTINGS, normalize_reward=True), SMALL)

    class Rich(testing.EndlessReward):
        def answer(self, state, action):
            return self.outcome(state, 1000.0 * jnp.ones(()), truncates=True)

    ppo = PPO(Rich(), {"agent": config}, num_envs=16, num_steps=8, num_updates=80)
    run = jax.jit(
        lambda key: jax.lax.scan(
            lambda state, _: ppo.update(state, None), ppo.init(key, None), length=80
        )[0]
    )
    state = run(jax.random.key(0))
    scale = float(state.agents["agent"].return_moments.rms)
    value, _ = outputs(ppo, state, {"agent": [[0.0], [0.0]]})
    assert 1000.0 < scale < 10_000.0
    assert value * scale == pytest.approx([10_000.0] * 2, rel=0.05)


@pytest.mark.parametrize("make", [PPO, make_mappo], ids=["ippo", "mappo"])
def test_probe__types_of_different_width_learn_opposite_actions(make):
    ppo, state, _ = train(testing.TwoTypes(), make=make)
    obs = {"left": [[1.0, 0.0]] * 2, "right": [[0.0, 0.0, 1.0]]}
    value_left, action_left = outputs(ppo, state, obs, "left")
    value_right, action_right = outputs(ppo, state, obs, "right")
    assert action_left.tolist() == [1, 1]
    assert action_right.tolist() == [0]
    assert value_left == pytest.approx([1.0, 1.0], abs=0.1)
    assert value_right == pytest.approx([1.0], abs=0.1)


@pytest.mark.parametrize("network", [RECURRENT, S5], ids=["gru", "s5"])
def test_probe__memory_is_learned_with_recurrence(network):
    _, _, metrics = train(testing.Memory(), network, num_updates=80)
    assert metrics["agents"]["agent"]["episode_return"][-5:].mean() > 0.9


def test_probe__memory_is_out_of_reach_without_recurrence():
    _, _, metrics = train(testing.Memory(), SMALL)
    assert abs(metrics["agents"]["agent"]["episode_return"][-5:].mean()) < 0.3


@pytest.mark.parametrize("network", [SMALL, RECURRENT, S5], ids=["feed_forward", "gru", "s5"])
def test_first_minibatch__ratio_is_one(network):
    _, _, metrics = train(testing.Memory(), network, num_steps=6, num_updates=5)
    assert metrics["agents"]["agent"]["first_ratio_error"] == pytest.approx([0.0] * 5, abs=1e-5)
    assert metrics["agents"]["agent"]["clip_fraction"].max() > 0.0

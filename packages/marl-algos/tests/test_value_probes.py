"""Probes of Q-learning, alone and mixed; expected values are closed forms."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from marl_algos import testing
from marl_algos.learners.dqn import DQN
from marl_algos.learners.value_mixing import make_qmix, make_vdn
from marl_algos.settings import NetworkConfig, TypeConfig
from marl_algos.settings_replay import DQNConfig, MixingConfig

DISCOUNT = 0.9
SMALL = NetworkConfig(hidden=(16,))
RECURRENT = NetworkConfig(kind="gru", hidden=(16,), gru_size=16)
SETTINGS = {
    "learning_rate": 5e-3,
    "final_learning_rate": 0.1,
    "discount": DISCOUNT,
    "batch_size": 64,
    "buffer_size": 4096,
    "learning_starts": 128,
    "num_gradient_steps": 8,
    "target_rate": 0.1,
    "epsilon_end": 0.2,
    "epsilon_fraction": 0.5,
}


def train(env, make=DQN, network=SMALL, *, num_steps=8, num_updates=60, **changes):
    settings = (DQNConfig if make is DQN else MixingConfig)(**{**SETTINGS, **changes})
    types = {name: TypeConfig(settings, network) for name in env.groups}
    learner = make(env, types, num_envs=16, num_steps=num_steps, num_updates=num_updates)

    @jax.jit
    def run(key):
        return jax.lax.scan(
            lambda state, _: learner.update(state, None),
            learner.init(key, None),
            length=num_updates,
        )

    state, metrics = run(jax.random.key(0))
    assert bool(jnp.all(metrics["finite"]))
    return learner, state, metrics


def values_of(learner, state, obs, name="agent"):
    """Action values [A, n] of one type for observations [A, F] at the start of an episode."""
    network, agent = learner.networks[name], state.agents[name]
    obs = jnp.asarray(obs, jnp.float32)[None, None]
    carry = learner.initial_carry(1)[name]
    return network.apply(agent.params, carry, obs, jnp.ones(obs.shape[:-1], bool))[1][0, 0]


PROBES = (
    testing.ConstantReward,
    testing.RewardIsObservation,
    testing.DelayedReward,
    testing.ObservationTimesAction,
    testing.EarlyFinish,
    testing.EndlessReward,
)
VARIANTS = {
    "plain": {"n_step": 1, "double": False, "dueling": False},
    "double, dueling": {"n_step": 3, "double": True, "normalize_reward": True},
}


class Trained(NamedTuple):
    learner: DQN
    states: Any
    metrics: Any

    def on(self, probe):
        """What was learned on one probe, `(state, metrics)`."""
        number = PROBES.index(probe)
        return jax.tree.map(lambda x: x[number], (self.states, self.metrics))


@pytest.fixture(scope="module", params=VARIANTS)
def trained(request):
    """One program that learns on each of the probes apart."""
    env = testing.OneOf(*(probe() for probe in PROBES))
    settings = DQNConfig(**{**SETTINGS, **VARIANTS[request.param]})
    types = {"agent": TypeConfig(settings, SMALL)}
    learner = DQN(env, types, num_envs=16, num_steps=8, num_updates=150)
    states, metrics = testing.learn_apart(learner)
    assert bool(jnp.all(metrics["finite"]))
    return Trained(learner, states, metrics)


@pytest.mark.parametrize(
    ("probe", "obs", "values"),
    [
        (testing.ConstantReward, [[0.0], [0.0]], [[1.0, 1.0], [1.0, 1.0]]),
        (testing.RewardIsObservation, [[1.0], [-1.0]], [[1.0, 1.0], [-1.0, -1.0]]),
        (testing.DelayedReward, [[0.0], [1.0]], [[DISCOUNT] * 2, [1.0] * 2]),
        (testing.ObservationTimesAction, [[1.0], [-1.0]], [[-1.0, 1.0], [1.0, -1.0]]),
        (testing.EarlyFinish, [[1.0], [1.0]], [[1.0, 1.0], [1.0, 1.0]]),
        (testing.EndlessReward, [[0.0], [0.0]], [[10.0] * 2, [10.0] * 2]),  # cut, never terminal
    ],
)
def test_probe__action_values_are_known(trained, probe, obs, values):
    state, _ = trained.on(probe)
    is_scaled = trained.learner.types["agent"].settings.normalize_reward
    scale = state.agents["agent"].return_moments.rms if is_scaled else 1.0
    learned = values_of(trained.learner, state, obs) * scale
    np.testing.assert_allclose(learned, np.array(values), atol=0.1 * max(1.0, np.abs(values).max()))


def test_probe__best_action_is_taken(trained):
    state, _ = trained.on(testing.ObservationTimesAction)
    moves = trained.learner.play(
        state.agents,
        {"agent": jax.random.key(0)},
        {"agent": jnp.array([[[1.0], [-1.0]]])},
        trained.learner.initial_carry(1),
        jnp.ones(1, bool),
        greedy=True,
    )
    assert moves["agent"].action.tolist() == [[1, 0]]


def test_probe__pay_after_an_early_finish_is_ignored(trained):
    _, metrics = trained.on(testing.EarlyFinish)
    assert metrics["agents"]["agent"]["episode_return"][-1] == pytest.approx(1.0)


def test_probe__types_of_different_width_learn_opposite_actions():
    learner, state, _ = train(testing.TwoTypes(), num_updates=80)
    left = values_of(learner, state, [[1.0, 0.0]] * 2, "left")
    right = values_of(learner, state, [[0.0, 0.0, 1.0]], "right")
    np.testing.assert_allclose(left, np.array([[-1.0, 1.0]] * 2), atol=0.1)
    np.testing.assert_allclose(right, np.array([[1.0, 0.0, -1.0]]), atol=0.1)


@pytest.mark.parametrize("make", [make_vdn, make_qmix])
def test_probe__a_team_of_two_types_earns_all_it_can(make):
    learner, state, _ = train(testing.TwoTypes(), make, num_updates=100)
    left = values_of(learner, state, [[1.0, 0.0]] * 2, "left")
    right = values_of(learner, state, [[0.0, 0.0, 1.0]], "right")
    assert jnp.argmax(left, axis=-1).tolist() == [1, 1]
    assert jnp.argmax(right, axis=-1).tolist() == [0]


@pytest.mark.parametrize("n_step", [1, 2])
def test_probe__memory_is_learned_with_recurrence(n_step):
    _, _, metrics = train(
        testing.Memory(), network=RECURRENT, num_updates=150, n_step=n_step, epsilon_end=0.0
    )
    assert metrics["agents"]["agent"]["episode_return"][-5:].mean() > 0.9


def test_metrics__are_missing_before_learning_starts():
    _, _, metrics = train(testing.ConstantReward(), num_updates=4, learning_starts=300)
    assert jnp.isnan(metrics["agents"]["agent"]["loss"]).tolist() == [True, True, False, False]


def test_target__starts_as_a_copy_and_moves_when_due():
    env = testing.ActionDecides()
    changes = {"target_rate": 1.0, "target_every": 8, "num_gradient_steps": 4}
    settings = DQNConfig(**{**SETTINGS, **changes, "learning_starts": 1})
    learner = DQN(
        env, {"agent": TypeConfig(settings, SMALL)}, num_envs=8, num_steps=8, num_updates=4
    )
    start = jax.jit(learner.init, static_argnums=1)(jax.random.key(0), None)
    agent = start.agents["agent"]
    assert jax.tree.all(jax.tree.map(jnp.array_equal, agent.params, agent.target))
    update = jax.jit(learner.update, static_argnums=1)
    first, _ = update(start, None)
    assert jax.tree.all(jax.tree.map(jnp.array_equal, agent.target, first.agents["agent"].target))
    second, _ = update(first, None)
    after = second.agents["agent"]
    assert jax.tree.all(jax.tree.map(jnp.allclose, after.target, after.params))
    assert not jax.tree.all(jax.tree.map(jnp.allclose, after.target, agent.target))


def test_explore__share_of_random_actions_falls_linearly_and_then_stays():
    settings = DQNConfig(epsilon_start=0.8, epsilon_end=0.2, epsilon_fraction=0.5)
    env = testing.ActionDecides()
    learner = DQN(
        env, {"agent": TypeConfig(settings, SMALL)}, num_envs=4000, num_steps=1, num_updates=1
    )
    key = jax.random.key(0)
    obs = {"agent": jnp.zeros((4000, 2, 1))}
    agents, _ = learner.init_agents(key, obs)
    state = (obs, learner.initial_carry(4000), jnp.ones(4000, bool))
    best = learner.play(agents, {"agent": key}, *state, greedy=True)["agent"].action[0, 0]
    explore = jax.jit(
        lambda progress: learner.explore(agents, progress, {"agent": key}, *state, {})
    )
    for progress, epsilon in ((0.0, 0.8), (0.25, 0.5), (0.5, 0.2), (1.0, 0.2)):
        actions = explore(jnp.asarray(progress))["agent"].action
        assert float(jnp.mean(actions != best)) == pytest.approx(epsilon / 2.0, abs=0.03)
    sampled = learner.play(agents, {"agent": key}, *state, greedy=False)["agent"].action
    assert float(jnp.mean(sampled != best)) == pytest.approx(0.1, abs=0.03)


@pytest.mark.parametrize(
    ("changes", "message"),
    [({"n_step": 9}, "n_step is 9; it must be <= algo.num_steps = 8"), ({}, "MixingConfig")],
)
def test_learner__refuses_what_does_not_fit(changes, message):
    make = DQN if changes else make_vdn
    settings = DQNConfig(**changes)
    with pytest.raises(ValueError, match=message):
        make(
            testing.Memory(),
            {"agent": TypeConfig(settings, SMALL)},
            num_envs=1,
            num_steps=8,
            num_updates=1,
        )


def test_mixing__refuses_settings_that_differ_by_type():
    types = {
        "left": TypeConfig(MixingConfig(), SMALL),
        "right": TypeConfig(MixingConfig(discount=0.5), SMALL),
    }
    with pytest.raises(ValueError, match="discount must be equal"):
        make_qmix(testing.TwoTypes(), types, num_envs=1, num_steps=1, num_updates=1)

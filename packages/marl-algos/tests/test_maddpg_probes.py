"""Probes of MADDPG with discrete, multi-discrete and continuous actions."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from marl_algos import testing
from marl_algos.learners.maddpg import MADDPG
from marl_algos.networks.action_codes import ActionCode
from marl_algos.settings import NetworkConfig, TypeConfig
from marl_algos.settings_replay import MADDPGConfig
from marl_envs.spaces import Box, Discrete, MultiDiscrete

SMALL = NetworkConfig(hidden=(32,), activation="relu")
SETTINGS = {
    "learning_rate": 5e-3,
    "actor_learning_rate": 5e-3,
    "discount": 0.9,
    "batch_size": 64,
    "buffer_size": 4096,
    "learning_starts": 128,
    "num_gradient_steps": 8,
    "target_rate": 0.1,
    "max_grad_norm": 10.0,
}


class Spaces(testing.ObservationTimesAction):
    """The cue tells which action pays, in any space: 1 for the right one, less for others."""

    def __init__(self, space):
        super().__init__()
        self.space = space

    @property
    def groups(self):
        group = super().groups["agent"]
        return {"agent": testing.ProbeGroup(2, group.observation_space, self.space)}

    def answer(self, state, action):
        if isinstance(self.space, Box):
            target = jnp.array([0.5, -0.5]) * state.cue[:, None]
            return self.outcome(state, 1.0 - jnp.sum((action - target) ** 2, axis=-1))
        if isinstance(self.space, MultiDiscrete):
            up = (action[:, 0] == 1) * 0.5 + (action[:, 1] == 2) * 0.5
            down = (action[:, 0] == 0) * 0.5 + (action[:, 1] == 0) * 0.5
            return self.outcome(state, jnp.where(state.cue > 0.0, up, down))
        return super().answer(state, action)


def train(env, *, num_updates=80, **changes):
    config = TypeConfig(MADDPGConfig(**{**SETTINGS, **changes}), SMALL)
    types = dict.fromkeys(env.groups, config)
    learner = MADDPG(env, types, num_envs=16, num_steps=8, num_updates=num_updates)

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


def greedy(learner, state, obs):
    obs = {name: jnp.asarray(x, jnp.float32)[None] for name, x in obs.items()}
    keys = {name: jax.random.key(0) for name in obs}
    carry = learner.initial_carry(1)
    moves = learner.play(state.agents, keys, obs, carry, jnp.ones(1, bool), greedy=True)
    return {name: move.action[0] for name, move in moves.items()}


@pytest.mark.parametrize("per_agent", [False, True])
def test_probe__discrete_action_depends_on_the_observation(per_agent):
    learner, state, metrics = train(Spaces(Discrete(2)), per_agent=per_agent)
    assert greedy(learner, state, {"agent": [[1.0], [-1.0]]})["agent"].tolist() == [1, 0]
    assert metrics["agents"]["agent"]["episode_return"][-5:].mean() > 0.9
    kernel = jax.tree.leaves(state.agents["agent"].online.actor)[-1]
    assert (kernel.ndim == 3) is per_agent


def test_probe__independent_choices_are_each_learned():
    learner, state, _ = train(Spaces(MultiDiscrete((2, 3))), num_updates=120)
    assert greedy(learner, state, {"agent": [[1.0], [-1.0]]})["agent"].tolist() == [[1, 2], [0, 0]]


def test_probe__point_in_a_box_is_found():
    learner, state, _ = train(Spaces(Box(-1.0, 1.0, (2,))), num_updates=120, noise=0.3)
    action = greedy(learner, state, {"agent": [[1.0], [-1.0]]})["agent"]
    np.testing.assert_allclose(action, [[0.5, -0.5], [-0.5, 0.5]], atol=0.1)


def test_probe__types_of_different_width_learn_opposite_actions():
    learner, state, _ = train(testing.TwoTypes())
    obs = {"left": [[1.0, 0.0]] * 2, "right": [[0.0, 0.0, 1.0]]}
    action = greedy(learner, state, obs)
    assert action["left"].tolist() == [1, 1]
    assert action["right"].tolist() == [0]


def test_probe__critic_knows_the_value():
    env = testing.OneOf(testing.ConstantReward(), testing.EarlyFinish(), testing.EndlessReward())
    changes = {"learning_starts": 512, "normalize_reward": True}
    config = TypeConfig(MADDPGConfig(**{**SETTINGS, **changes}), SMALL)
    learner = MADDPG(env, {"agent": config}, num_envs=16, num_steps=8, num_updates=150)
    state, metrics = testing.learn_apart(learner)
    assert bool(jnp.all(metrics["finite"]))
    scale = state.agents["agent"].return_moments.rms
    learned = metrics["agents"]["agent"]["value_mean"][:, -1] * scale
    np.testing.assert_allclose(learned, [1.0, 1.0, 10.0], rtol=0.1)


def test_targets__start_as_copies():
    env = testing.TwoTypes()
    config = TypeConfig(MADDPGConfig(**SETTINGS), SMALL)
    learner = MADDPG(env, dict.fromkeys(env.groups, config), num_envs=2, num_steps=2, num_updates=1)
    state = jax.jit(learner.init, static_argnums=1)(jax.random.key(0), None)
    for agent in state.agents.values():
        assert jax.tree.all(jax.tree.map(jnp.array_equal, agent.online, agent.target))


@pytest.mark.parametrize(
    ("space", "action"),
    [
        (Discrete(3), jnp.array([2, 0])),
        (MultiDiscrete((2, 3)), jnp.array([[1, 2], [0, 0]])),
        (Box(0.0, 4.0, (2,)), jnp.array([[0.0, 4.0], [1.0, 2.0]])),
    ],
)
def test_action_code__raw_numbers_far_apart_give_back_the_action(space, action):
    code = ActionCode(space)
    coded = code.encode(action)
    assert coded.shape == (2, code.size)
    raw = 50.0 * coded if code.choices else jnp.arctanh(jnp.clip(coded, -0.9999, 0.9999))
    np.testing.assert_allclose(code.mode(raw, None), action, atol=1e-3)
    np.testing.assert_allclose(code.sample(jax.random.key(0), raw, None, 0.0), action, atol=1e-3)
    relaxed = code.relax(jax.random.key(0), raw, None, 1.0)
    np.testing.assert_allclose(relaxed, coded, atol=1e-3)


def test_action_code__gradient_of_a_choice_is_that_of_the_softmax():
    code = ActionCode(Discrete(3))
    raw = jnp.array([0.3, -0.2, 0.1])
    noise = jax.random.gumbel(jax.random.split(jax.random.key(0), 1)[0], (3,))
    weights = jnp.array([1.0, 2.0, 5.0])
    ours = jax.grad(lambda x: code.relax(jax.random.key(0), x, None, 0.7) @ weights)(raw)
    soft = jax.grad(lambda x: jax.nn.softmax((x + noise) / 0.7) @ weights)(raw)
    np.testing.assert_allclose(ours, soft, rtol=1e-5)
    drawn = code.relax(jax.random.key(0), raw, jnp.array([True, False, False]), 1.0)
    assert drawn.tolist() == [1.0, 0.0, 0.0]


def test_maddpg__refuses_recurrent_networks():
    config = TypeConfig(MADDPGConfig(), NetworkConfig(kind="gru"))
    with pytest.raises(ValueError, match=r"'gru'.*feed_forward"):
        MADDPG(testing.Memory(), {"agent": config}, num_envs=1, num_steps=4, num_updates=1)

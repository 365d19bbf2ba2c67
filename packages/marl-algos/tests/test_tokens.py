"""Observations that are tokens: the order of their numbers means nothing."""

import jax
import jax.numpy as jnp
import pytest
from marl_algos import testing
from marl_algos.learners.registry import LEARNERS, make_learner
from marl_algos.settings import NetworkConfig, TypeConfig
from marl_envs.spaces import MultiDiscrete

SMALL = NetworkConfig(hidden=(16,), embedding_size=4)
REPLAY = {"learning_starts": 128, "num_gradient_steps": 8, "batch_size": 64, "buffer_size": 4096}


class Tokens(testing.ObservationTimesAction):
    """The cue is told by a token, 2 or 5 among others; the other entry is always 0."""

    @property
    def groups(self):
        group = super().groups["agent"]
        space = MultiDiscrete((7, 7))
        return {"agent": testing.ProbeGroup(self.num_agents, space, group.action_space)}

    def observe(self, state):
        token = jnp.where(state.cue > 0.0, 2, 5)
        return jnp.stack([token, jnp.zeros_like(token)], axis=-1)


@pytest.mark.parametrize(
    ("name", "settings"),
    [("ippo", {"num_minibatches": 2, "entropy_coef": 0.0}), ("dqn", REPLAY)],
)
def test_tokens__tell_which_action_pays(name, settings):
    settings = LEARNERS[name].settings(**settings, learning_rate=1e-2, normalize_obs=True)
    types = {"agent": TypeConfig(settings, SMALL)}
    learner = make_learner(name, Tokens(), types, num_envs=16, num_steps=8, num_updates=40)

    @jax.jit
    def run(key):
        return jax.lax.scan(
            lambda state, _: learner.update(state, None), learner.init(key, None), length=40
        )

    _, metrics = run(jax.random.key(0))
    assert metrics["agents"]["agent"]["episode_return"][-3:].mean() > 0.85


@pytest.mark.parametrize("name", ["mappo", "qmix", "maddpg"])
def test_tokens__are_refused_by_learners_that_put_observations_side_by_side(name):
    types = {"agent": TypeConfig(LEARNERS[name].settings(), SMALL)}
    with pytest.raises(ValueError, match="'agent' see tokens"):
        make_learner(name, Tokens(), types, num_envs=4, num_steps=4, num_updates=1)

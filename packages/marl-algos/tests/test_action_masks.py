"""Actions that are not allowed are never taken, by any learner, and bootstrapped from by none."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from marl_algos.learners.dqn import best_action
from marl_algos.learners.registry import LEARNERS, make_learner
from marl_algos.networks import Categorical, MultiCategorical, TanhNormal, restrict
from marl_algos.settings import NetworkConfig, TypeConfig
from marl_algos.testing import MaskedActions

REPLAY = {
    "learning_rate": 5e-3,
    "batch_size": 64,
    "buffer_size": 4096,
    "learning_starts": 128,
    "num_gradient_steps": 8,
    "target_rate": 0.1,
    "discount": 0.9,
}
SETTINGS = {
    "ippo": {"learning_rate": 1e-2, "num_minibatches": 2, "discount": 0.9, "entropy_coef": 0.0},
    "dqn": REPLAY,
    "maddpg": {**REPLAY, "actor_learning_rate": 5e-3, "max_grad_norm": 10.0},
}


@pytest.mark.parametrize("name", SETTINGS)
def test_masks__only_what_is_allowed_is_done_while_learning_and_after(name):
    env = MaskedActions()
    config = TypeConfig(LEARNERS[name].settings(**SETTINGS[name]), NetworkConfig(hidden=(32,)))
    learner = make_learner(name, env, {"agent": config}, num_envs=16, num_steps=8, num_updates=60)
    cue = jnp.array([[1.0, -1.0]])
    obs = {"agent": jnp.stack([cue, jnp.zeros_like(cue)], axis=-1)}
    legal = {"agent": jnp.array([[[True, True, False], [False, False, False]]])}

    @jax.jit
    def run(key):
        state, metrics = jax.lax.scan(
            lambda state, _: learner.update(state, None), learner.init(key, None), length=60
        )
        first = jnp.ones(1, bool)
        moves = [
            learner.play(
                state.agents,
                {"agent": key},
                obs,
                learner.initial_carry(1),
                first,
                greedy=greedy,
                legal=legal,
            )["agent"].action
            for greedy in (True, False)
        ]
        return metrics, moves

    metrics, (best, sampled) = run(jax.random.key(0))
    numbers = metrics["agents"]["agent"]
    assert metrics["finite"].all()
    assert numbers["reward_mean"].min() >= 0.0
    assert best.tolist() == [[1, 0]]
    assert sampled[0, 1] == 0
    assert numbers["reward_mean"][-5:].mean() == pytest.approx(0.5, abs=0.1)
    if name == "ippo":
        np.testing.assert_allclose(numbers["first_ratio_error"], 0.0, atol=1e-5)


def test_best_action__is_the_best_allowed_one():
    values = jnp.array([[1.0, 5.0, 9.0], [1.0, 5.0, 9.0], [1.0, 5.0, 9.0]])
    legal = jnp.array([[True, True, False], [False, False, False], [True, True, True]])
    assert best_action(values, legal).tolist() == [1, 0, 2]
    assert best_action(values, None).tolist() == [2, 2, 2]


def test_restrict__independent_choices_have_masks_one_after_the_other():
    both = MultiCategorical((Categorical(jnp.zeros(2)), Categorical(jnp.zeros(3))))
    allowed = restrict(both, jnp.array([False, True, True, False, True]))
    assert allowed.entropy() == pytest.approx(np.log(2.0), rel=1e-5)
    draws = jax.vmap(allowed.sample)(jax.random.split(jax.random.key(0), 200))
    assert set(map(tuple, draws.tolist())) == {(1, 0), (1, 2)}


def test_restrict__refuses_real_numbers():
    with pytest.raises(ValueError, match="TanhNormal"):
        restrict(TanhNormal(jnp.zeros(1), jnp.ones(1)), jnp.ones(1, bool))

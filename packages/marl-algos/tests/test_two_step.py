"""The game that tells additive from monotonic value factorization."""

import jax
import jax.numpy as jnp
import pytest
from marl_algos.learners.value_mixing import make_qmix, make_vdn
from marl_algos.settings import NetworkConfig, TypeConfig
from marl_algos.settings_replay import MixingConfig
from marl_envs.games.two_step import TwoStep

SETTINGS = MixingConfig(
    learning_rate=5e-3,
    final_learning_rate=0.1,
    discount=0.99,
    batch_size=128,
    buffer_size=8192,
    learning_starts=128,
    num_gradient_steps=8,
    target_rate=0.05,
    epsilon_end=1.0,
    mixer_size=8,
    hypernet_size=16,
)


@pytest.mark.parametrize(("make", "expected"), [(make_qmix, 8.0), (make_vdn, 7.0)])
def test_two_step__qmix_finds_the_best_return_and_vdn_the_safe_one(make, expected):
    env, num_updates = TwoStep(), 300
    types = {"agent": TypeConfig(SETTINGS, NetworkConfig(hidden=(32,), activation="relu"))}
    learner = make(env, types, num_envs=16, num_steps=2, num_updates=num_updates)

    @jax.jit
    def run(key):
        state, metrics = jax.lax.scan(
            lambda state, _: learner.update(state, None),
            learner.init(key, None),
            length=num_updates,
        )
        obs, place = env.reset_env(key, None)
        total = 0.0
        for step in range(2):
            moves = learner.play(
                state.agents,
                {"agent": key},
                {"agent": obs["agent"][None]},
                learner.initial_carry(1),
                jnp.full((1,), step == 0),
                greedy=True,
            )
            action = {"agent": moves["agent"].action[0]}
            obs, place, reward, *_ = env.step_env(key, place, action, None)
            total += reward["agent"][0]
        return total, metrics["finite"]

    for seed in range(2):
        earned, finite = run(jax.random.key(seed))
        assert finite.all()
        assert earned == expected

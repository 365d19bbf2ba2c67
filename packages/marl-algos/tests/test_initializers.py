"""Orthogonal weights of many seeds."""

import os
import re
import subprocess
import sys

import flax.linen as nn
import jax
import numpy as np
import pytest
from marl_algos import NetworkConfig, TypeConfig
from marl_algos.learners.registry import LEARNERS, make_learner
from marl_algos.networks.initializers import orthogonal
from marl_envs.games.matrix import matching_pennies

DECOMPOSED = re.compile(r"f32\[([\d,]+)\] \S+ = qr\[")
SEVERAL_SEEDS = """
import jax
from marl_algos.networks.initializers import orthogonal

def layers(key):
    return [orthogonal()(k, (64, 64)) for k in jax.random.split(key, 6)]

draw = jax.jit(jax.vmap(layers))
for seed in range(20):
    jax.block_until_ready(draw(jax.random.split(jax.random.key(seed), 4)))
"""


@pytest.mark.parametrize("shape", [(3, 5), (5, 3), (4, 4)])
def test_orthogonal__draws_what_flax_draws_alone_and_for_seeds(shape):
    ours, flax = orthogonal(0.5), nn.initializers.orthogonal(0.5)
    keys = jax.random.split(jax.random.key(0), (2, 3))
    for key in keys.ravel():
        np.testing.assert_array_equal(ours(key, shape), flax(key, shape))
    drawn = jax.jit(jax.vmap(jax.vmap(lambda key: ours(key, shape))))(keys)
    expected = jax.vmap(jax.vmap(lambda key: flax(key, shape)))(keys)
    np.testing.assert_allclose(drawn, expected, atol=1e-6)


def test_orthogonal__of_several_seeds_ends_under_the_scheduler_that_flax_hangs_under():
    environment = {**os.environ, "XLA_FLAGS": "", "JAX_PLATFORMS": "cpu"}
    subprocess.run([sys.executable, "-c", SEVERAL_SEEDS], env=environment, timeout=90, check=True)


@pytest.mark.parametrize(
    ("name", "kind"),
    [("ippo", "gru"), ("mappo", "feed_forward"), ("dqn", "gru"), ("maddpg", "feed_forward")],
)
def test_learners__decompose_one_matrix_after_the_other(name, kind):
    network = NetworkConfig(kind=kind, hidden=(8, 8), gru_size=8)
    config = TypeConfig(LEARNERS[name].settings(), network)
    env = matching_pennies()
    types = dict.fromkeys(env.groups, config)
    learner = make_learner(name, env, types, num_envs=4, num_steps=4, num_updates=2)
    keys = jax.random.split(jax.random.key(0), 3)
    program = str(jax.make_jaxpr(jax.vmap(lambda key: learner.init(key, None)))(keys))
    shapes = DECOMPOSED.findall(program)
    assert len(shapes) > 2
    assert {shape.count(",") for shape in shapes} == {1}

"""Several devices, and several processes, learn what one device learns."""

import json
import os
import socket
import subprocess
import sys

import jax
import numpy as np
import pytest
from marl_algos.learners.ippo import PPO
from marl_algos.settings import NetworkConfig, PPOConfig, TypeConfig
from marl_algos.testing import ObservationTimesAction
from marl_algos.training.sharding import DataParallel, make_mesh

PROGRAM = """
import importlib.util, json, sys
from marl_algos.training.sharding import join_processes
join_processes(sys.argv[1], 2, int(sys.argv[2]))
spec = importlib.util.spec_from_file_location("test_sharding", sys.argv[3])
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
print(json.dumps(module.learn(2)))
"""


def learn(num_devices):
    """Three updates; what was learned, and where it was."""
    config = TypeConfig(PPOConfig(learning_rate=1e-2, num_epochs=2), NetworkConfig(hidden=(8,)))
    env = ObservationTimesAction()
    learner = PPO(env, {"agent": config}, num_envs=8, num_steps=4, num_updates=20)
    key = jax.random.key(0)
    parallel = DataParallel(learner, make_mesh(num_devices), key, None)
    state = parallel.init(key, None)
    losses = []
    for _ in range(3):
        state, metrics = parallel.update(state, None)
        losses.append(float(metrics["agents"]["agent"]["loss"]))
    obs = state.rollout.obs["agent"]
    return {
        "processes": jax.process_count(),
        "shards": len(obs.sharding.device_set),
        "rows": obs.addressable_shards[0].data.shape[0],
        "first_loss": losses[0],
        "weights": [
            float(np.asarray(leaf.addressable_shards[0].data).sum())
            for leaf in jax.tree.leaves(state.agents["agent"].params)
        ],
    }


def start(*arguments):
    flags = os.environ.get("XLA_FLAGS", "").split()
    flags = [flag for flag in flags if "device_count" not in flag]
    environment = {**os.environ, "JAX_PLATFORMS": "cpu", "XLA_FLAGS": " ".join(flags)}
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, *arguments, __file__],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def result(process):
    output, error = process.communicate(timeout=200)
    assert process.returncode == 0, error[-3000:]
    return json.loads(output.strip().splitlines()[-1])


@pytest.fixture(scope="module")
def alone():
    return learn(1)


def test_devices__share_the_environments_and_learn_the_same(alone):
    found = learn(4)
    assert (found["shards"], found["rows"]) == (4, 2)
    assert found["first_loss"] == pytest.approx(alone["first_loss"], abs=1e-5)
    assert found["weights"] == pytest.approx(alone["weights"], abs=1e-3)


def test_processes__share_the_environments_and_learn_the_same(alone):
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        address = f"localhost:{probe.getsockname()[1]}"
    both = [start(address, str(number)) for number in (0, 1)]
    for process in both:
        found = result(process)
        assert (found["shards"], found["processes"], found["rows"]) == (2, 2, 4)
        assert found["first_loss"] == pytest.approx(alone["first_loss"], abs=1e-5)
        assert found["weights"] == pytest.approx(alone["weights"], abs=1e-3)

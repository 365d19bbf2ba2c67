"""Training as a GPU would get it: one program that never turns to the host."""

import re
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from lob_core import engine
from lob_core.backends import pallas_gpu
from lob_core.testing.programs import TRITON, count_branches, custom_calls, lower_for_cuda
from marl_algos import NetworkConfig, PPOConfig, TypeConfig, make_learner, testing
from marl_algos.settings_replay import DQNConfig
from marl_envs import AgentSpec, EnvConfig, MarketEnv, batching
from marl_envs.testing import record_windows

pytestmark = pytest.mark.filterwarnings("ignore:The Pallas Triton backend is deprecated")


def ppo_on(env, precision="float32"):
    network = NetworkConfig(hidden=(8,), precision=precision)
    types = {name: TypeConfig(PPOConfig(num_epochs=1), network) for name in env.groups}
    return make_learner("ippo", env, types, num_envs=4, num_steps=4, num_updates=3)


def test_update__is_one_program_and_moves_nothing_between_host_and_device():
    learner = ppo_on(testing.Memory(num_steps=3))
    state = jax.jit(learner.init)(jax.random.key(0), None)
    update = jax.jit(learner.update, donate_argnums=0)
    state, _ = update(state, None)
    with jax.transfer_guard("disallow"):
        for _ in range(2):
            state, metrics = update(state, None)
        jax.block_until_ready(metrics)
        with pytest.raises(Exception, match=r"[Dd]isallowed host-to-device transfer"):
            jnp.add(metrics["episodes"], 1.5)
    assert update._cache_size() == 1
    assert bool(metrics["finite"])


def test_update__lowers_for_cuda_with_one_kernel_a_step_and_without_branches(monkeypatch):
    """Rollout, advantages and gradient steps; prepared data are arguments of 16 bytes a message."""
    device = types.SimpleNamespace(platform="gpu")
    monkeypatch.setattr(engine, "local_devices", lambda: [device])
    monkeypatch.setattr(pallas_gpu, "is_available", lambda: True)
    monkeypatch.setattr(batching, "prefers_branches", lambda: False)
    agents = (AgentSpec("market_maker"), AgentSpec("execution"))
    env = MarketEnv(EnvConfig(agents=agents, num_steps=4, messages_per_step=4, num_slots=16))
    learner = ppo_on(env, "bfloat16")
    params = env.make_params(record_windows(env.config, 4, 2))
    state = jax.eval_shape(learner.init, jax.random.key(0), params)
    program = lower_for_cuda(learner.update, state, params)
    assert custom_calls(program) == [TRITON]
    assert count_branches(program) == 0
    assert "bf16" in program
    length = params.background.windows.packed.shape[0]
    assert re.search(rf"%arg\d+: tensor<{length}x4xi32>", program)


def test_replay_update__without_branches_is_the_same(monkeypatch):
    """The first update waits for `learning_starts`, the second learns."""
    settings = DQNConfig(buffer_size=64, learning_starts=32, num_gradient_steps=2, batch_size=8)
    env = testing.ActionDecides()
    types = {"agent": TypeConfig(settings, NetworkConfig(hidden=(8,)))}
    learner = make_learner("dqn", env, types, num_envs=4, num_steps=4, num_updates=4)
    start = jax.jit(learner.init)(jax.random.key(0), None)
    found, branches = [], []
    for prefers in (True, False):
        monkeypatch.setattr(batching, "prefers_branches", lambda prefers=prefers: prefers)
        lowered = jax.jit(lambda state: learner.update(state, None)).lower(start)
        branches.append(count_branches(lowered.as_text()))
        update, state, losses = lowered.compile(), start, []
        for _ in range(2):
            state, metrics = update(state)
            losses.append(metrics["agents"]["agent"]["loss"])
        found.append((state.agents, losses))
    assert branches[0] > 0
    assert branches[1] == 0
    assert [bool(jnp.isnan(loss)) for loss in found[0][1]] == [True, False]
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), *found)

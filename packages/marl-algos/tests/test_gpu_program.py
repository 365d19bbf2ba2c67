"""Training as a GPU would get it: one program that never turns to the host."""

import re
import types

import jax
import jax.numpy as jnp
import pytest
from lob_core import engine
from lob_core.backends import pallas_gpu
from lob_core.testing.programs import TRITON, count_branches, custom_calls, lower_for_cuda
from marl_algos import NetworkConfig, PPOConfig, TypeConfig, make_learner, rollout, testing
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
    for module in (rollout, batching):
        monkeypatch.setattr(module, "prefers_branches", lambda: False)
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

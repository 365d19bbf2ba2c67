"""What a GPU would be given, seen on a machine without one: the lowered program and its sizes."""

import re
import types

import jax
import jax.numpy as jnp
import pytest
from lob_core import engine
from lob_core.backends import pallas_gpu
from lob_core.testing.programs import TRITON, count_branches, custom_calls, lower_for_cuda
from marl_envs import AgentSpec, EnvConfig, MarketEnv, batching
from marl_envs.testing import record_windows, sample_actions

NUM_ENVS, NUM_STEPS = 3, 2

pytestmark = pytest.mark.filterwarnings("ignore:The Pallas Triton backend is deprecated")


def config_of(num_slots, messages_per_step=4):
    agents = (AgentSpec("market_maker"), AgentSpec("execution"))
    return EnvConfig(
        agents=agents, num_steps=4, messages_per_step=messages_per_step, num_slots=num_slots
    )


@pytest.fixture(scope="module")
def market():
    """A small market on replayed flow, and states of fresh episodes."""
    env = MarketEnv(config_of(num_slots=16))
    params = env.make_params(record_windows(env.config, 4, 2))
    keys = jax.random.split(jax.random.key(0), NUM_ENVS)
    _, state = jax.jit(jax.vmap(env.reset, (0, None)))(keys, params)
    return env, params, state


def rollout(env):
    def run(state, key, params):
        def step(state, key):
            keys = jax.random.split(key, NUM_ENVS)
            action = jax.vmap(lambda key: sample_actions(env, key))(keys)
            obs, state, reward, *_ = jax.vmap(env.step, (0, 0, 0, None))(
                keys, state, action, params
            )
            return state, (obs, reward)

        return jax.lax.scan(step, state, jax.random.split(key, NUM_STEPS))

    return run


@pytest.fixture
def pretended_gpu(monkeypatch):
    """Programs are traced as in a process that has a GPU on which the kernel works."""
    device = types.SimpleNamespace(platform="gpu")
    monkeypatch.setattr(engine, "local_devices", lambda: [device])
    monkeypatch.setattr(pallas_gpu, "is_available", lambda: True)
    monkeypatch.setattr(batching, "prefers_branches", lambda: False)


def test_gpu_program__calls_one_kernel_a_step_and_never_the_host(market, pretended_gpu):
    env, params, state = market
    program = lower_for_cuda(rollout(env), state, jax.random.key(1), params)
    assert custom_calls(program) == [TRITON]
    assert count_branches(program) == 0


def test_gpu_program__without_the_kernel_calls_nothing_foreign(market, pretended_gpu, monkeypatch):
    monkeypatch.setattr(pallas_gpu, "is_available", lambda: False)
    env, params, state = market
    program = lower_for_cuda(rollout(env), state, jax.random.key(1), params)
    assert custom_calls(program) == []
    assert count_branches(program) == 0


def test_rollout__moves_nothing_between_host_and_device(market):
    env, params, state = market
    key = jax.random.key(1)
    run = jax.jit(rollout(env)).lower(state, key, params).compile()
    with jax.transfer_guard("disallow"):
        after, _ = run(state, key, params)
        jax.block_until_ready(after)
        with pytest.raises(Exception, match=r"[Dd]isallowed host-to-device transfer"):
            jnp.add(after.market.step, 1.5)


def test_rollout__reads_recorded_messages_where_they_are_packed(market):
    """16 bytes each; no array of the program holds all messages in another form."""
    env, params, state = market
    packed = params.background.windows.packed
    assert packed.dtype == jnp.int32
    assert packed.shape[1:] == (4,)
    jaxpr = jax.make_jaxpr(rollout(env))(state, jax.random.key(1), params)
    length = packed.shape[0]
    shapes = set(re.findall(rf"\w+\[(?:\d+,)*{length}(?:,\d+)*\]", str(jaxpr)))
    assert shapes == {f"i32[{length},4]"}


def test_memory__of_65_536_environments_of_128_slots_is_less_than_300_megabytes():
    env = MarketEnv(config_of(num_slots=128))
    params = jax.eval_shape(lambda: env.make_params(num_openings=2))
    keys = jax.eval_shape(lambda: jax.random.split(jax.random.key(0), 65_536))
    _, state = jax.eval_shape(jax.vmap(env.reset, (0, None)), keys, params)
    total = sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(state))
    assert total // 65_536 <= 4_608
    assert total < 302_000_000

"""Environment steps a second, uniform random actions.

Auto-reset is on, observations and rewards of every step are kept, and the whole rollout is one
compiled call. Episodes have 64 steps; the rollout of 32 steps therefore sees an auto-reset every
second time it runs.
"""

import time

import jax
import jax.numpy as jnp
import pytest
from marl_envs import AgentSpec, EnvConfig, MarketEnv
from marl_envs.testing import sample_actions

NUM_SLOTS, NUM_STEPS, ROLLOUT, ROUNDS = 100, 64, 32, 5


def config_of(num_agents, messages_per_step):
    agents = (AgentSpec("market_maker", num_agents), AgentSpec("execution", num_agents))
    return EnvConfig(
        agents=agents,
        num_steps=NUM_STEPS,
        messages_per_step=messages_per_step,
        num_slots=NUM_SLOTS,
    )


def measure(benchmark, env, params, num_envs, **labels):
    """Benchmarks a rollout, notes its rates and checks what came out."""

    def rollout(state, key):
        def step(state, key):
            key_action, key_step = jax.random.split(key)
            action = jax.vmap(lambda key: sample_actions(env, key))(
                jax.random.split(key_action, num_envs)
            )
            obs, state, reward, _, _, info = jax.vmap(env.step, (0, 0, 0, None))(
                jax.random.split(key_step, num_envs), state, action, params
            )
            return state, (obs, reward, info["episode"]["done"], info["market"]["volume"])

        return jax.lax.scan(step, state, jax.random.split(key, ROLLOUT))

    keys = jax.random.split(jax.random.key(0), num_envs)
    _, state = jax.jit(jax.vmap(env.reset, (0, None)))(keys, params)
    start = time.perf_counter()
    compiled = jax.jit(rollout).lower(state, jax.random.key(1)).compile()
    compile_seconds = time.perf_counter() - start
    state, _ = compiled(state, jax.random.key(1))

    def run():
        return jax.block_until_ready(compiled(state, jax.random.key(2)))

    final, (obs, reward, done, volume) = benchmark.pedantic(run, rounds=ROUNDS, warmup_rounds=1)
    steps = num_envs * ROLLOUT
    num_messages = params.background.num_messages
    benchmark.extra_info.update(
        env_steps_per_second=round(steps / benchmark.stats["median"]),
        messages_per_second=round(steps * num_messages / benchmark.stats["median"]),
        num_envs=num_envs,
        num_slots=env.config.num_slots,
        agents=" + ".join(f"{t.num_agents} {t.kind}" for t in env.types),
        bytes_per_env=sum(leaf.nbytes for leaf in jax.tree.leaves(state)) // num_envs,
        compile_seconds=round(compile_seconds, 1),
        device=jax.devices()[0].device_kind,
        jax=jax.__version__,
        **labels,
    )
    assert bool(done[-1].all())
    assert not bool(done[:-1].any())
    assert int(volume.sum()) > 0
    for name in env.groups:
        assert bool(jnp.isfinite(obs[name]).all())
        assert float(jnp.abs(reward[name]).sum()) > 0
    cash = sum(a.account.cash.sum(axis=-1) for a in final.agents.values()) + final.rest.cash
    assert not bool(cash.any())


@pytest.mark.parametrize("num_envs", [64, 1024, 4096])
@pytest.mark.parametrize("messages_per_step", [1, 100])
@pytest.mark.parametrize("num_agents", [1, 5, 10])
def test_benchmark_replay(benchmark, replay, num_agents, messages_per_step, num_envs):
    windows, config, source = replay(config_of(num_agents, messages_per_step), messages_per_step)
    env = MarketEnv(config)
    measure(
        benchmark,
        env,
        env.make_params(windows),
        num_envs,
        source=source,
        messages_per_step=messages_per_step,
    )


@pytest.mark.parametrize("num_envs", [64, 1024])
@pytest.mark.parametrize("messages_per_step", [1, 100])
def test_benchmark_flow(benchmark, messages_per_step, num_envs):
    env = MarketEnv(config_of(1, messages_per_step))
    params = env.make_params(num_openings=64)
    measure(
        benchmark,
        env,
        params,
        num_envs,
        source="zero intelligence, drawn live",
        messages_per_step=messages_per_step,
    )

"""Steps a second of the reference population: two makers and 1,112 traders in one market."""

import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from marl_envs import MarketEnv
from marl_envs.population.reference import reference_params, reference_population

ROLLOUT = 64


@pytest.mark.parametrize("num_envs", [1, 8])
def test_benchmark_reference_population(benchmark, num_envs):
    env = MarketEnv(reference_population(num_steps=10 * ROLLOUT))
    params = reference_params(env, num_openings=4)

    def rollout(state, key):
        def step(state, index):
            _, state, *_, info = env.step_env(jax.random.fold_in(key, index), state, {}, params)
            return state, (info["market"]["mid"], info["market"]["volume"])

        return jax.lax.scan(step, state, jnp.arange(ROLLOUT))

    keys = jax.random.split(jax.random.key(0), num_envs)
    _, states = jax.jit(jax.vmap(env.reset_env, (0, None)))(keys, params)
    start = time.perf_counter()
    run = jax.jit(jax.vmap(rollout)).lower(states, keys).compile()
    compile_seconds = time.perf_counter() - start

    after, (mid, volume) = benchmark(lambda: jax.block_until_ready(run(states, keys)))

    cash = sum(np.asarray(agents.account.cash).sum(axis=-1) for agents in after.agents.values())
    assert (cash + np.asarray(after.rest.cash) == 0).all()
    assert (np.asarray(mid) > 0).all()
    assert int(volume.sum()) > 0
    rate = num_envs * ROLLOUT / benchmark.stats.stats.median
    benchmark.extra_info.update(
        num_envs=num_envs,
        num_agents=env.config.num_agents,
        env_steps_per_second=round(rate),
        agent_decisions_per_second=round(rate * env.config.num_agents),
        compile_seconds=round(compile_seconds, 1),
        device=jax.devices()[0].device_kind,
    )

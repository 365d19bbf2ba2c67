"""Environment steps a second: one maker and one execution agent, uniform random actions.

Auto-reset is on, observations and rewards of every step are kept, and the whole rollout is one
compiled call. Episodes have 64 steps; the rollout of 32 steps therefore sees an auto-reset every
second time it runs.
"""

import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from lob_core.flow import ZeroIntelligence, simulate
from lob_core.packing import pack_messages, pad_with_noops
from lob_core.replay import ReplayWindows
from marl_envs import EnvConfig, MarketEnv
from marl_envs.testing import sample_actions

NUM_SLOTS, NUM_STEPS, ROLLOUT, NUM_WINDOWS = 100, 64, 32, 16


def recorded_windows(config, messages_per_step):
    """Windows of zero-intelligence flow, packed as a prepared store would pack them."""
    model = ZeroIntelligence()
    params = model.default_params()
    total = messages_per_step * NUM_STEPS

    @jax.jit
    def record(key):
        key_open, key_flow = jax.random.split(key)
        book, state = model.opening(key_open, params, config.book)
        return book, state, simulate(model, key_flow, book, state, params, total, config.book)[2]

    books, states, messages = jax.vmap(record)(jax.random.split(jax.random.key(0), NUM_WINDOWS))
    names = ["event_type", "side", "price", "size", "order_id", "time_in_force"]
    columns = {
        n: np.asarray(getattr(messages, n)).reshape(-1) for n in (*names, "time_s", "time_ns")
    }
    first = total * np.arange(NUM_WINDOWS)[:, None]
    starts = first + messages_per_step * np.arange(NUM_STEPS + 1)
    return ReplayWindows(
        packed=jnp.asarray(pad_with_noops(pack_messages(**columns), messages_per_step)),
        step_start=jnp.asarray(starts, jnp.int32),
        opening=books,
        time_s=states.time_s,
        time_ns=states.time_ns,
        max_messages_per_step=messages_per_step,
    )


@pytest.mark.parametrize("num_envs", [64, 256, 1024])
@pytest.mark.parametrize("messages_per_step", [1, 100])
@pytest.mark.parametrize("source", ["replay", "flow"])
def test_benchmark_step(benchmark, source, messages_per_step, num_envs):
    config = EnvConfig(
        num_steps=NUM_STEPS, messages_per_step=messages_per_step, num_slots=NUM_SLOTS
    )
    env = MarketEnv(config)
    background = recorded_windows(config, messages_per_step) if source == "replay" else None
    params = env.make_params(background, num_openings=64)

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

    run()
    final, (obs, reward, done, volume) = benchmark(run)
    steps = num_envs * ROLLOUT
    benchmark.extra_info.update(
        env_steps_per_second=round(steps / benchmark.stats["median"]),
        messages_per_second=round(steps * messages_per_step / benchmark.stats["median"]),
        source=source,
        num_envs=num_envs,
        messages_per_step=messages_per_step,
        num_slots=NUM_SLOTS,
        agents="1 market maker + 1 execution",
        bytes_per_env=sum(leaf.nbytes for leaf in jax.tree.leaves(state)) // num_envs,
        compile_seconds=round(compile_seconds, 1),
        device=jax.devices()[0].device_kind,
        jax=jax.__version__,
    )
    assert bool(done[-1].all())
    assert not bool(done[:-1].any())
    assert int(volume.sum()) > 0
    for name in env.groups:
        assert bool(jnp.isfinite(obs[name]).all())
        assert float(jnp.abs(reward[name]).sum()) > 0
    cash = sum(a.account.cash.sum(axis=-1) for a in final.agents.values()) + final.rest.cash
    assert not bool(cash.any())

"""Environment steps per second with and without learning; compiling is outside the timed region."""

import functools
import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from lob_core.runtime import configure_cpu
from lob_core.usage import watch

configure_cpu()

from marl_algos.conf.load import load_config  # noqa: E402
from marl_algos.learners.registry import LEARNERS  # noqa: E402
from marl_algos.markets.data import make_market  # noqa: E402
from marl_algos.rollout import collect, step_batch  # noqa: E402
from marl_algos.train import make_learner  # noqa: E402

SETTINGS = {
    "default": [],
    "feed_forward_256x64": ["algo.num_envs=256"],
    "gru64_256x64": ["algo.num_envs=256", "network=gru"],
    "gru64_shared_256x64": ["algo.num_envs=256", "network=gru", "network.shared=true"],
    "gru256_64x128": [
        "algo.num_steps=128",
        "network=gru",
        "network.hidden=[256]",
        "network.gru_size=256",
        "network.shared=true",
    ],
    "gru256_64x128_1_message": [
        "algo.num_steps=128",
        "network=gru",
        "network.hidden=[256]",
        "network.gru_size=256",
        "network.shared=true",
        "env.messages_per_step=1",
    ],
}


def prepare(overrides):
    config = load_config(overrides)
    market = make_market(config)
    learner = make_learner(config, market)
    params = market.params["train"]
    state = jax.jit(learner.init)(jax.random.key(0), params)
    return config, market, learner, params, state


def timed(benchmark, run):
    """Benchmarks a function and notes how busy and how full the device was; its last result."""
    device = jax.devices()[0]
    with watch(device) as usage:
        result = benchmark.pedantic(run, rounds=5, warmup_rounds=1)
    benchmark.extra_info.update(
        utilization=usage.utilization, peak_memory_mib=(usage.peak_bytes or 0) // 2**20
    )
    return result


def describe(benchmark, config, num_steps):
    rate = num_steps / benchmark.stats.stats.median
    benchmark.extra_info.update(
        env_steps_per_second=rate,
        messages_per_second=rate * config.env.messages_per_step,
        num_envs=config.algo.num_envs,
        num_steps=config.algo.num_steps,
        messages_per_step=config.env.messages_per_step,
        num_slots=config.env.num_slots or 128,
        network=config.network.kind,
        precision=config.network.precision,
        device=jax.devices()[0].device_kind,
        jax=jax.__version__,
    )


@pytest.mark.parametrize("name", SETTINGS)
def test_benchmark_ippo_update(benchmark, name):
    config, _, learner, params, state = prepare(SETTINGS[name])
    update = jax.jit(learner.update).lower(state, params).compile()

    def run():
        return jax.block_until_ready(update(state, params))

    _, metrics = run()
    timed(benchmark, run)
    describe(benchmark, config, config.algo.num_envs * config.algo.num_steps)
    assert metrics["finite"]
    assert metrics["agents"]["execution"]["first_ratio_error"] < 1e-4


@pytest.mark.parametrize("name", ["default", "gru64_256x64", "gru256_64x128"])
def test_benchmark_ippo_rollout(benchmark, name):
    """The first part of an update; what is left of the whole is learning."""
    config, market, learner, params, state = prepare(SETTINGS[name])

    @jax.jit
    def rollout(state, params):
        return collect(
            market.env,
            params,
            functools.partial(learner.act, state.agents),
            functools.partial(learner.values, state.agents),
            state.rollout,
            state.key,
            learner.num_steps,
        )

    def run():
        return jax.block_until_ready(rollout(state, params))

    _, trajectories, _, metrics = run()
    timed(benchmark, run)
    describe(benchmark, config, config.algo.num_envs * config.algo.num_steps)
    assert np.isfinite(trajectories["execution"].value).all()
    assert float(metrics["market"]["volume"]) > 0.0


@pytest.mark.parametrize("name", LEARNERS)
def test_benchmark_learner_update(benchmark, name):
    overrides = [f"algo={name}"]
    if hasattr(LEARNERS[name].settings, "learning_starts"):
        overrides += ["algo.learning_starts=0"]
    config, _, learner, params, state = prepare(overrides)
    lowered = jax.jit(learner.update, donate_argnums=0).lower(state, params)
    began = time.perf_counter()
    update = lowered.compile()
    benchmark.extra_info.update(compile_seconds=time.perf_counter() - began)
    now = {"state": state}

    def run():
        now["state"], metrics = jax.block_until_ready(update(now["state"], params))
        return metrics

    metrics = timed(benchmark, run)
    describe(benchmark, config, config.algo.num_envs * config.algo.num_steps)
    assert metrics["finite"]
    assert np.isfinite(metrics["agents"]["execution"]["loss"])


@pytest.mark.parametrize("num_envs", [64, 256])
def test_benchmark_environment_only(benchmark, num_envs):
    config, market, _, params, state = prepare([f"algo.num_envs={num_envs}"])
    num_steps = config.env.num_steps
    spaces = {name: group.action_space.n for name, group in market.env.groups.items()}

    @jax.jit
    def run(env_state, key):
        def step(now, key):
            keys = jax.random.split(key, len(spaces) + 1)
            actions = {
                name: jax.random.randint(keys[i], (num_envs, 1), 0, n)
                for i, (name, n) in enumerate(sorted(spaces.items()))
            }
            after = step_batch(market.env, keys[-1], now, actions, params)
            return after.env_state, (jnp.sum(after.info["market"]["volume"]), jnp.sum(after.done))

        return jax.lax.scan(step, env_state, jax.random.split(key, num_steps))

    def play():
        return jax.block_until_ready(run(state.rollout.env_state, jax.random.key(1)))

    _, (volume, done) = play()
    timed(benchmark, play)
    describe(benchmark, config, num_envs * num_steps)
    assert int(np.sum(done)) == num_envs
    assert int(np.sum(volume)) > 0

"""Environment steps per second with and without learning; compiling is outside the timed region.

Of one setting, what the environment alone, playing and a whole update take is its profile.
"""

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
from marl_algos.rollout import run_steps, step_batch  # noqa: E402
from marl_algos.train import make_learner  # noqa: E402

SETTINGS = {
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


@functools.cache
def prepare(name):
    """Configuration, learner and its first state for an entry of `SETTINGS` or of `LEARNERS`."""
    overrides = SETTINGS.get(name)
    if overrides is None:
        overrides = [f"algo={name}"]
        if hasattr(LEARNERS[name].settings, "learning_starts"):
            overrides += ["algo.learning_starts=0"]
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
    config, _, learner, params, state = prepare(name)
    update = jax.jit(learner.update).lower(state, params).compile()

    def run():
        return jax.block_until_ready(update(state, params))

    _, metrics = run()
    timed(benchmark, run)
    describe(benchmark, config, config.algo.num_envs * config.algo.num_steps)
    assert metrics["finite"]
    assert metrics["agents"]["execution"]["first_ratio_error"] < 1e-4


@pytest.mark.parametrize("name", [*LEARNERS, "gru64_256x64", "gru256_64x128"])
def test_benchmark_rollout_only(benchmark, name):
    """Playing without learning; what is left of an update is storing and learning."""
    config, market, learner, params, state = prepare(name)

    @jax.jit
    def rollout(state, params):
        def act(keys, obs, carry, is_first, legal):
            return learner.play(state.agents, keys, obs, carry, is_first, greedy=False, legal=legal)

        def record(now, legal, decisions, after, outcomes):
            moves = {kind: decision.action for kind, decision in decisions.items()}
            return now.obs, moves, outcomes

        key = jax.random.key(1)
        return run_steps(market.env, params, act, record, state.rollout, key, learner.num_steps)

    def run():
        return jax.block_until_ready(rollout(state, params))

    _, (_, moves, outcomes), metrics = run()
    timed(benchmark, run)
    describe(benchmark, config, config.algo.num_envs * config.algo.num_steps)
    assert np.isfinite(outcomes["execution"].reward).all()
    assert len(np.unique(moves["execution"])) > 1
    assert float(metrics["market"]["volume"]) > 0.0


@pytest.mark.parametrize("name", LEARNERS)
def test_benchmark_learner_update(benchmark, name):
    config, _, learner, params, state = prepare(name)
    lowered = jax.jit(learner.update, donate_argnums=0).lower(state, params)
    began = time.perf_counter()
    update = lowered.compile()
    benchmark.extra_info.update(compile_seconds=time.perf_counter() - began)
    now = {"state": jax.tree.map(jnp.copy, state)}  # the first call consumes it

    def run():
        now["state"], metrics = jax.block_until_ready(update(now["state"], params))
        return metrics

    metrics = timed(benchmark, run)
    describe(benchmark, config, config.algo.num_envs * config.algo.num_steps)
    assert metrics["finite"]
    assert np.isfinite(metrics["agents"]["execution"]["loss"])


@pytest.mark.parametrize("name", ["ippo", "feed_forward_256x64"])
def test_benchmark_environment_only(benchmark, name):
    config, market, _, params, state = prepare(name)
    num_envs = config.algo.num_envs
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

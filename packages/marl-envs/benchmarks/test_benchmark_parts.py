"""Where the time of a step goes: its parts, each compiled and timed alone.

`engine` is the one engine call, `background` the decoding of recorded messages, `decisions` wanted
orders, netting and sequencing, `own_orders` reading agents' orders, quotes and queues off the book,
`observations` what agents see; `settling` is the rest of a step: accounts, rewards, results. The
parts fuse differently alone than together, so shares are approximate.
"""

import time

import jax
import jax.numpy as jnp
import pytest
from lob_core import process_messages
from marl_envs import AgentSpec, EnvConfig, MarketEnv
from marl_envs.deciding import decide
from marl_envs.sequencing import append, random_order, sequence_requests
from marl_envs.testing import sample_actions
from marl_envs.views import agents_after

NUM_SLOTS, NUM_STEPS, NUM_ENVS, REPEATS = 100, 64, 1024, 15


def seconds(function, *args):
    """Least time of a compiled call of all markets, which other load disturbs least."""
    compiled = jax.jit(jax.vmap(function)).lower(*args).compile()
    result = jax.block_until_ready(compiled(*args))
    times = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        jax.block_until_ready(compiled(*args))
        times.append(time.perf_counter() - start)
    return min(times), result


@pytest.mark.parametrize("messages_per_step", [1, 100])
@pytest.mark.parametrize("num_agents", [1, 10])
def test_benchmark_parts(benchmark, replay, num_agents, messages_per_step):
    agents = (AgentSpec("market_maker", num_agents), AgentSpec("execution", num_agents))
    config = EnvConfig(agents=agents, num_steps=NUM_STEPS, num_slots=NUM_SLOTS)
    windows, config, source = replay(config, messages_per_step)
    env = MarketEnv(config)
    params = env.make_params(windows)
    keys = jax.random.split(jax.random.key(0), NUM_ENVS)
    actions = jax.vmap(lambda key: sample_actions(env, key))(keys)
    _, state = jax.jit(jax.vmap(env.reset, (0, None)))(keys, params)

    def send(key, state, action):
        requests, _, state = decide(env.types, key, state, action, None, is_timed=False)
        now = (state.market.time_s, state.market.time_ns)
        return sequence_requests(requests, random_order(key, config.num_agents), now)

    def recorded(key, state):
        return params.background.messages(
            key, state.book, state.background, state.market,
            is_first=True, is_last=jnp.asarray(True),
        )[0]  # fmt: skip

    def match(book, sent, messages):
        return process_messages(book, append(sent, messages), config=config.book)

    def look(state):
        agents = [state.agents[t.name] for t in env.types]
        accounts = [own.account for own in agents]
        return agents_after(agents, [own.orders for own in agents], accounts, state.book)

    parts = {}
    total, (_, state, *_) = seconds(
        lambda k, s, a: env.step_env(k, s, a, params), keys, state, actions
    )
    parts["decisions"], sent = seconds(send, keys, state, actions)
    parts["background"], messages = seconds(recorded, keys, state)
    parts["engine"], (_, outcome) = seconds(match, state.book, sent, messages)
    parts["own_orders"], _ = seconds(look, state)
    parts["observations"], _ = seconds(env.observe, state)
    parts["settling"] = total - sum(parts.values())
    step = jax.jit(jax.vmap(lambda k, s, a: env.step(k, s, a, params)))
    jax.block_until_ready(step(keys, state, actions))
    benchmark.pedantic(lambda: jax.block_until_ready(step(keys, state, actions)), rounds=REPEATS)
    benchmark.extra_info.update(
        {f"{name}_share": round(value / total, 3) for name, value in parts.items()},
        env_steps_per_second=round(NUM_ENVS / benchmark.stats["median"]),
        agents=f"{num_agents} market_maker + {num_agents} execution",
        messages_per_step=messages_per_step,
        source=source,
        device=jax.devices()[0].device_kind,
    )
    assert int(outcome.fills.bought.sum()) == int(outcome.fills.sold.sum()) > 0

# %% [markdown]
# # 4. The market as an environment
#
# What a learner meets: observations, actions, rewards, episodes. `MarketEnv` is a partially
# observed stochastic game as a pure function,
# $$ (s_{t+1}, o_{t+1}, r_{t+1}) = f(s_t, a_t, \text{key}), $$
# so that `vmap` makes many markets of it, `scan` makes episodes, and equal keys make equal markets.
# In a step every agent turns its action into *wanted orders*; those that rest already keep their
# place in the queue, others are cancelled or sent; then the background flow arrives, and the book
# decides who trades.

# %%
import time

import jax
import jax.numpy as jnp
import numpy as np
import plotly.graph_objects as go
from lob_analysis import paired_difference
from lob_analysis.pages.plots import style
from lob_core.runtime import configure_cpu
from marl_envs import AgentSpec, EnvConfig, MarketEnv
from marl_envs.testing import sample_actions
from marl_envs.wrappers import play_episode

configure_cpu()

NUM_STEPS, NUM_EPISODES = 48, 128
env = MarketEnv(
    EnvConfig(
        agents=(
            AgentSpec("market_maker"),
            AgentSpec("execution", settings={"task": "sell", "task_size": 100}),
        ),
        num_steps=NUM_STEPS,
        messages_per_step=10,
        num_slots=48,
    )
)
params = env.make_params(num_openings=16)
for name, group in env.groups.items():
    print(f"{name}: {group.num_agents} agent, actions {group.action_space}")
    print("   sees", ", ".join(group.observation_names))

# %% [markdown]
# ## One step
#
# Everything is a dict by agent type; leaves are led by the agents of the type. Rewards are in
# ticks times shares; flags say whether an agent's task is done (`terminated`) or the clock ran out
# (`truncated`): after the first nothing more can be earned, after the second something could have
# been, and a learner must treat the two differently.

# %%
obs, state = env.reset(jax.random.key(0), params)
action = {"market_maker": jnp.array([1]), "execution": jnp.array([4])}
obs, state, reward, terminated, truncated, info = jax.jit(env.step)(
    jax.random.key(1), state, action, params
)
print("reward", {name: value.tolist() for name, value in reward.items()})
print(
    "market", {k: float(v) for k, v in info["market"].items() if k in ("mid", "spread", "volume")}
)
print("maker ", {k: v.tolist() for k, v in info["agents"]["market_maker"].items()})

# %% [markdown]
# ## An episode
#
# The maker always quotes one half spread behind each touch (action 1), the seller always asks at
# the middle (action 4). **What to see:** the maker's bid and ask follow the mid; every time one of
# them trades the inventory makes a step; the seller is done when nothing remains, and stands still
# from then on (`active` is False).


# %%
def constant(maker_action, execution_action):
    """A policy that always does the same."""
    return lambda key, obs: {
        "market_maker": jnp.array([maker_action]),
        "execution": jnp.array([execution_action]),
    }


def play(policy, num_episodes=NUM_EPISODES, seed=0):
    """Logs of episodes, leaves `[E, S, ...]`."""
    keys = jax.random.split(jax.random.key(seed), num_episodes)
    episode = jax.jit(jax.vmap(lambda key: play_episode(env, policy, key, params, NUM_STEPS)))
    return jax.device_get(episode(keys))


log = play(constant(1, 4))
market, agents = log["info"]["market"], log["info"]["agents"]
figure = go.Figure()
figure.add_scatter(y=market["mid"][0], name="mid", line_shape="hv")
for side in ("bid", "ask"):
    quote = agents["market_maker"][f"{side}_quote"][0, :, 0].astype(float)
    quote[quote == 0] = np.nan
    figure.add_scatter(y=quote, name=f"maker's {side}", mode="markers", marker_size=4)
figure.update_layout(xaxis_title="step", yaxis_title="price (ticks)")
style(figure).show()
figure = go.Figure()
figure.add_scatter(
    y=agents["market_maker"]["inventory"][0, :, 0], name="maker's inventory", line_shape="hv"
)
figure.add_scatter(
    y=agents["execution"]["remaining"][0, :, 0], name="seller's rest", line_shape="hv"
)
figure.update_layout(xaxis_title="step", yaxis_title="shares")
style(figure).show()

# %% [markdown]
# ## What rewards add up to
#
# With $d = 1$ for a seller, quantities $q_t$ at prices $p_t$ and the price $p_0$ at arrival, the
# execution agent's rewards add up to minus its **implementation shortfall** (Perold 1988),
# $$ \mathrm{IS} = \sum_t d\,(p_0 - p_t)\,q_t + \text{cost of what is left}, $$
# divided by the setting `reward_scale`. That is a check worth making for every reward: does its
# sum say what you want to be good at?

# %%
result = log["info"]["episode"]["execution"]
total = log["reward"]["execution"].sum(axis=1)[:, 0]
shortfall = result["shortfall"][:, -1, 0]
slope, offset = np.polyfit(-shortfall, total, 1)
print(f"sum of rewards = {slope:.4f} x minus the shortfall {offset:+.4f}")
print(f"mean shortfall {shortfall.mean():.1f} ticks x shares")

# %% [markdown]
# ## Same keys, same market
#
# Another action for the seller: the far touch at once (action 1, pays the spread) instead of the
# middle. Both meet the same opening books and draws. **What to see:** impatience is the cheaper one
# here. An order at the middle trades when the price comes to it and is left behind when the price
# goes, and what is left at the end is closed 5 ticks worse for every share.

# %%
impatient = play(constant(1, 1))
cost = impatient["info"]["episode"]["execution"]["shortfall"][:, -1, 0]
dear = paired_difference(shortfall, cost)
print(f"the middle costs {dear.value:.1f} [{dear.low:.1f}, {dear.high:.1f}] ticks x shares more")
figure = go.Figure()
for name, each in (("middle", log), ("far touch", impatient)):
    rest = each["info"]["agents"]["execution"]["remaining"][..., 0].mean(axis=0)
    figure.add_scatter(y=rest, name=name)
figure.update_layout(xaxis_title="step", yaxis_title="mean shares left to sell")
style(figure).show()

# %% [markdown]
# ## Many at once
#
# `env.step` resets by itself at the end of an episode and keeps the last observation in
# `info["final_obs"]`, so a training loop is one `scan` over one `vmap`.


# %%
@jax.jit
def random_play(key):
    """1,024 steps of 64 markets with random actions; what the makers traded."""
    key_reset, key_play = jax.random.split(key)
    _, state = jax.vmap(env.reset, (0, None))(jax.random.split(key_reset, 64), params)

    def step(state, key):
        key_action, key_step = jax.random.split(key)
        actions = jax.vmap(lambda k: sample_actions(env, k))(jax.random.split(key_action, 64))
        _, state, *_, info = jax.vmap(env.step, (0, 0, 0, None))(
            jax.random.split(key_step, 64), state, actions, params
        )
        return state, info["agents"]["market_maker"]["bought"].sum()

    return jax.lax.scan(step, state, jax.random.split(key_play, 1024))[1].sum()


compiled = random_play.lower(jax.random.key(0)).compile()
begin = time.perf_counter()
bought = int(compiled(jax.random.key(0)))
seconds = time.perf_counter() - begin
print(f"{64 * 1024 / seconds:,.0f} steps a second; the makers bought {bought:,} shares")

# %% [markdown]
# ## Things to try
#
# 1. Make two execution agents with opposite tasks (`AgentSpec("execution", name="buyer", ...)`).
#    Who pays for whose impatience?
# 2. Give the maker `settings={"latency_submit_ns": 50_000_000}`: what do its fills look like now?
# 3. `examples/own_agent.py` makes an agent type of its own in one file. Give the pegger here.

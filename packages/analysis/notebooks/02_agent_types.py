# %% [markdown]
# # 2. Who trades?
#
# A market is an ecology. *Makers* sell immediacy and fear those who know more; *schedules*
# (execution agents) must trade and pay for it; *value* traders know something; *trend* followers
# believe that the price does; *noise* traders have reasons of their own. In `marl_envs` each is a
# type of agent: a kind, the name of its behavior, and settings.
#
# Here all are rules, so that we know what to expect. The makers follow Avellaneda and Stoikov
# (2008). With inventory $q$, risk aversion $\gamma$, volatility $\sigma$, time left $\tau$ and
# fills that become rarer as $A e^{-k\delta}$ at a distance $\delta$ from the mid $s$, they quote
# around
# $$ r = s - q \gamma \sigma^2 \tau, \qquad
#    \text{spread} = \gamma \sigma^2 \tau + \tfrac{2}{\gamma} \ln(1 + \gamma / k). $$
# The first formula says: when long, quote lower. The second: risk and rarity of fills widen quotes.

# %%
import jax
import numpy as np
import plotly.graph_objects as go
from lob_analysis import bootstrap, paired_difference
from lob_analysis.pages.plots import style
from lob_core.flow import OrnsteinUhlenbeck
from lob_core.runtime import configure_cpu
from marl_envs import AgentSpec, EnvConfig, MarketEnv
from marl_envs.wrappers import play_episode

configure_cpu()

NUM_STEPS, NUM_EPISODES = 48, 64
POPULATION = (
    AgentSpec("quoter", 2, "avellaneda_stoikov", name="maker"),
    AgentSpec("schedule", 1, "twap", name="twap", settings={"task_size": 200}),
    AgentSpec("value", 4, settings={"activity": 0.3}),
    AgentSpec("trend", 4, "momentum", settings={"activity": 0.3}),
    AgentSpec("noise", 20, settings={"activity": 0.2}),
)


def market(*agents):
    """The environment with these types, and its parameters: a slow background, a moving value."""
    config = EnvConfig(
        agents=agents,
        num_steps=NUM_STEPS,
        messages_per_step=10,
        num_slots=96,
        fundamental=OrnsteinUhlenbeck(),
    )
    env = MarketEnv(config)
    return env, env.make_params(num_openings=16)


# %% [markdown]
# Rules take no action and are no group of `env.groups`: a policy for nobody returns `{}`. `vmap`
# plays all episodes side by side.


# %%
def play(env, params, seed=0):
    """`info` of all steps of all episodes, leaves `[E, S, ...]`."""
    keys = jax.random.split(jax.random.key(seed), NUM_EPISODES)
    episode = jax.jit(
        jax.vmap(lambda key: play_episode(env, lambda *_: {}, key, params, NUM_STEPS)["info"])
    )
    return jax.device_get(episode(keys))


env, params = market(*POPULATION)
info = play(env, params)
print("traded shares by step:", info["market"]["volume"].mean().round(1))

# %% [markdown]
# ## One episode
#
# **What to see:** all agents of a type together. The makers hold little, because their quotes lean
# against what they have; the schedule's inventory is a straight staircase, because it is told to;
# those who follow trends or value hold positions for as long as they believe in them.

# %%
figure = go.Figure()
for name in ("maker", "twap", "value", "trend"):
    held = info["agents"][name]["inventory"][0].sum(axis=-1)
    figure.add_scatter(y=held, name=name, line_shape="hv")
figure.update_layout(xaxis_title="step", yaxis_title="inventory of the type (shares)")
style(figure).show()

# %% [markdown]
# ## Who pays whom?
#
# Trading is zero-sum before the price moves: what one gains at the mid another loses. We look at
# the PnL of an agent (ticks times shares, position closed at the end) over 64 episodes, with 95 %
# bootstrap intervals. **What to see:** the makers earn, and all who demand immediacy pay for it,
# the schedule most. To know something is not enough: within 48 steps the spread that value traders
# pay costs more than what they know is worth.

# %%
figure = go.Figure()
for spec in POPULATION:
    # info["episode"] of the last step holds the results of the episode.
    pnl = info["episode"][spec.name]["pnl"][:, -1].mean(axis=-1)
    estimate = bootstrap(pnl)
    print(f"{spec.name:6s} {estimate.value:8.1f}  [{estimate.low:8.1f}, {estimate.high:8.1f}]")
    figure.add_scatter(
        x=[spec.name],
        y=[estimate.value],
        mode="markers",
        marker_size=10,
        showlegend=False,
        error_y={
            "symmetric": False,
            "array": [estimate.high - estimate.value],
            "arrayminus": [estimate.value - estimate.low],
        },
    )
figure.update_layout(yaxis_title="PnL of an agent (ticks x shares)")
style(figure).show()

# %% [markdown]
# ## A fair comparison
#
# Is a fixed spread better than Avellaneda-Stoikov? Replace one kind of maker by another and play
# **the same episodes**: everything random in the market hangs on keys, never on who plays. Then
# the difference can be taken episode by episode and what the market did to both drops out:
# $$ \mathrm{Var}(x - y) = \mathrm{Var}(x) + \mathrm{Var}(y) - 2\,\mathrm{Cov}(x, y). $$
# **What to see:** the paired interval is the narrower one, though not by much: after the first
# quote that differs everybody reacts to it, and the episodes drift apart. Between policies that
# differ little, such as a learner before and after a few updates, the covariance is most of the
# variance.

# %%
other_env, other_params = market(
    AgentSpec("quoter", 2, "fixed_spread", name="maker", settings={"half_spread": 2.0}),
    *POPULATION[1:],
)
other = play(other_env, other_params)
stoikov, fixed = (
    i["episode"]["maker"]["pnl"][:, -1].mean(axis=-1).astype(float) for i in (info, other)
)
paired = paired_difference(stoikov, fixed)
half_width = 1.96 * np.sqrt((stoikov.var(ddof=1) + fixed.var(ddof=1)) / NUM_EPISODES)
print(f"correlation of the episodes: {np.corrcoef(stoikov, fixed)[0, 1]:.2f}")
print(f"paired difference   {paired.value:7.1f} [{paired.low:.1f}, {paired.high:.1f}]")
print(f"as if independent   {paired.value:7.1f} +- {half_width:.1f}")
figure = go.Figure()
figure.add_scatter(x=fixed, y=stoikov, mode="markers", name="an episode")
limits = [min(fixed.min(), stoikov.min()), max(fixed.max(), stoikov.max())]
figure.add_scatter(x=limits, y=limits, mode="lines", name="equal", line={"dash": "dot"})
figure.update_layout(
    xaxis_title="PnL with a fixed spread", yaxis_title="PnL with Avellaneda-Stoikov"
)
style(figure).show()

# %% [markdown]
# ## Things to try
#
# 1. Raise the number of value traders from 4 to 12. Who pays for them?
# 2. Give the makers `{"gamma": ...}` ten times larger and look at the inventories again.
# 3. Replace `twap` by `almgren_chriss` or `iceberg`: same task, another price?

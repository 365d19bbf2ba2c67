# %% [markdown]
# # 7. Self-play
#
# Who is a good opponent to learn from? In chess programs the answer was: yourself. But a learner
# that meets only its newest self chases its own tail (notebook 3): it forgets how to beat what it
# beat long ago. The cures keep a **pool** of snapshots and draw opponents from it:
#
# * *uniform*: the average of the past, which is fictitious play (Brown 1951; Heinrich, Lanctot and
#   Silver 2015): in two-player zero-sum games the average converges to equilibrium;
# * *prioritized* (Vinyals et al. 2019): weight $(1 - x)^p$ for an opponent that is beaten with
#   probability $x$, so that practice goes where it hurts.
#
# The game is Kuhn poker: three cards, one bet, and bluffing already pays. Its value for the first
# player is $-1/18$, and NashConv is computed exactly, so we see how far learning is from
# equilibrium.

# %%
import functools

import jax
import jax.numpy as jnp
import numpy as np
import plotly.graph_objects as go
from lob_analysis.pages.plots import style
from lob_core.runtime import configure_cpu
from marl_algos import PPO, NetworkConfig, PPOConfig, TypeConfig
from marl_algos.populations.selfplay import SelfPlay, SelfPlayConfig, sampling_weights
from marl_envs.games import kuhn

configure_cpu()

NUM_ROUNDS = 24
game = kuhn.KuhnPoker()
print("plans of the first player: ", kuhn.FIRST_PLANS)
print("plans of the second player:", kuhn.SECOND_PLANS)
uniform = [np.full((3, len(kuhn.FIRST_PLANS)), 1 / 3), np.full((3, len(kuhn.SECOND_PLANS)), 1 / 4)]
print("NashConv of uniform play:", round(kuhn.nash_conv(*uniform), 3))

# %% [markdown]
# ## Drawing opponents
#
# **What to see:** the same pool of three snapshots, beaten with probability 0.9, 0.5 and 0.1; the
# third is the newest. How often is each met?

# %%
used, newest = jnp.ones(3, bool), jnp.int32(2)
rates = jnp.array([0.9, 0.5, 0.1])
for sampling in ("latest", "uniform", "prioritized", "close"):
    config = SelfPlayConfig(sampling=sampling, latest_share=0.0)
    weights = np.asarray(sampling_weights(config, used, newest, rates), np.float64)
    print(f"{sampling:12s}", weights.round(2).tolist())


# %% [markdown]
# ## Rounds
#
# A round is: each type trains against opponents from the pool of the other, its policy joins its
# own pool, and win rates are measured. `SelfPlay` takes any environment and any way to make a
# learner.


# %%
def make_learner(env):
    """A small PPO on the game that is left when the opponent is part of the environment."""
    settings = PPOConfig(
        learning_rate=0.02,
        final_learning_rate=1.0,
        entropy_coef=0.1,
        num_epochs=2,
        num_minibatches=2,
        normalize_obs=False,
    )
    types = dict.fromkeys(env.groups, TypeConfig(settings, NetworkConfig(hidden=(16,))))
    return PPO(env, types, num_envs=256, num_steps=2, num_updates=1000)


@functools.partial(jax.jit, static_argnames=("base", "name"))
def logits(base, name, agent):
    """Of the plans, for each card."""
    policies = base.policies(
        {name: agent}, {name: jnp.eye(3)[:, None]}, base.initial_carry(3), jnp.ones(3), {}
    )
    return policies[name][1].logits[:, 0]


def plans_of(play, state):
    """Probabilities of the plans for each card, by player."""
    return [
        np.asarray(jax.nn.softmax(logits(play.base, name, state.learners[name].agents[name])))
        for name in ("first", "second")
    ]


def run(sampling, latest_share):
    """NashConv of the newest policies and of their average, by round; the last win rates."""
    config = SelfPlayConfig(
        updates_per_round=15,
        capacity=NUM_ROUNDS + 1,
        sampling=sampling,
        latest_share=latest_share,
    )
    play = SelfPlay(game, make_learner, config)
    state = play.init(jax.random.key(0), None)
    history, table = [], []
    for _ in range(NUM_ROUNDS):
        state, _, rows = play.play_round(state, None)
        history.append(plans_of(play, state))
        table += rows
    newest = [kuhn.nash_conv(*plans) for plans in history]
    averages = [
        [np.mean(side, axis=0) for side in zip(*history[: n + 1], strict=True)]
        for n in range(NUM_ROUNDS)
    ]
    average = [kuhn.nash_conv(*plans) for plans in averages]
    print(
        f"{sampling:8s} NashConv of the last 12 newest {np.mean(newest[-12:]):.2f}, "
        f"of the average {average[-1]:.2f}, "
        f"value of the average {kuhn.expected_value(*averages[-1]):+.3f}"
    )
    return newest, average, table


print(f"value of the game {kuhn.VALUE:+.3f}")
results = {"latest": run("latest", 1.0), "uniform": run("uniform", 0.0)}

# %% [markdown]
# **What to see:** NashConv of the newest policies (thin) goes up and down; that of the average over
# rounds (thick) falls. With opponents from the whole past the newest policies, too, swing less than
# against the latest alone.

# %%
figure = go.Figure()
for color, (name, (newest, average, _)) in zip(
    ("#d62728", "#1f77b4"), results.items(), strict=True
):
    figure.add_scatter(y=newest, name=f"{name}: newest", line={"color": color, "width": 1})
    figure.add_scatter(y=average, name=f"{name}: average", line={"color": color, "width": 3})
figure.update_layout(xaxis_title="round", yaxis_title="NashConv (chips)", yaxis_type="log")
style(figure).show()

# %% [markdown]
# ## Who beats whom
#
# The win-rate table is the memory of self-play. **What to see:** a row is a generation of the first
# player, a column an opponent by the round in which it was born. A purely transitive game would be
# shaded from left (old and weak) to right (new and strong); stripes mean that the order of strength
# depends on who asks.

# %%
rows = [row for row in results["uniform"][2] if row["learner"] == "first"]
grid = np.full((NUM_ROUNDS, NUM_ROUNDS + 1), np.nan)
for row in rows:
    grid[row["round"] - 1, row["born"]] = row["win_rate"]
figure = go.Figure(go.Heatmap(z=grid, colorscale="RdBu", zmid=0.5, colorbar_title="win rate"))
figure.update_layout(xaxis_title="opponent born in round", yaxis_title="round of the first player")
style(figure, height=420).show()

# %% [markdown]
# ## Things to try
#
# 1. `run("prioritized", 0.3)`: the mixture that larger systems use. Does it help in so small a
#    game?
# 2. `entropy_coef=0`: what happens to the newest policies, and to the average?
# 3. On the market, where a maker and an execution agent are not comparable by return, set
#    `win_rule="median"`; or run `nox -s selfplay` and look at `win_rates.parquet`.

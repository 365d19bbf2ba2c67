# %% [markdown]
# # 11. From the simulator to recorded markets
#
# All of this was learned in a market that we wrote. What of it is left on another one? Three
# questions, in this order:
#
# 1. How different are the two markets? (realism)
# 2. What does the policy earn there *beyond a rule-based baseline*? PnL alone is not comparable
#    between markets of different spread and volatility.
# 3. How sure is the drop? Episodes that replay the same recorded window are not independent, so
#    whole windows are resampled.
#
# The recorded market is LOBSTER's sample of GOOG if the environment variable `LOBSTER_SAMPLES`
# names the folder of the samples. Without it, a day of excited (Hawkes) order flow is written in
# LOBSTER's format and takes its place: the policy has not seen that either.

# %%
import os
import tempfile
from pathlib import Path

import jax
import lob_data
import plotly.graph_objects as go
from lob_analysis.market.events import read_events
from lob_analysis.market.realism import realism_scores
from lob_analysis.pages.plots import style
from lob_analysis.play.lab import Lab
from lob_analysis.transfer import other_market, transfer_results
from lob_core.flow import Hawkes
from lob_core.runtime import configure_cpu
from marl_algos.conf.load import load_config
from marl_algos.markets.data import make_market
from marl_algos.train import make_learner

configure_cpu()

scratch = Path(tempfile.mkdtemp())
home_files, away_files = scratch / "home", scratch / "away"
samples = os.environ.get("LOBSTER_SAMPLES")
found = sorted(Path(samples).rglob("GOOG_*_5.csv*")) if samples else []
if found:
    away_files.mkdir()
    for path in found:
        (away_files / path.name).symlink_to(path.resolve())
else:
    lob_data.synthesize(away_files, num_messages=40_000, seed=1, model=Hawkes())
lob_data.synthesize(home_files, num_messages=40_000, seed=2)
print("the other market:", ", ".join(path.name for path in sorted(away_files.iterdir())))

# %% [markdown]
# ## How different are the markets?
#
# For each quantity (spread, sizes, times between messages, ...) the distributions at home and away
# are compared by $L_1 = \tfrac12 \int |f - g|$, between 0 (the same) and 1 (disjoint). A score
# without a floor says nothing, so there is the same score between random halves of the away
# market. **What to see:** bars above their floor are differences that a policy may
# stumble over. GOOG is told apart in everything; two flow models of one family are not, though one
# of them comes in bursts: scores of single quantities do not see the order of events.

# %%
away_events = next(iter(read_events(away_files).values()))
home_events = next(iter(read_events(home_files).values()))
scores = realism_scores(away_events, home_events)
shown = scores.filter(scores["distance"] == "l1").sort("value")
figure = go.Figure()
figure.add_bar(x=shown["value"], y=shown["score"], orientation="h", name="home against away")
figure.add_scatter(
    x=shown["floor_high"],
    y=shown["score"],
    mode="markers",
    marker={"symbol": "line-ns-open", "size": 12, "color": "black"},
    name="floor (95 %)",
)
told_apart = shown.filter("told_apart")["score"].to_list()
print(f"told apart in {len(told_apart)} of {len(shown)}:", ", ".join(told_apart))
figure.update_layout(xaxis_title="L1 distance")
style(figure, height=560).show()

# %% [markdown]
# ## Training at home
#
# A market maker in a zero-intelligence market, as in notebook 10.

# %%
config = load_config(
    [
        "env=market_maker",
        "env.num_steps=16",
        "env.messages_per_step=10",
        "env.num_slots=48",
        "data.num_openings=32",
        "data.refresh_every=10",
        "network.hidden=[32]",
        "algo.num_envs=32",
        "algo.num_steps=32",
        f"algo.total_env_steps={80 * 32 * 32}",
    ]
)
market = make_market(config)
learner = make_learner(config, market)
update = jax.jit(learner.update)
state = jax.jit(learner.init)(jax.random.key(0), market.params["train"])
untrained = state.agents
for _ in range(learner.num_updates):
    state, _ = update(state, market.params["train"])
lab = Lab(Path(), config, market, learner, [state.agents], untrained, int(state.update))

# %% [markdown]
# ## The same policy away
#
# `other_market` may change data only: what agents see and do stays the same, else the policy would
# not fit. The baseline is Avellaneda-Stoikov; in each market it takes the risk aversion that does
# best on that market's validation split, so it is a home player in both.

# %%
away = other_market(
    lab,
    [
        "data.kind=lobster",
        f"data.path={away_files}",
        f"data.cache={scratch / 'cache'}",
        "env.num_slots=null",
    ],
)
print("windows by split:", away.description["windows"])
(result,) = transfer_results(lab, state.agents, away, num_episodes=128)

# %% [markdown]
# **What to see:** the learned policy's PnL, its edge over the baseline in both markets, and the
# drop. A minute of training does not beat the baseline even at home; the question here is what
# becomes of that edge. A drop whose interval is above zero: the policy has learned something of
# *its* market that is not true of the other. A drop around zero is not proof of the opposite: look
# how wide the interval is.

# %%
estimates = {
    "PnL at home": result.home,
    "PnL away": result.away,
    "edge at home": result.home_edge,
    "edge away": result.away_edge,
    "drop of the edge": result.drop,
}
figure = go.Figure()
for name, estimate in estimates.items():
    print(f"{name:17s} {estimate.value:8.1f}  [{estimate.low:8.1f}, {estimate.high:8.1f}]")
    figure.add_scatter(
        x=[estimate.value],
        y=[name],
        mode="markers",
        marker_size=10,
        showlegend=False,
        error_x={
            "symmetric": False,
            "array": [estimate.high - estimate.value],
            "arrayminus": [estimate.value - estimate.low],
        },
    )
figure.add_vline(x=0, line_dash="dot")
figure.update_layout(xaxis_title=f"ticks x shares in an episode; edge over {result.baseline}")
style(figure).show()

# %% [markdown]
# ## Making the gap smaller
#
# A simulator can be fitted to the other market: maximum likelihood for the rates of every kind of
# order, on the training split only.

# %%
store = scratch / "store"
lob_data.prepare(away_files, store)
fitted = lob_data.calibrate(lob_data.open_store(store), model="zero_intelligence")
usual = fitted.model.default_params()
print(f"market orders a second and side: {float(usual.market_rate):.3f} by default, ", end="")
print(f"{float(fitted.params.market_rate):.3f} as fitted")
figure = go.Figure()
for name, params in (("default", usual), ("fitted", fitted.params)):
    figure.add_bar(y=params.limit_rate.tolist(), name=name)
figure.update_layout(
    xaxis_title="distance from the opposite touch (ticks - 1)",
    yaxis_title="limit orders a second and side",
)
style(figure).show()

# %% [markdown]
# ## Things to try
#
# 1. Train on the fitted flow (`env.make_params(fitted.model, flow_params=fitted.params)`) and
#    transfer again. How much of the drop is gone?
# 2. Train on several flows at once: `marl_algos.markets.domains` draws a market for every episode.
# 3. Set `LOBSTER_SAMPLES` if you have not, or run `lob-analysis transfer RUN data.kind=lobster
#    data.path=DIR` on a training run of your own.

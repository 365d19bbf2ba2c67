# %% [markdown]
# # 10. Adversarial robustness
#
# A policy that earns in a friendly market may be somebody's lunch in another. Three kinds of
# trouble:
#
# * **manipulators**, who send orders to make others trade badly: momentum ignition takes a
#   position, pushes the price with a burst of market orders, and unloads on those who follow;
# * **stress**: the same market with orders of half the size, fees, or latency;
# * an **adversary that learns** (Gleave et al. 2020): the victim is frozen, the attacker is
#   rewarded by the victim's loss, within a budget, and *acts only through orders*: no noise on
#   observations that no real trader could add.
#
# Every comparison is a pair: the same episodes with and without, so that
# $$ \text{damage} = \text{PnL}_{\text{clean}} - \text{PnL}_{\text{attacked}} $$
# is taken episode by episode. Means hide disasters: CVaR 5 % is the mean of the worst twentieth.

# %%
from pathlib import Path

import jax
import plotly.graph_objects as go
from lob_analysis.pages.plots import style
from lob_analysis.play.lab import Lab
from lob_analysis.play.simulate import KEEP_INVENTORY, Player
from lob_analysis.robustness.adversary import train_adversary
from lob_analysis.robustness.matrix import attack_matrix, compare_pair, harden
from lob_analysis.robustness.scenarios import ATTACKS, CLEAN, STRESSES, make_scenario
from lob_core.runtime import configure_cpu
from marl_algos.conf.load import load_config
from marl_algos.markets.data import make_market
from marl_algos.train import make_learner

configure_cpu()
print("manipulators:", ", ".join(ATTACKS))
print("stress:      ", ", ".join(STRESSES))

# %% [markdown]
# ## A victim
#
# One market maker, trained for a short while. A `Lab` is a market with a learner and its policies;
# `open_lab(RUN)` makes one of a run folder, here it is made by hand.

# %%
config = load_config(
    [
        "env=market_maker",
        "env.num_steps=32",
        "env.messages_per_step=10",
        "env.num_slots=48",
        "data.num_openings=32",
        "data.refresh_every=10",
        "network.hidden=[32]",
        "algo.num_envs=32",
        "algo.num_steps=32",
        f"algo.total_env_steps={60 * 32 * 32}",
    ]
)
market = make_market(config)
learner = make_learner(config, market)
update = jax.jit(learner.update)
state = jax.jit(learner.init)(jax.random.key(0), market.params["train"])
untrained = state.agents
for _ in range(learner.num_updates):
    state, metrics = update(state, market.params["train"])
victims = state.agents
lab = Lab(Path(), config, market, learner, [victims], untrained, int(state.update))
print("return while training:", float(metrics["agents"]["market_maker"]["episode_return"]))

# %% [markdown]
# ## Attacks, and training against them
#
# `harden` lets the policy go on learning in an attacked market. That is one row more in the
# matrix, and the question is whether it is better *there*, and at what price elsewhere.

# %%
NUM_EPISODES = 128
clean = make_scenario(lab, CLEAN)
scenarios = [make_scenario(lab, name) for name in ("momentum_ignition", "depth_half")]
policies = {
    "as learned": victims,
    "hardened": harden(lab, victims, make_scenario(lab, "momentum_ignition", "train"), 20),
}
key = jax.random.key(1)
rows = attack_matrix(learner, policies, clean, scenarios, key, num_episodes=NUM_EPISODES)

# %% [markdown]
# ## An adversary that learns
#
# Each step it does nothing, buys at the ask or sells at the bid. Thirty updates of PPO, against the
# frozen maker, with 500 ticks times shares to lose.

# %%
adversary = train_adversary(lab, victims, budget=500.0, num_updates=30, key=key)
without = Player(market.env, learner, NUM_EPISODES, keep=KEEP_INVENTORY).play(
    victims, clean.params, key
)
attacked = adversary.play(victims, clean.params, key, NUM_EPISODES)
rows += compare_pair("as learned", "learned_adversary", without, attacked)

# %% [markdown]
# ## The matrix
#
# **What to see:** damage with its interval (an interval across zero: no damage proven), the worst
# 5 % before and after, and what the attacker earned. In the mean little is proven here, and
# attackers lose by what they do. Compare the worst twentieth of episodes where orders have half the
# size: who looks at means alone may call a maker robust that is not. And hardening against
# something that does no harm teaches nothing.

# %%
print(f"{'policy':11s} {'scenario':18s} {'damage':>24s}  CVaR clean  attacked  attacker")
for row in rows:
    interval = f"{row.damage.value:7.1f} [{row.damage.low:6.1f}, {row.damage.high:6.1f}]"
    paid = "-" if row.attacker_pnl is None else f"{row.attacker_pnl:.1f}"
    worst = f"{row.worst_clean:11.1f} {row.worst_attacked:9.1f}"
    print(f"{row.policy:11s} {row.scenario:18s} {interval:>24s} {worst}  {paid}")

figure = go.Figure()
for policy in policies:
    shown = [row for row in rows if row.policy == policy]
    figure.add_bar(
        x=[row.scenario for row in shown],
        y=[row.damage.value for row in shown],
        name=policy,
        error_y={
            "symmetric": False,
            "array": [row.damage.high - row.damage.value for row in shown],
            "arrayminus": [row.damage.value - row.damage.low for row in shown],
        },
    )
figure.update_layout(yaxis_title="damage (ticks x shares in an episode)", barmode="group")
style(figure).show()

# %% [markdown]
# ## How does the damage arise?
#
# **What to see:** the maker's inventory, averaged in size over episodes, with and without the
# adversary that learns, and how far it has moved the mid. An attacker who acts through orders can
# only push prices and fill quotes; both are visible here.

# %%
figure = go.Figure()
for label, episodes in (("clean", without), ("attacked", attacked)):
    size = abs(episodes.agents["market_maker"]["inventory"].astype(float)).mean(axis=(1, 2))
    figure.add_scatter(y=size, name=f"inventory, {label}")
moved = abs(attacked.market["mid"] - without.market["mid"]).mean(axis=1)
figure.add_scatter(y=moved, name="distance of the mids (ticks)", line_dash="dot")
figure.update_layout(xaxis_title="step", yaxis_title="shares; ticks")
style(figure).show()

# %% [markdown]
# ## Things to try
#
# 1. Give the adversary a budget of 50. Does it still find something to do?
# 2. Harden against `depth_half` instead. Does that help against the manipulator?
# 3. `lob-analysis attack RUN --harden momentum_ignition` tries all manipulators and all stress.

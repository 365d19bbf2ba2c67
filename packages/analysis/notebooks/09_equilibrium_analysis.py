# %% [markdown]
# # 9. Is it an equilibrium?
#
# Learning curves that have gone flat prove nothing: all may be stuck, or going round together. The
# question of game theory is sharper: **what could one of them gain by playing something else while
# the others stay?** Nobody can try everything, so what we find is a *lower bound* on NashConv, and
# the report must say how hard we looked.
#
# Two ways to look: a table of what known policies earn against each other (empirical game-theoretic
# analysis, Wellman 2006), and training a best response on purpose.

# %%
import jax
import numpy as np
import plotly.graph_objects as go
from lob_analysis import paired_difference
from lob_analysis.equilibrium import multi_replicator, rank_profiles, support_enumeration
from lob_analysis.equilibrium.deviations import Responder
from lob_analysis.equilibrium.payoffs import episodes_needed, payoff_table
from lob_analysis.pages.plots import style
from lob_analysis.play.simulate import Player
from lob_core.runtime import configure_cpu
from marl_algos import PPO, NetworkConfig, PPOConfig, TypeConfig
from marl_envs import AgentSpec, EnvConfig, MarketEnv

configure_cpu()

env = MarketEnv(
    EnvConfig(
        agents=(
            AgentSpec("market_maker"),
            AgentSpec("execution", action="fixed_quants", settings={"task_size": 60}),
        ),
        num_steps=16,
        messages_per_step=10,
        num_slots=32,
    )
)
train_params = env.make_params(num_openings=64, key=jax.random.key(1))
test_params = env.make_params(num_openings=64, key=jax.random.key(2))
settings = PPOConfig(learning_rate=2e-3)
types = dict.fromkeys(env.groups, TypeConfig(settings, NetworkConfig(hidden=(32,))))
learner = PPO(env, types, num_envs=64, num_steps=16, num_updates=120)

# %% [markdown]
# ## Policies of one training run
#
# Train, and keep what there is after 0, 30, 60 and 120 updates.

# %%
train = jax.jit(
    lambda state: jax.lax.scan(
        lambda now, _: (learner.update(now, train_params)[0], None), state, length=30
    )[0]
)
state = jax.jit(learner.init)(jax.random.key(0), train_params)
snapshots = [state.agents]
for _ in range(4):
    state = train(state)
    snapshots.append(state.agents)
KEPT = (0, 1, 2, 4)
labels = [f"{30 * i} updates" for i in KEPT]

# %% [markdown]
# ## How many episodes?
#
# Before simulating, ask how exact the table has to be. If an episode's result has deviation
# $\sigma$ and all $c$ cells shall be within $\epsilon$ with probability $1 - \alpha$, then $n \ge
# (z_{1 - \alpha / 2c}\, \sigma / \epsilon)^2$ is enough (Bonferroni). **What to see:** the
# execution agent's results vary ten times as much as the maker's, so the same exactness takes a
# hundred times the episodes. We play 256, enough for the large differences.

# %%
player = Player(env, learner, num_episodes=256)
policies = {name: [snapshots[i][name] for i in KEPT] for name in env.groups}
table = payoff_table(
    player,
    policies,
    test_params,
    jax.random.key(3),
    labels=dict.fromkeys(env.groups, labels),
    measure="pnl",
    greedy=False,
)
for role in table.roles:
    deviation = float(table.samples[role].std(axis=-1).max())
    needed = episodes_needed(deviation, 5.0, num_cells=16)
    print(f"{role:13s} deviation {deviation:6.1f}; {needed} episodes a cell for +- 5")

# %% [markdown]
# ## The table
#
# **What to see:** what each earns (PnL, ticks times shares) by who plays what. Read the maker's
# picture by rows: does its later policy earn more against every opponent? And by columns: what do
# better execution agents do to the maker? Differences of neighboring cells below two standard
# errors (printed) say nothing.

# %%
for role, game, errors in zip(table.roles, table.game, table.errors, strict=True):
    print(f"{role}: largest standard error {errors.max():.1f}")
    figure = go.Figure(
        go.Heatmap(z=game, x=labels, y=labels, colorscale="Viridis", colorbar_title="PnL")
    )
    figure.update_layout(
        title=f"what the {role} earns",
        xaxis_title=f"{table.roles[1]}",
        yaxis_title=f"{table.roles[0]}",
    )
    style(figure, height=380).show()

# %% [markdown]
# ## Solving it
#
# The table is a small game of its own, and small games can be solved: support enumeration finds
# all equilibria of a (nondegenerate) two-player game, replicator dynamics shows which of them
# populations would grow towards, and alpha-rank (Omidshafiei et al. 2019) how much time an
# evolving pair spends in each cell. **What to see:** whether the three agree, and whether the last
# policies are what they choose.

# %%
for x, y in support_enumeration(table.game):
    gap = table.gap([x, y])
    print("equilibrium: maker", x.round(2).tolist(), "execution", y.round(2).tolist())
    print(f"  gap within the table {gap.value:.2f} [{gap.low:.2f}, {gap.high:.2f}]")
scaled = [game / np.ptp(game) for game in table.game]
paths = multi_replicator(scaled, time=200.0)
print("replicator ends at", [path[-1].round(2).tolist() for path in paths])
ranks = np.asarray(rank_profiles(scaled, alpha=10.0, population=50)).reshape(len(KEPT), -1)
best = np.unravel_index(ranks.argmax(), ranks.shape)
print(f"alpha-rank: most time at {[labels[i] for i in best]} ({ranks.max():.0%})")

figure = go.Figure()
for index, label in enumerate(labels):
    figure.add_scatter(y=paths[0][:, index], name=label)
figure.update_layout(xaxis_title="time (steps)", yaxis_title="share among makers")
style(figure).show()

# %% [markdown]
# ## Looking for better answers
#
# The table knows four policies a side. A trained best response looks everywhere its network can
# go. It starts from the policy itself, learns against the *frozen* other on training books, and is
# judged on test books, episode by episode. **What to see:** the gains. An interval that holds zero
# means: no better answer *found*. One that is above zero proves that play has not ended in
# equilibrium.

# %%
agents, key = snapshots[-1], jax.random.key(4)
base = player.play(agents, test_params, key, greedy=False)
bound = 0.0
for role in env.groups:
    responder = Responder(env, learner, role, algo="ippo", num_updates=60)
    response = responder.respond(agents, train_params, jax.random.key(5))
    played = player.play(agents | {role: response}, test_params, key, greedy=False)
    gain = paired_difference(played.of(role), base.of(role))
    bound += max(gain.value, 0.0)
    print(f"{role:13s} gains {gain.value:+.4f} [{gain.low:+.4f}, {gain.high:+.4f}] in its reward")
print(f"NashConv is at least about {bound:.4f}, in units of reward")

# %% [markdown]
# ## Things to try
#
# 1. Judge best responses on the books they were trained on. By how much does the gain grow, and
#    why is that number worthless?
# 2. Add constant actions to the search (`DeviationSearch` does): simple deviations often beat
#    trained ones.
# 3. `lob-analysis exploit RUN` does all of it for a training run and adds a section to its report.

# %% [markdown]
# # 5. Independent learners
#
# The simplest multi-agent method: every agent type learns by itself and takes the others for a part
# of the world. Here both a market maker and an execution agent run proximal policy optimization
# (Schulman et al. 2017) in one market. With the probability ratio
# $\rho_t = \pi_\theta(a_t|o_t) / \pi_{\text{old}}(a_t|o_t)$ and an advantage $A_t$ it climbs
# $$ \mathbb{E}\big[ \min(\rho_t A_t, \;
#    \mathrm{clip}(\rho_t, 1 - \epsilon, 1 + \epsilon)\, A_t) \big], $$
# and the advantage is the generalized estimate (Schulman et al. 2016)
# $$ A_t = \sum_{l \ge 0} (\gamma \lambda)^l \delta_{t+l}, \qquad
#    \delta_t = r_t + \gamma V(o_{t+1}) - V(o_t). $$
# The clip matters twice here: a step that is too long hurts the learner, and it changes the world
# of everybody else.

# %%
import jax
import numpy as np
import plotly.graph_objects as go
from lob_analysis import paired_difference
from lob_analysis.pages.plots import style
from lob_analysis.play.simulate import Player
from lob_core.runtime import configure_cpu
from marl_algos import PPO, NetworkConfig, PPOConfig, TypeConfig
from marl_envs import AgentSpec, EnvConfig, MarketEnv
from plotly.subplots import make_subplots

configure_cpu()

NUM_UPDATES = 150
env = MarketEnv(
    EnvConfig(
        agents=(
            AgentSpec("market_maker"),
            AgentSpec("execution", settings={"task_size": 100}),
        ),
        num_steps=32,
        messages_per_step=10,
        num_slots=48,
    )
)
# Opening books to learn from, and others to be judged on.
train_params = env.make_params(num_openings=64, key=jax.random.key(1))
test_params = env.make_params(num_openings=64, key=jax.random.key(2))

# %% [markdown]
# A learner needs settings by agent type; types differ in scale and task, so each has its own
# network and moments. `init` and `update` are pure: one `scan` over `update` is the whole training
# run.

# %%
settings = PPOConfig(learning_rate=2e-3, num_minibatches=4, entropy_coef=0.01)
types = dict.fromkeys(env.groups, TypeConfig(settings, NetworkConfig(hidden=(32,))))
learner = PPO(env, types, num_envs=64, num_steps=32, num_updates=NUM_UPDATES)


@jax.jit
def train(key, params):
    """The agents before and after, and metrics by update."""
    start = learner.init(key, params)
    end, metrics = jax.lax.scan(
        lambda state, _: learner.update(state, params), start, length=NUM_UPDATES
    )
    return start.agents, end.agents, metrics["agents"]


untrained, agents, metrics = jax.block_until_ready(train(jax.random.key(0), train_params))
print("metrics of a type:", ", ".join(sorted(metrics["market_maker"])))

# %% [markdown]
# ## Learning curves
#
# **What to see:** both returns rise, although each learner only looks after itself. Entropy falls
# as policies commit; explained variance (1: the critic knows the return, 0: it knows the mean)
# says whether advantages mean anything. Look at it first when something does not learn.

# %%
SHOWN = ("episode_return", "entropy", "explained_variance")
figure = make_subplots(rows=1, cols=3, subplot_titles=SHOWN)
for color, name in zip(("#1f77b4", "#d62728"), env.groups, strict=True):
    for column, metric in enumerate(SHOWN, start=1):
        values = np.asarray(metrics[name][metric])
        figure.add_scatter(
            y=values, name=name, line_color=color, showlegend=column == 1, row=1, col=column
        )
figure.update_xaxes(title="update")
style(figure).update_layout(legend={"y": -0.2, "yanchor": "top"}).show()

# %% [markdown]
# ## Did it learn? Ask on other data
#
# A training curve is measured on the books that were learned from. So we play both sets of
# policies, sampling actions as in training, on *other* opening books, all with the same keys, and
# look at differences episode by episode. One type is exchanged at a time: what changes is that
# type's own.

# %%
player = Player(env, learner, num_episodes=256)
key = jax.random.key(3)
learned = player.play(agents, test_params, key, greedy=False)
for name in env.groups:
    others = agents | {name: untrained[name]}
    before = player.play(others, test_params, key, greedy=False)
    gain = paired_difference(learned.of(name, "pnl"), before.of(name, "pnl"))
    print(f"{name:13s} PnL gained {gain.value:7.1f}  [{gain.low:7.1f}, {gain.high:7.1f}]")

figure = go.Figure()
for name, quantity in (("market_maker", "pnl"), ("execution", "shortfall")):
    figure.add_histogram(x=learned.of(name, quantity), name=f"{name}: {quantity}", opacity=0.6)
figure.update_layout(
    barmode="overlay", xaxis_title="ticks x shares in an episode", yaxis_title="episodes"
)
style(figure).show()

# %% [markdown]
# ## What did they learn?
#
# **What to see:** how often each action is taken, before and after. The untrained network plays
# nearly everything; the trained one a few actions. For the maker: actions 1 to 4 are wider and
# wider quotes, 5 and 6 lean to one side, 9 trades out of the inventory (`docs/envs/market.md` has
# the table).


# %%
def shares(policies):
    """How often each action is sampled in a rollout, by type."""
    start = learner.start_rollout(jax.random.key(4), test_params)
    keys = {name: jax.random.key(i) for i, name in enumerate(env.groups)}
    moves = learner.play(policies, keys, start.obs, start.carry, start.is_first, greedy=False)
    return {
        name: np.bincount(
            np.asarray(move.action).ravel(), minlength=env.groups[name].action_space.n
        )
        / move.action.size
        for name, move in moves.items()
    }


figure = make_subplots(rows=1, cols=2, subplot_titles=tuple(env.groups))
for label, policies, color in (
    ("untrained", untrained, "#b8bdc4"),
    ("trained", agents, "#1f77b4"),
):
    by_type = shares(policies)
    for column, name in enumerate(env.groups, start=1):
        figure.add_bar(
            y=by_type[name],
            name=label,
            marker_color=color,
            showlegend=column == 1,
            row=1,
            col=column,
        )
figure.update_xaxes(title="action").update_yaxes(title="share at the open", col=1)
style(figure).update_layout(legend={"y": -0.2, "yanchor": "top"}).show()

# %% [markdown]
# ## Things to try
#
# 1. Train with three seeds (`jax.vmap(train, (0, None))(keys, train_params)`): how much of what you
#    saw was luck? Reinforcement learning results without seeds are anecdotes.
# 2. `NetworkConfig(kind="gru")`: does memory help the execution agent?
# 3. The same from the command line, with checkpoints, baselines and a report: `nox -s train`.

# %% [markdown]
# # 8. Populations
#
# Two ideas in which many learners are better than one.
#
# **Population-based training** (Jaderberg et al. 2017) is about *settings*: train several learners
# side by side, let the worst copy the best and change what they copied a little. The settings
# become a schedule that nobody had to write down.
#
# **PSRO**, policy-space response oracles (Lanctot et al. 2017), is about *opponents*: keep a
# population of policies, fill in the table of what each earns against each, solve that table as a
# game, train a best response to the solution, add it, repeat. When nobody can gain, the mixture is
# an equilibrium, as far as the best responses are good.

# %%
import jax
import jax.numpy as jnp
import numpy as np
import plotly.graph_objects as go
from lob_analysis.pages.plots import style
from lob_analysis.populations.diversity import effective_rank
from lob_core.runtime import configure_cpu
from marl_algos import PPO, NetworkConfig, PPOConfig, TypeConfig
from marl_algos.populations.pbt import PBT, PBTConfig, scores_of
from marl_algos.populations.psro import PSRO, PSROConfig
from marl_envs.games import kuhn
from marl_envs.games.quoting import SingleMaker
from plotly.subplots import make_subplots

configure_cpu()

# %% [markdown]
# ## Settings that evolve
#
# One maker alone with its inventory in the market of Avellaneda and Stoikov. Learning rates start
# between hopeless and wild. **What to see:** left, the score of every member and generation; right,
# its learning rate. Lines that jump were replaced by a copy of another. After a few generations the
# rates at the ends have died out.

# %%
env = SingleMaker(num_steps=16)
settings = PPOConfig(
    final_learning_rate=1.0, entropy_coef=0.0, num_minibatches=2, normalize_obs=False
)
types = dict.fromkeys(env.groups, TypeConfig(settings, NetworkConfig(hidden=(16,))))
learner = PPO(env, types, num_envs=64, num_steps=16, num_updates=1000)
pbt = PBT(
    learner,
    PBTConfig(
        population=8,
        updates_per_generation=8,
        cut=0.25,
        ranges=(("learning_rate", (1e-5, 0.3)),),
    ),
)
state = pbt.init(jax.random.key(0), None)
scores, rates, copied = [], [], []
for _ in range(10):
    rates.append(np.asarray(state.members.agents["market_maker"].hyper["learning_rate"]))
    state, metrics = pbt.train(state, None)
    scores.append(scores_of(metrics))
    state, rows = pbt.evolve(state, scores[-1])
    copied.append([row["parent"] for row in rows])
scores, rates = np.array(scores), np.array(rates)

figure = make_subplots(rows=1, cols=2, subplot_titles=("score", "learning rate"))
for member in range(scores.shape[1]):
    for column, values in enumerate((scores, rates), start=1):
        figure.add_scatter(
            y=values[:, member], name=f"member {member}", showlegend=False, row=1, col=column
        )
figure.update_xaxes(title="generation").update_yaxes(type="log", col=2)
style(figure).show()
print("scores of the first generation", np.sort(scores[0]).round(1).tolist())
print("scores of the last generation ", np.sort(scores[-1]).round(1).tolist())

# %% [markdown]
# Follow the copies back: which of the first members has descendants? **What to see:** most lines
# end.

# %%
ancestors = np.arange(8)
for parents in copied:
    ancestors = ancestors[np.array(parents)]
for founder, rate in enumerate(rates[0]):
    print(f"founder {founder}: rate {rate:.1e}, descendants {np.sum(ancestors == founder)}")

# %% [markdown]
# ## Opponents that grow
#
# PSRO on Kuhn poker. `gap` is what the new best responses gain against the mixture they answer, an
# estimate of NashConv from below; here the exact NashConv of the mixture is known as well. **What
# to see:** both fall, though not at every step: a population without a good answer to something is
# exploitable until one has been found.


# %%
def make_learner(env):
    """A small PPO that looks for best responses."""
    settings = PPOConfig(
        learning_rate=0.02,
        final_learning_rate=1.0,
        entropy_coef=0.0,
        num_epochs=2,
        num_minibatches=2,
        normalize_obs=False,
    )
    types = dict.fromkeys(env.groups, TypeConfig(settings, NetworkConfig(hidden=(16,))))
    return PPO(env, types, num_envs=256, num_steps=2, num_updates=1000)


psro = PSRO(
    kuhn.KuhnPoker(),
    make_learner,
    PSROConfig(max_iterations=6, updates_per_response=60, num_matches=2048),
)


def mixed_plans(state, name):
    """Probabilities `[3, plans]` by card under the mixture of the population."""
    mixture = psro.mixture(state)[name]

    def one(agent):
        policies = psro.base.policies(
            {name: agent}, {name: jnp.eye(3)[:, None]}, psro.base.initial_carry(3), jnp.ones(3), {}
        )
        return jax.nn.softmax(policies[name][1].logits[:, 0])

    each = np.asarray(jax.vmap(one)(state.pools[name].agents))[: len(mixture)]
    return np.einsum("k,kra->ra", mixture, each)


def exact(state):
    """NashConv of the mixture, in chips."""
    return kuhn.nash_conv(*[mixed_plans(state, name) for name in ("first", "second")])


state = psro.init(jax.random.key(0), None)
exact_gap, steps = [exact(state)], []
for _ in range(psro.config.max_iterations):
    state, step = psro.iterate(state, None)
    steps.append(step)
    exact_gap.append(exact(state))
figure = go.Figure()
figure.add_scatter(y=exact_gap, name="NashConv of the mixture, exact")
figure.add_scatter(y=[step.gap for step in steps], name="gap found by best responses")
figure.update_layout(xaxis_title="iteration", yaxis_title="chips")
style(figure).show()
print("NashConv by iteration:", np.round(exact_gap, 2).tolist())

# %% [markdown]
# ## Is the population diverse?
#
# Ten policies that play alike are one. The *effective rank* of the payoff table counts directions
# (exponential of the entropy of its singular values, Roy and Vetterli 2007). **What to see:** how
# far the rank is below the number of policies, and which of them the mixture plays at all.

# %%
table = psro.table(state)[psro.names.index("first")]
print(f"effective rank {effective_rank(table):.1f} of {len(table)} policies")
print("mixture:", {name: mixed.round(2).tolist() for name, mixed in psro.mixture(state).items()})
figure = go.Figure(go.Heatmap(z=table, colorscale="RdBu", zmid=0, colorbar_title="chips"))
figure.update_layout(xaxis_title="policy of the second player", yaxis_title="policy of the first")
style(figure, height=400).show()

# %% [markdown]
# ## Things to try
#
# 1. `PSROConfig(solver="alpha_rank")` mixes by an evolutionary ranking instead of Nash. Who
#    survives?
# 2. `updates_per_response=10`: bad oracles. Which of the two curves notices?
# 3. `nox -s pbt` and `nox -s psro` do the same on the market.

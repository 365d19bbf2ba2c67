# %% [markdown]
# # 3. What does it mean to learn against learners?
#
# One agent in a fixed world has a best policy. Several agents have a **game**: what is best for
# one depends on what the others do, and they change. This notebook has three ideas, each on a game
# small enough to see everything: best responses and equilibrium, why learning can go round in
# circles, and why what is best for each can be bad for all.
#
# A profile $x = (x_1, \dots, x_n)$ of mixed strategies gives player $i$ the payoff $u_i(x)$. What
# is left to gain by deviating alone is
# $$ \mathrm{NashConv}(x) = \sum_i \Big( \max_{y} u_i(y, x_{-i}) - u_i(x) \Big) \ge 0, $$
# which is zero exactly at a Nash equilibrium (Lanctot et al. 2017).

# %%
import functools

import jax
import jax.numpy as jnp
import numpy as np
import plotly.graph_objects as go
from lob_analysis.equilibrium import (
    best_cce,
    cce_gap,
    multi_replicator,
    nash_conv,
    price_of_anarchy,
    regret_matching,
    solve_zero_sum,
    support_enumeration,
    zero_sum,
)
from lob_analysis.pages.plots import style
from lob_analysis.pages.simplex import simplex_picture
from lob_core.runtime import configure_cpu
from marl_algos import PPO, NetworkConfig, PPOConfig, TypeConfig
from marl_envs.games.matrix import matching_pennies, prisoners_dilemma

configure_cpu()

# %% [markdown]
# ## A maker and a taker
#
# A maker quotes tight or wide; a taker trades at once or waits. Against a tight quote the taker
# wants to trade, against a wide one to wait; a maker whose taker waits wants to be tight, and one
# whose taker trades anyway wants to be wide. Nobody can rest: the only equilibrium is mixed.

# %%
maker = np.array([[1.0, -1.0], [3.0, -2.0]])  # rows: tight, wide; columns: trade, wait
taker = np.array([[2.0, 0.0], [-1.0, 1.0]])
for x, y in support_enumeration([maker, taker]):
    print(f"maker tight {x[0]:.2f}, taker trades {y[0]:.2f}")
    print(f"NashConv there {nash_conv([maker, taker], [x, y]):.3f}")
print(f"NashConv of always tight, always trade {nash_conv([maker, taker], [[1, 0], [1, 0]]):.1f}")

# %% [markdown]
# ## Learning in circles
#
# Let both adapt a little, always towards what pays now. That is replicator dynamics, $\dot x_i =
# x_i (u_i - \bar u)$, the infinitesimal form of many learners. In zero-sum games the paths circle
# around the equilibrium and never arrive; *the average over time does*. Regret matching (Hart and
# Mas-Colell 2000) makes a method of that. **What to see:** the path of the strategies is a ring;
# the average goes to the star.

# %%
pennies = zero_sum([[1.0, -1.0], [-1.0, 1.0]])
row, column = (
    path[:, 0]
    for path in multi_replicator(pennies, [[0.8, 0.2], [0.5, 0.5]], time=40, num_steps=4000)
)
steps = np.arange(1, len(row) + 1)
figure = go.Figure()
figure.add_scatter(x=row[::10], y=column[::10], name="strategies")
figure.add_scatter(
    x=(np.cumsum(row) / steps)[::10], y=(np.cumsum(column) / steps)[::10], name="their average"
)
figure.add_scatter(
    x=[0.5], y=[0.5], mode="markers", marker={"symbol": "star", "size": 14}, name="equilibrium"
)
figure.update_layout(xaxis_title="row plays heads", yaxis_title="column plays heads")
style(figure, height=420).show()

average, _ = regret_matching(pennies, num_iterations=2000)
print("regret matching, average:", [x.round(3).tolist() for x in average])

# %% [markdown]
# The same with three strategies: rock, paper, scissors with unequal stakes. Each corner of the
# triangle is a population that plays one strategy only. **What to see:** rings around the star,
# whose place the linear programme of `solve_zero_sum` gives exactly.

# %%
stakes = np.array([[0.0, -0.25, 0.5], [0.25, 0.0, -0.05], [-0.5, 0.05, 0.0]])
print("equilibrium:", solve_zero_sum(stakes)[0].round(4).tolist(), "= 1/16, 10/16, 5/16")
simplex_picture(stakes, ["rock", "paper", "scissors"], time=150.0).figure.show()

# %% [markdown]
# ## Neural learners circle as well
#
# Two independent PPO learners play matching pennies. To each of them the other is part of a world
# that does not stand still, so the guarantees of single-agent learning are gone. **What to see:**
# the probabilities chase each other, and stay longer in a corner each time, where hardly anything
# is sampled that could lead out of it; where they are at the last update is an accident.
# Fictitious play, self-play with a pool of old opponents, and PSRO (notebooks 7 and 8) are ways to
# learn against the average.

# %%
env = matching_pennies()
settings = PPOConfig(
    learning_rate=0.02, final_learning_rate=1.0, entropy_coef=0.1, normalize_obs=False
)
types = dict.fromkeys(env.groups, TypeConfig(settings, NetworkConfig(hidden=(8,))))
learner = PPO(env, types, num_envs=64, num_steps=2, num_updates=400)


@functools.partial(jax.jit, static_argnames="num_updates")
def swing(key, num_updates):
    """Probability that each player plays action 0, by update."""

    def step(state, _):
        state, _ = learner.update(state, None)
        policies = learner.policies(
            state.agents,
            {name: jnp.ones((1, 1, 1)) for name in env.groups},
            learner.initial_carry(1),
            jnp.ones(1),
            {},
        )
        heads = [jax.nn.softmax(policies[name][1].logits).ravel()[0] for name in env.groups]
        return state, jnp.stack(heads)

    return jax.lax.scan(step, learner.init(key, None), length=num_updates)[1]


heads = np.asarray(swing(jax.random.key(0), num_updates=400), np.float64)
print("last update:         ", heads[-1].round(2).tolist())
print("average over updates:", heads.mean(axis=0).round(2).tolist())
figure = go.Figure()
for index, name in enumerate(env.groups):
    figure.add_scatter(y=heads[:, index], name=name)
figure.update_layout(xaxis_title="update", yaxis_title="probability of heads", yaxis_range=[0, 1])
style(figure).show()

# %% [markdown]
# ## Best for each, bad for all
#
# In a prisoner's dilemma defecting dominates, and so both get 1 where both could have 3. Makers who
# undercut each other are in one, and their clients are glad of it. The *price of anarchy* compares
# what all get together in the worst equilibrium with the best they could have.
#
# If somebody could recommend actions, such as a venue or a habit, play could be correlated: a
# *coarse correlated equilibrium* is a joint distribution that nobody wants to leave beforehand.
# That is what learners without regret end up in, and it is a larger set than Nash.

# %%
dilemma = prisoners_dilemma().payoffs
equilibria = support_enumeration(dilemma)
print("equilibria:", [[x.tolist() for x in profile] for profile in equilibria])
print("price of anarchy:", price_of_anarchy(dilemma, equilibria))

chicken = [np.array([[6.0, 2.0], [7.0, 0.0]])] * 2
chicken[1] = chicken[0].T
joint = best_cce(chicken)
print("best coarse correlated equilibrium of chicken:\n", joint.round(3))
print("gap:", round(cce_gap(chicken, joint), 6), " welfare:", float((joint * sum(chicken)).sum()))

# %% [markdown]
# ## Things to try
#
# 1. Change the maker's 3.0 (wide, and the taker trades) to 1.5. Which player's mixture changes?
#    (Not the maker's: a mixture makes the *other* indifferent.)
# 2. Give PPO `entropy_coef=0.5`, then 0. Why do circles shrink with it, and end in corners without
#    it? What does it cost in games whose equilibrium is not uniform?
# 3. Draw the simplex of a coordination game, `np.eye(3)`: which stars attract?

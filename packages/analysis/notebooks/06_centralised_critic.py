# %% [markdown]
# # 6. Centralized critics
#
# Independent learners have a problem of credit: a critic that sees what its agent sees cannot tell
# whether a return came from its own action or from another's. But training happens in a simulator,
# where all is known. *Centralized training, decentralized execution*: critics see everything,
# policies only their own observation, and only policies are needed in the market.
#
# * **MAPPO** (Yu et al. 2022) is PPO whose critic is $V(o_1, \dots, o_n)$.
# * **VDN** (Sunehag et al. 2018) splits the value of a team into a sum, $Q = \sum_i Q_i(o_i, a_i)$.
# * **QMIX** (Rashid et al. 2018) needs only that $Q$ rises with each $Q_i$: a monotone mixing
#   network.

# %%
import functools

import jax
import jax.numpy as jnp
import numpy as np
from lob_analysis.pages.plots import style
from lob_core.runtime import configure_cpu
from marl_algos import (
    PPO,
    MixingConfig,
    NetworkConfig,
    PPOConfig,
    TypeConfig,
    make_mappo,
    make_qmix,
    make_vdn,
)
from marl_algos.learners.mappo import joint_observation
from marl_envs.games.kyle import KyleAuction, price_impact
from marl_envs.games.two_step import TwoStep
from plotly.subplots import make_subplots

configure_cpu()

# %% [markdown]
# ## A team where a sum is not enough
#
# Two agents share a reward. At the first step the first agent chooses a game: *safe* pays 7
# whatever they do; *risky* pays 8 if both dare, 1 if one does, 0 if none. The best fit by a sum of
# the risky game, under uniform play, has its maximum at 6.5 < 7. So a learner that can only
# represent sums takes the safe game. **What to see:** VDN ends at 7, QMIX at 8, and this is about
# what a network can *say*, not about how long it was trained.

# %%
game, num_updates = TwoStep(), 300
settings = MixingConfig(
    learning_rate=5e-3,
    final_learning_rate=0.1,
    batch_size=128,
    buffer_size=8192,
    learning_starts=128,
    num_gradient_steps=8,
    target_rate=0.05,
    epsilon_end=1.0,
    mixer_size=8,
    hypernet_size=16,
)
types = {"agent": TypeConfig(settings, NetworkConfig(hidden=(32,), activation="relu"))}


def greedy_return(learner, agents):
    """What the learned team earns in an episode without exploration."""
    obs, place = game.reset_env(jax.random.key(0), None)
    total = 0.0
    for step in range(2):
        moves = learner.play(
            agents,
            {"agent": jax.random.key(0)},
            {"agent": obs["agent"][None]},
            learner.initial_carry(1),
            jnp.full(1, step == 0),
            greedy=True,
        )
        action = {"agent": moves["agent"].action[0]}
        obs, place, reward, *_ = game.step_env(jax.random.key(0), place, action, None)
        total += float(reward["agent"][0])
    return total


for label, make in (("VDN", make_vdn), ("QMIX", make_qmix)):
    learner = make(game, types, num_envs=16, num_steps=2, num_updates=num_updates)
    state, update = learner.init(jax.random.key(0), None), jax.jit(learner.update)
    for _ in range(num_updates):
        state, _ = update(state, None)
    print(label, "earns", greedy_return(learner, state.agents))

# %% [markdown]
# ## A critic that knows what a maker does not
#
# Kyle (1985): an insider sees the value $v \sim N(0, \sigma_v^2)$ of an asset and orders $x$, noise
# traders order $u \sim N(0, \sigma_u^2)$, and a maker sets the price $\lambda (x + u)$ without
# knowing $v$. In equilibrium
# $$ \lambda = \frac{\sigma_v}{2 \sigma_u}, \qquad x = \frac{\sigma_u}{\sigma_v} v. $$
# The maker is paid $-(\lambda (x + u) - v)^2$. Its own critic sees a constant and can only say
# "about as bad as usual"; the critic of MAPPO also sees $v$, as `joint_observation` shows. The
# policy that trades sees no more than before.

# %%
env = KyleAuction(value_std=2.0, noise_std=1.0)
obs, _ = env.reset_env(jax.random.key(0), None)
print("own  ", {name: x.shape[-1] for name, x in obs.items()})
print("joint", {name: x.shape[-1] for name, x in joint_observation(obs).items()})

# %% [markdown]
# **What to see:** left, explained variance of the maker's critic, three seeds each: zero for IPPO,
# about a third for MAPPO. Right, the maker's slope $\lambda$, which has to come to the dotted
# line. A better critic removes noise from advantages, not bias: both get there, so a critic is
# worth most where data is short.

# %%
NUM_UPDATES, SEEDS = 150, 3
ppo = PPOConfig(
    learning_rate=1e-2,
    final_learning_rate=0.05,
    entropy_coef=0.0,
    num_minibatches=2,
    max_grad_norm=1.0,
    normalize_obs=False,
)
types = dict.fromkeys(env.groups, TypeConfig(ppo, NetworkConfig(hidden=(8,))))


def with_slopes(learner, key):
    """Explained variance of the maker's critic and the maker's slope, by update."""

    def step(state, _):
        state, metrics = learner.update(state, None)
        moves = learner.play(
            state.agents,
            {"market_maker": key},
            {"market_maker": jnp.ones((1, 1, 1))},
            learner.initial_carry(1),
            jnp.ones(1, bool),
            greedy=True,
        )
        explained = metrics["agents"]["market_maker"]["explained_variance"]
        return state, (explained, moves["market_maker"].action.ravel()[0])

    return jax.lax.scan(step, learner.init(key, None), length=NUM_UPDATES)[1]


titles = ("explained variance of the maker's critic", "maker's slope")
figure = make_subplots(rows=1, cols=2, subplot_titles=titles)
keys = jax.random.split(jax.random.key(0), SEEDS)
for color, (label, make) in zip(
    ("#1f77b4", "#d62728"), {"IPPO": PPO, "MAPPO": make_mappo}.items(), strict=True
):
    learner = make(env, types, num_envs=512, num_steps=1, num_updates=NUM_UPDATES)
    curves = jax.jit(jax.vmap(functools.partial(with_slopes, learner)))(keys)
    for column, lines in enumerate(np.asarray(curve, np.float64) for curve in curves):
        for seed, line in enumerate(lines):
            figure.add_scatter(
                y=line,
                name=label,
                line_color=color,
                showlegend=seed + column == 0,
                row=1,
                col=column + 1,
            )
        print(f"{label:6s} {titles[column]}: {lines[:, -20:].mean(axis=1).round(2).tolist()}")
figure.add_hline(y=price_impact(2.0, 1.0), line_dash="dot", row=1, col=2)
figure.update_yaxes(range=[-0.5, 1.0], col=1)
figure.update_xaxes(title="update")
style(figure).update_layout(legend={"y": -0.2, "yanchor": "top"}).show()

# %% [markdown]
# ## Things to try
#
# 1. Add `critic_attention=True` to the network: the critic attends over agents one by one.
# 2. Set `num_envs=32`, so that data is short. Whose slope is steadier now?
# 3. Make the risky game of the first part pay 6 instead of 8. What should both learners do?

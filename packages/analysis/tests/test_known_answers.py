"""Our own learner finds the closed forms of the trading games, within stated tolerances.

The small forms run in seconds. The long ones (marker `learn`) have ten to twenty times the data and
tighter tolerances.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from marl_algos.learners.ippo import PPO
from marl_algos.settings import NetworkConfig, PPOConfig, TypeConfig
from marl_envs.games import glosten_milgrom, kyle, quoting

SETTINGS = PPOConfig(
    learning_rate=1e-2,
    final_learning_rate=0.05,
    discount=0.995,
    gae_lambda=0.9,
    entropy_coef=0.0,
    num_minibatches=2,
    max_grad_norm=1.0,
    normalize_obs=False,
)


def forms(*small_and_long):
    """Settings of the small form, and of the long one behind its marker."""
    small, long = small_and_long
    return [
        pytest.param(*small, id="small"),
        pytest.param(*long, id="long", marks=pytest.mark.learn),
    ]


def learn(env, num_envs, num_updates, obs, num_steps=1, learning_rate=1e-2):
    """Trains PPO on a game; greedy actions by type for observations `[n, A, F]`."""
    config = TypeConfig(
        PPOConfig(**{**vars(SETTINGS), "learning_rate": learning_rate}), NetworkConfig(hidden=(8,))
    )
    types = dict.fromkeys(env.groups, config)
    ppo = PPO(env, types, num_envs=num_envs, num_steps=num_steps, num_updates=num_updates)
    obs = {name: jnp.asarray(value, jnp.float32) for name, value in obs.items()}
    size = len(next(iter(obs.values())))
    keys = {name: jax.random.key(1) for name in obs}

    @jax.jit
    def run(key):
        state, _ = jax.lax.scan(
            lambda state, _: (ppo.update(state, None)[0], None),
            ppo.init(key, None),
            length=num_updates,
        )
        carry, is_first = ppo.initial_carry(size), jnp.ones(size, bool)
        return ppo.play(state.agents, keys, obs, carry, is_first, greedy=True)

    return {name: np.asarray(move.action) for name, move in run(jax.random.key(0)).items()}


@pytest.mark.parametrize(
    ("num_envs", "num_updates", "tolerance"), forms((2048, 200, 0.25), (8192, 500, 0.12))
)
def test_kyle__insider_and_maker_find_the_linear_equilibrium(num_envs, num_updates, tolerance):
    env = kyle.KyleAuction(value_std=2.0, noise_std=1.0)
    values = np.linspace(-1.5, 1.5, 31)
    obs = {"insider": values[:, None, None], "market_maker": np.ones((31, 1, 1))}
    actions = learn(env, num_envs, num_updates, obs)
    quantity = actions["insider"][:, 0, 0]
    intensity = (quantity @ values) / (values @ values) / env.value_std
    assert intensity == pytest.approx(kyle.insider_intensity(2.0, 1.0), rel=tolerance)
    slope = actions["market_maker"][0, 0, 0]
    assert slope == pytest.approx(kyle.price_impact(2.0, 1.0), rel=tolerance / 2)
    assert np.corrcoef(quantity, values)[0, 1] > 0.99


@pytest.mark.parametrize(
    ("num_makers", "num_envs", "num_updates", "tolerance"),
    forms((3, 1024, 150, 0.08), (2, 4096, 800, 0.06)),
)
def test_glosten_milgrom__competition_leaves_the_zero_profit_spread(
    num_makers, num_envs, num_updates, tolerance
):
    env = glosten_milgrom.GlostenMilgrom(0.3, value_range=2.0, num_makers=num_makers)
    obs = {"market_maker": np.ones((1, num_makers, 1))}
    quotes = learn(env, num_envs, num_updates, obs, learning_rate=2e-2)["market_maker"][0, 0]
    half = glosten_milgrom.zero_profit_half_spread(0.3, 2.0)
    assert quotes == pytest.approx([half, half], abs=tolerance)


@pytest.mark.parametrize(
    ("num_envs", "num_updates", "tolerance"), forms((256, 100, 0.25), (2048, 200, 0.12))
)
def test_single_maker__quotes_are_those_of_avellaneda_and_stoikov(num_envs, num_updates, tolerance):
    env = quoting.SingleMaker()
    limit = env.max_inventory
    bid, ask = quoting.optimal_offsets(env.fill_decay, env.intensity, env.penalty, limit)
    obs = {"market_maker": np.eye(2 * limit + 1)[:, None]}
    quotes = learn(env, num_envs, num_updates, obs, num_steps=16)["market_maker"][:, 0]
    # A box cannot hold the slightly negative offsets at the limits of inventory.
    wanted = np.clip(np.concatenate([bid, ask]), 0.0, None)
    found = np.concatenate([quotes[:-1, 0], quotes[1:, 1]])
    inner = np.abs(wanted - 1.0 / env.fill_decay) < 0.9 / env.fill_decay
    assert np.abs(found - wanted)[inner].mean() < tolerance / env.fill_decay
    assert np.corrcoef(found, wanted)[0, 1] > 0.9


@pytest.mark.parametrize(("num_updates", "tolerance"), forms((100, 0.06), (1000, 0.03)))
def test_spread_race__two_makers_come_down_to_the_competitive_spread(num_updates, tolerance):
    env = quoting.SpreadRace(num_makers=2, cost=0.5, softness=0.1, limit=3.0)
    obs = {"market_maker": np.ones((1, 2, 1))}
    quotes = learn(env, 256, num_updates, obs)["market_maker"][0, :, 0]
    common = quoting.race_half_spread(2, 0.5, 0.1)
    assert quotes == pytest.approx([common, common], abs=tolerance)

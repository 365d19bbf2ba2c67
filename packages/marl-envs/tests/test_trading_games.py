"""Games with a closed form: nobody gains by leaving the answer that the docstring states."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from marl_envs.games import drift, glosten_milgrom, kyle, quoting
from marl_envs.testing import check_env

KEYS = jax.random.split(jax.random.key(0), 100_000)


def mean_rewards(env, action, choices, name, agent=0):
    """Mean reward of one agent over many draws of a one-step game, and its standard error.

    `action(obs, choice)` is played for each of the choices; means and errors are `[len(choices)]`.
    """

    def play(choice, key):
        key_reset, key_step = jax.random.split(key)
        obs, state = env.reset_env(key_reset, None)
        return env.step_env(key_step, state, action(obs, choice), None)[2][name][agent]

    everything = jax.jit(jax.vmap(jax.vmap(play, (None, 0)), (0, None)))
    paid = np.asarray(everything(jnp.asarray(choices), KEYS), np.float64)
    return paid.mean(axis=1), paid.std(axis=1) / paid.shape[1] ** 0.5


@pytest.mark.parametrize(
    "env",
    [
        kyle.KyleAuction(),
        glosten_milgrom.GlostenMilgrom(num_makers=3),
        quoting.SingleMaker(num_steps=3),
        quoting.SpreadRace(),
        drift.DriftGame(num_steps=3),
    ],
    ids=lambda env: type(env).__name__,
)
def test_game__keeps_the_contract_of_environments(env):
    check_env(env, None, num_steps=4)


def test_kyle__answers_are_best_responses_to_each_other():
    env = kyle.KyleAuction(value_std=2.0, noise_std=0.5)
    slope, intensity = kyle.price_impact(2.0, 0.5), kyle.insider_intensity(2.0, 0.5)

    def action(obs, factors):
        return {
            "insider": factors[0] * intensity * 2.0 * obs["insider"],
            "market_maker": jnp.full((1, 1), factors[1] * slope),
        }

    profit, error = mean_rewards(env, action, [[1.0, 1.0], [0.7, 1.0], [1.3, 1.0]], "insider")
    assert profit[0] == pytest.approx(2.0 * 0.5 / 2.0, abs=5 * error[0])
    assert (profit[1:] < profit[0]).all()
    loss, error = mean_rewards(env, action, [[1.0, 1.0], [1.0, 0.7], [1.0, 1.3]], "market_maker")
    assert loss[0] == pytest.approx(-(2.0**2) / 2.0, abs=5 * error[0])
    assert (loss[1:] < loss[0]).all()


@pytest.mark.parametrize("share", [0.0, 0.3, 0.8])
def test_glosten_milgrom__the_spread_leaves_nothing_and_nobody_gains_by_undercutting(share):
    env = glosten_milgrom.GlostenMilgrom(share, value_range=2.0)
    half = glosten_milgrom.zero_profit_half_spread(share, 2.0)

    def quotes(obs, own):
        return {"market_maker": jnp.stack([own, jnp.float32(half)])[:, None] * jnp.ones((1, 2))}

    profit, error = mean_rewards(env, quotes, [half, half + 0.1, half - 0.1], "market_maker")
    assert abs(profit[0]) <= 5 * error[0]
    assert profit[1] == 0.0
    assert profit[2] == pytest.approx(-0.1, abs=5 * error[2])


def test_single_maker__offsets_solve_the_equation_of_optimality():
    k, rate, penalty, limit = 1.5, 0.8, 0.07, 4
    bid, ask = quoting.optimal_offsets(k, rate, penalty, limit)
    q = np.arange(-limit, limit + 1)
    # What both sides earn a second at the optimum, A exp(-k d) / k, less the inventory cost, is
    # the same at every inventory: the growth rate of wealth.
    gains = np.zeros(2 * limit + 1)
    gains[:-1] += rate * np.exp(-k * bid) / k
    gains[1:] += rate * np.exp(-k * ask) / k
    growth = gains - penalty * q**2
    assert growth == pytest.approx(growth[limit], rel=1e-9)
    assert bid == pytest.approx(ask[::-1])
    assert (np.diff(bid) > 0).all()
    flat, _ = quoting.optimal_offsets(k, rate, 1e-9, 40)
    assert flat[40] == pytest.approx(1 / k, rel=1e-2)


def test_single_maker__offsets_earn_more_than_those_around_them():
    env = quoting.SingleMaker(penalty=0.1, volatility=0.0, num_steps=400)
    bid, ask = quoting.optimal_offsets(env.fill_decay, env.intensity, env.penalty, 3)
    table = jnp.stack([jnp.append(bid, 3.0), jnp.append(3.0, ask)], axis=1)
    changes = jnp.array([[1.0, 0.0], [1.4, 0.0], [0.6, 0.0], [0.0, 1.0]])

    def earned(change, key):
        offsets = change[0] * table + change[1] * jnp.ones_like(table)

        def step(state, key):
            action = {"market_maker": offsets[state.inventory + 3][None]}
            _, state, reward, _, _, _ = env.step_env(key, state, action, None)
            return state, reward["market_maker"][0]

        _, state = env.reset_env(key, None)
        return jax.lax.scan(step, state, jax.random.split(key, 400))[1].mean()

    play = jax.jit(jax.vmap(jax.vmap(earned, (None, 0)), (0, None)))
    means = np.asarray(play(changes, KEYS[:2000]), np.float64).mean(axis=1)
    # Standard errors of the four means are below 0.002; the last policy ignores its inventory.
    assert (means[0] > means[1:] + 0.01).all()


def test_drift__neither_side_gains_by_leaving_the_robust_quotes():
    bounds = {"max_drift": 0.3, "intensity": (0.6, 1.4), "fill_decay": (0.8, 1.2)}
    env = drift.DriftGame(**bounds, volatility=0.0, num_steps=200)
    limit = env.max_inventory
    bid, ask = quoting.robust_offsets(1.2, 0.6, 0.3, limit)
    table = jnp.stack([jnp.append(bid, 2.5), jnp.append(2.5, ask)], axis=1)
    # Rows: makers (robust, wider, narrower, flat), then adversaries (worst, no drift, scarce or
    # near fills given up).
    makers = [[1.0, 0.0], [1.4, 0.0], [0.6, 0.0], [0.0, 1 / 1.2]] + 3 * [[1.0, 0.0]]
    picks = 4 * [[1.0, 0.0, 1.0]] + [[0.0, 0.0, 1.0], [1.0, 1.0, 1.0], [1.0, 0.0, 0.0]]

    def earned(maker, pick, key):
        offsets = maker[0] * table + maker[1]

        def step(state, key):
            against = 0.5 - 0.5 * pick[0] * jnp.sign(state.inventory)
            action = {
                "market_maker": offsets[state.inventory + limit][None],
                "adversary": jnp.stack([against, pick[1], pick[2]])[None],
            }
            _, state, reward, _, _, _ = env.step_env(key, state, action, None)
            total = reward["market_maker"][0] + reward["adversary"][0]
            return state, (reward["market_maker"][0], total)

        _, state = env.reset_env(key, None)
        paid, total = jax.lax.scan(step, state, jax.random.split(key, 200))[1]
        return paid.mean(), jnp.abs(total).max()

    play = jax.jit(jax.vmap(jax.vmap(earned, (None, None, 0)), (0, 0, None)))
    paid, total = play(jnp.array(makers), jnp.array(picks), KEYS[:4000])
    means = np.asarray(paid, np.float64).mean(axis=1)
    # Standard errors of the means are below 0.0005, of differences of equal keys still less.
    assert (means[0] > means[1:4] + 0.002).all()
    assert (means[0] < means[4:] - 0.002).all()
    assert float(total.max()) == 0.0
    assert quoting.robust_offsets(1.0, 1.0, 0.0, 40)[0][40] == pytest.approx(1.0, abs=1e-2)


def test_spread_race__no_other_quote_pays_more_in_equilibrium():
    env = quoting.SpreadRace(num_makers=3, cost=0.5, softness=0.2)
    common = quoting.race_half_spread(3, 0.5, 0.2)
    assert common == pytest.approx(0.8)
    own = jnp.linspace(0.0, 3.0, 301)

    def paid(quote):
        quotes = jnp.stack([quote, jnp.float32(common), jnp.float32(common)])[:, None]
        _, state = env.reset_env(KEYS[0], None)
        return env.step_env(KEYS[0], state, {"market_maker": quotes}, None)[2]["market_maker"][0]

    assert own[int(jnp.argmax(jax.vmap(paid)(own)))] == pytest.approx(common, abs=0.011)


@pytest.mark.parametrize(
    ("make", "settings", "message"),
    [
        (kyle.KyleAuction, {"noise_std": 0.0}, "noise_std is 0.0"),
        (glosten_milgrom.GlostenMilgrom, {"informed_share": 1.0}, "informed_share is 1.0"),
        (glosten_milgrom.GlostenMilgrom, {"value_range": -1.0}, "value_range is -1.0"),
        (glosten_milgrom.GlostenMilgrom, {"num_makers": 1}, "num_makers is 1"),
        (quoting.SingleMaker, {"step_seconds": 0.0}, "step_seconds is 0.0"),
        (quoting.SingleMaker, {"max_inventory": 0}, "max_inventory 0"),
        (drift.DriftGame, {"max_drift": -1.0}, "max_drift is -1.0"),
        (drift.DriftGame, {"fill_decay": (2.0, 1.0)}, "fill_decay is"),
        (quoting.SpreadRace, {"num_makers": 1}, "num_makers is 1"),
        (quoting.SpreadRace, {"cost": 3.0}, "cost is 3.0"),
        (quoting.SpreadRace, {"softness": 0.0}, "softness is 0.0"),
    ],
)
def test_game__numbers_outside_their_domain_are_refused(make, settings, message):
    with pytest.raises(ValueError, match=message):
        make(**settings)

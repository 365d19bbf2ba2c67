"""Games in normal form and Kuhn poker: payoffs, protocol, and the answers they state."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from marl_envs.games import kuhn, matrix
from marl_envs.testing import check_env

GAMES = {
    "rock_paper_scissors": matrix.rock_paper_scissors,
    "biased": matrix.biased_rock_paper_scissors,
    "pennies": matrix.matching_pennies,
    "dilemma": matrix.prisoners_dilemma,
    "kuhn": kuhn.KuhnPoker,
}


@pytest.mark.parametrize("name", ["biased", "kuhn"])
def test_game__keeps_the_contract_of_environments(name):
    check_env(GAMES[name](), None, num_steps=3)


def test_matrix_game__pays_every_player_its_entry():
    payoffs = np.random.default_rng(0).normal(size=(3, 2, 3, 4))
    env = matrix.MatrixGame(payoffs, names=("a", "b", "c"))
    _, state = env.reset_env(jax.random.key(0), None)
    action = {"a": jnp.array([1]), "b": jnp.array([2]), "c": jnp.array([3])}
    _, _, reward, terminated, _, info = env.step_env(jax.random.key(1), state, action, None)
    paid = [float(reward[name][0]) for name in "abc"]
    assert paid == pytest.approx(payoffs[:, 1, 2, 3])
    assert bool(terminated["a"][0])
    assert bool(info["episode"]["done"])


@pytest.mark.parametrize(
    ("game", "mixture"),
    [
        (matrix.rock_paper_scissors, [1 / 3] * 3),
        (matrix.biased_rock_paper_scissors, [1 / 16, 10 / 16, 5 / 16]),
        (matrix.matching_pennies, [1 / 2] * 2),
    ],
)
def test_zero_sum_games__stated_equilibrium_leaves_nothing_to_gain(game, mixture):
    row, column = game().payoffs
    assert (row == -column).all()
    assert row @ mixture == pytest.approx(0.0, abs=1e-12)
    assert mixture @ row == pytest.approx(0.0, abs=1e-12)


def test_dilemma__defecting_dominates():
    row, column = matrix.prisoners_dilemma().payoffs
    assert (row[1] > row[0]).all()
    assert (column[:, 1] > column[:, 0]).all()


def test_matrix_game__malformed_payoffs_are_refused():
    with pytest.raises(ValueError, match=r"shape \(2, 3\)"):
        matrix.MatrixGame(np.zeros((2, 3)))
    with pytest.raises(ValueError, match="NaN"):
        matrix.MatrixGame(np.full((2, 1, 1), np.nan))
    with pytest.raises(ValueError, match="2 different"):
        matrix.MatrixGame(np.zeros((2, 1, 1)), names=("a", "a"))


@pytest.mark.parametrize("alpha", [0.0, 0.2, 1 / 3])
def test_kuhn__stated_equilibria_have_the_stated_value(alpha):
    first = [
        [1 - alpha, 0, alpha],
        [2 / 3 - alpha, alpha + 1 / 3, 0],
        [0, 1 - 3 * alpha, 3 * alpha],
    ]
    second = [[2 / 3, 0, 1 / 3, 0], [2 / 3, 1 / 3, 0, 0], [0, 0, 0, 1]]
    assert kuhn.nash_conv(first, second) == pytest.approx(0.0, abs=1e-12)
    assert kuhn.expected_value(first, second) == pytest.approx(kuhn.VALUE)


def test_kuhn__uniform_play_can_be_exploited_by_eleven_twelfths():
    first = [[0.25, 0.25, 0.5]] * 3
    second = [[0.25] * 4] * 3
    assert kuhn.nash_conv(first, second) == pytest.approx(11 / 12)


def test_kuhn__average_of_hands_is_the_expected_value():
    env = kuhn.KuhnPoker()
    first, second = jnp.array([1, 0, 2]), jnp.array([2, 1, 3])

    def hand(key):
        obs, state = env.reset_env(key, None)
        action = {"first": first[state[:1]], "second": second[state[1:]]}
        assert obs["first"].shape == (1, 3)
        _, _, reward, _, _, _ = env.step_env(key, state, action, None)
        return reward["first"][0], reward["second"][0], state

    won, lost, cards = jax.jit(jax.vmap(hand))(jax.random.split(jax.random.key(0), 6000))
    assert (won == -lost).all()
    assert bool((cards[:, 0] != cards[:, 1]).all())
    plans = np.eye(3)[np.array([1, 0, 2])], np.eye(4)[np.array([2, 1, 3])]
    assert float(won.mean()) == pytest.approx(kuhn.expected_value(*plans), abs=0.06)

"""Mixtures over policies: known equilibria, and how far a mixture is from one."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from marl_algos.meta_games import (
    META_SOLVERS,
    exploitability,
    nash_conv,
    projected_replicator,
    solve_meta_game,
    solve_zero_sum,
    symmetric,
    zero_sum,
)

BIASED_RPS = np.array([[0.0, -0.25, 0.5], [0.25, 0, -0.05], [-0.5, 0.05, 0]])
DILEMMA = symmetric(np.array([[3.0, 0], [5, 1]]))


@settings(max_examples=30, deadline=None)
@given(hnp.arrays(np.float64, (3, 4), elements=st.integers(-5, 5).map(float)))
def test_nash__of_zero_sum_games_leaves_nothing_to_gain(payoff):
    profile = solve_meta_game(zero_sum(payoff), "nash")
    assert nash_conv(zero_sum(payoff), profile) < 1e-7


def test_nash__of_a_game_with_constant_sum_is_that_of_the_zero_sum_game():
    shifted = [BIASED_RPS + 3.0, -BIASED_RPS + 4.0]
    row, column = solve_meta_game(shifted, "nash")
    assert row == pytest.approx([1 / 16, 10 / 16, 5 / 16])
    assert column == pytest.approx(row)


def test_nash__of_other_games_is_approximate():
    row, column = solve_meta_game(DILEMMA, "nash")
    assert row[1] > 0.9
    assert column[1] > 0.9


def test_projected_replicator__average_approaches_the_equilibrium():
    profile = projected_replicator(zero_sum(BIASED_RPS))
    assert exploitability(zero_sum(BIASED_RPS), profile) < 0.01
    assert [mixed.sum() for mixed in profile] == pytest.approx([1.0, 1.0])
    assert min(mixed.min() for mixed in profile) > 0.0


def test_projected_replicator__three_players_find_the_dominant_actions():
    action = np.indices((2, 2, 2)).astype(float)
    profile = projected_replicator(list(action), num_steps=5_000)
    assert all(mixed[1] > 0.9 for mixed in profile)


def test_alpha_rank__puts_all_weight_on_what_dominates():
    row, column = solve_meta_game(DILEMMA, "alpha_rank")
    assert row == pytest.approx([0.0, 1.0], abs=1e-3)
    assert column == pytest.approx([0.0, 1.0], abs=1e-3)
    cycle = solve_meta_game(zero_sum([[1.0, -1.0], [-1.0, 1.0]]), "alpha_rank")
    assert cycle[0] == pytest.approx([0.5, 0.5])


def test_solver__with_one_policy_each_plays_it():
    for name in META_SOLVERS:
        assert solve_meta_game([[[2.0]], [[1.0]]], name) == [pytest.approx([1.0])] * 2
    with pytest.raises(ValueError, match="allowed: nash, uniform, alpha_rank"):
        solve_meta_game(DILEMMA, "lottery")
    assert solve_zero_sum([[1.0]])[2] == pytest.approx(1.0)

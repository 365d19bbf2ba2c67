"""The same numbers as OpenSpiel; skipped where `open_spiel` is not installed."""

import numpy as np
import pytest
from lob_analysis.equilibrium import kuhn_poker, nash_conv, rank_profiles, replicator, zero_sum
from lob_analysis.equilibrium.sequence_form import plan_nash_conv, solve, uniform_plan

pyspiel = pytest.importorskip("pyspiel", reason="open_spiel is not installed")
BIASED_RPS = np.array([[0.0, -0.25, 0.5], [0.25, 0, -0.05], [-0.5, 0.05, 0]])


def test_kuhn__uniform_play_and_value():
    from open_spiel.python import policy
    from open_spiel.python.algorithms import expected_game_score, exploitability

    game = pyspiel.load_game("kuhn_poker")
    uniform = policy.UniformRandomPolicy(game)
    ours = kuhn_poker()
    plans = [uniform_plan(ours.info_sets[i], ours.payoff.shape[i]) for i in (0, 1)]
    assert plan_nash_conv(ours, *plans) == pytest.approx(exploitability.nash_conv(game, uniform))
    values = expected_game_score.policy_value(game.new_initial_state(), [uniform, uniform])
    assert float(plans[0] @ ours.payoff @ plans[1]) == pytest.approx(values[0])
    assert solve(ours)[1] == pytest.approx(-1 / 18)


def test_replicator__slope_of_a_mixture():
    from open_spiel.python.egt import dynamics

    x = np.array([0.5, 0.3, 0.2])
    slope = dynamics.replicator(x, BIASED_RPS @ x)
    step = 1e-5
    path = replicator(BIASED_RPS, x, time=step, num_steps=1)
    assert (path[1] - path[0]) / step == pytest.approx(slope, abs=1e-4)


@pytest.mark.parametrize("seed", range(3))
def test_alpha_rank__of_random_games(seed):
    from open_spiel.python.egt import alpharank

    game = list(np.random.default_rng(seed).normal(size=(2, 3, 3)))
    _, _, theirs, _, _ = alpharank.compute(game, m=5, alpha=0.5, use_local_selection_model=True)
    ours = rank_profiles(game, alpha=0.5, population=5)
    assert ours.ravel() == pytest.approx(theirs, abs=1e-6)


def test_nash_conv__of_a_matrix_game():
    game = pyspiel.create_matrix_game(BIASED_RPS.tolist(), (-BIASED_RPS).tolist())
    from open_spiel.python import policy
    from open_spiel.python.algorithms import exploitability

    sequential = pyspiel.convert_to_turn_based(game)
    uniform = policy.UniformRandomPolicy(sequential)
    ours = nash_conv(zero_sum(BIASED_RPS), [np.full(3, 1 / 3)] * 2)
    assert ours == pytest.approx(exploitability.nash_conv(sequential, uniform))

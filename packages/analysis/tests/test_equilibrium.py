import nashpy
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from lob_analysis.equilibrium import (
    best_cce,
    cce_gap,
    ce_gap,
    double_oracle,
    expected_payoffs,
    exploitability,
    fictitious_play,
    kuhn_poker,
    multi_replicator,
    nash_conv,
    pareto_front,
    plan_nash_conv,
    price_of_anarchy,
    pure_payoffs,
    rank_population,
    rank_profiles,
    regret_matching,
    replicator,
    solve_zero_sum,
    support_enumeration,
    symmetric,
    uniform_profile,
    zero_sum,
)
from lob_analysis.equilibrium.correlated import cce_gains
from lob_analysis.equilibrium.payoffs import PayoffTable
from lob_analysis.equilibrium.sequence_form import solve, uniform_plan
from lob_analysis.equilibrium.solution import solve as solve_table
from marl_algos.meta_games.alpha_rank import fixation_probability, stationary_distribution

RPS = np.array([[0.0, -1, 1], [1, 0, -1], [-1, 1, 0]])
PENNIES = np.array([[1.0, -1], [-1, 1]])
BIASED_RPS = np.array([[0.0, -0.25, 0.5], [0.25, 0, -0.05], [-0.5, 0.05, 0]])
DILEMMA = np.array([[3.0, 0], [5, 1]])
CHICKEN = np.array([[6.0, 2], [7, 0]])
small_games = hnp.arrays(np.float64, (3, 3), elements=st.integers(-5, 5).map(float))


@pytest.mark.parametrize(
    ("payoff", "mixture"),
    [
        (RPS, [1 / 3] * 3),
        (PENNIES, [1 / 2] * 2),
        (BIASED_RPS, [1 / 16, 10 / 16, 5 / 16]),
    ],
)
def test_zero_sum__known_games(payoff, mixture):
    row, column, value = solve_zero_sum(payoff)
    np.testing.assert_allclose(row, mixture, atol=1e-9)
    np.testing.assert_allclose(column, mixture, atol=1e-9)
    assert value == pytest.approx(0, abs=1e-9)
    assert nash_conv(zero_sum(payoff), [row, column]) < 1e-9


@settings(max_examples=40, deadline=None)
@given(small_games)
def test_zero_sum__solution_is_an_equilibrium_with_nashpys_value(payoff):
    row, column, value = solve_zero_sum(payoff)
    assert nash_conv(zero_sum(payoff), [row, column]) < 1e-7
    x, y = nashpy.Game(payoff).linear_program()
    assert value == pytest.approx(float(x @ payoff @ y), abs=1e-7)


def test_support_enumeration__known_games():
    (x, y), *rest = support_enumeration(symmetric(DILEMMA))
    assert not rest
    np.testing.assert_allclose([x, y], [[0, 1], [0, 1]])
    found = support_enumeration(symmetric(CHICKEN))
    assert len(found) == 3
    np.testing.assert_allclose(found[-1], [[2 / 3, 1 / 3]] * 2)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6))
def test_support_enumeration__agrees_with_nashpy(seed):
    # Continuous payoffs are nondegenerate with probability one. Vertex enumeration is the
    # independent method: nashpy's own support enumeration misses equilibria by rounding.
    left, right = np.random.default_rng(seed).normal(size=(2, 3, 3))
    ours = support_enumeration([left, right])
    theirs = list(nashpy.Game(left, right).vertex_enumeration())
    assert len(ours) == len(theirs)
    for x, y in theirs:
        assert any(np.allclose(x, a) and np.allclose(y, b) for a, b in ours)
    assert all(nash_conv([left, right], pair) < 1e-7 for pair in ours)


def test_games__bad_payoffs_are_refused():
    with pytest.raises(ValueError, match="one axis for every player"):
        nash_conv([RPS], [[1, 0, 0]])
    with pytest.raises(ValueError, match="NaN"):
        zero_sum([[np.nan]])
    with pytest.raises(ValueError, match="at most 2"):
        support_enumeration(zero_sum(RPS), max_actions=2)
    with pytest.raises(ValueError, match="finite matrix"):
        solve_zero_sum([1.0, 2.0])


def test_nash_conv__closed_forms():
    # Always rock loses 1 to paper on both sides.
    assert nash_conv(zero_sum(RPS), [[1, 0, 0], [1, 0, 0]]) == 2
    assert exploitability(zero_sum(RPS), [[1, 0, 0], [1, 0, 0]]) == 1
    assert nash_conv(symmetric(DILEMMA), [[1, 0], [1, 0]]) == 4
    # Three players, majority: uniform play is an equilibrium, and one against two is not.
    shape = (2, 2, 2)
    votes = np.indices(shape).sum(axis=0)
    wins = [np.where((votes >= 2) == np.indices(shape)[i].astype(bool), 1.0, 0) for i in range(3)]
    assert nash_conv(wins, uniform_profile(wins)) == pytest.approx(0)
    assert nash_conv(wins, [[1, 0], [1, 0], [0, 1]]) == pytest.approx(1)
    np.testing.assert_allclose(expected_payoffs(wins, [[1, 0], [1, 0], [0, 1]]), [1, 1, 0])


def test_replicator__two_strategies_follow_the_logistic_curve():
    # With A = diag advantage: x' = x (1 - x) for a dominant strategy that earns 1 more.
    path = replicator([[1.0, 1.0], [0.0, 0.0]], [0.1, 0.9], time=3.0)
    expected = 1 / (1 + 9 * np.exp(-np.linspace(0, 3, 1001)))
    np.testing.assert_allclose(path[:, 0], expected, atol=1e-9)


def test_replicator__rock_paper_scissors_keeps_the_product():
    path = replicator(RPS, [0.5, 0.3, 0.2], time=30.0, num_steps=3000)
    np.testing.assert_allclose(path.prod(axis=1), 0.03, rtol=1e-6)
    np.testing.assert_allclose(path.sum(axis=1), 1)
    assert np.ptp(path[:, 0]) > 0.2


def test_multi_replicator__finds_the_strict_equilibrium():
    paths = multi_replicator(symmetric(DILEMMA), time=20.0)
    np.testing.assert_allclose([path[-1] for path in paths], [[0, 1], [0, 1]], atol=1e-6)


def test_regret_matching__average_play_of_zero_sum_games_is_nash():
    profile, joint = regret_matching(zero_sum(BIASED_RPS), num_iterations=20_000)
    assert nash_conv(zero_sum(BIASED_RPS), profile) < 0.01
    assert cce_gap(zero_sum(BIASED_RPS), joint) < 0.01
    assert joint.sum() == pytest.approx(1)


def test_alpha_rank__commitment_game_of_han_2013():
    # Strategies: propose and keep a commitment, cooperate, defect, fake, accept but never propose.
    r, t, p, s, cost, fine = 1.0, 2.0, 0.0, -1.0, 0.25, 4.0
    payoff = [
        [r - cost / 2, r - cost, 0, s + fine - cost, r - cost],
        [r, r, s, s, s],
        [0, t, p, p, p],
        [t - fine, t, p, p, p],
        [r, t, p, p, p],
    ]
    found = rank_population(payoff, alpha=0.1, population=20, is_local=False)
    np.testing.assert_allclose(found, [0.4097, 0.0796, 0.2051, 0.0851, 0.2206], atol=5e-5)


def test_alpha_rank__symmetric_cycle_is_even_and_dominance_wins():
    for is_local in (True, False):
        even = rank_population(RPS, alpha=1.0, population=30, is_local=is_local)
        np.testing.assert_allclose(even, 1 / 3)
        assert rank_population(DILEMMA, alpha=5.0, population=50, is_local=is_local)[1] > 0.999
    profiles = rank_profiles(symmetric(DILEMMA), alpha=5.0, population=50)
    assert profiles[1, 1] > 0.999
    np.testing.assert_allclose(rank_profiles(zero_sum(PENNIES), alpha=1.0, population=9), 0.25)


def test_alpha_rank__two_strategies_have_a_closed_form():
    # Two-state chain: the shares are as the fixation probabilities into each state.
    gain, alpha, m = 0.7, 0.4, 12
    found = rank_population([[0, 0], [gain, 0]], alpha=alpha, population=m)
    into = fixation_probability([gain, -gain], alpha, m)
    np.testing.assert_allclose(found, [into[1], into[0]] / into.sum())
    assert found[1] / found[0] == pytest.approx(np.exp((m - 1) * alpha * gain))


def test_fixation__limits_are_finite():
    values = fixation_probability([0.0, 1e4, -1e4, -50.0], 1.0, 20)
    assert values[0] == 0.05
    assert values[1] == pytest.approx(1)
    assert values[2] == pytest.approx(0, abs=1e-300)
    assert values[3] == pytest.approx(0, abs=1e-300)
    with pytest.raises(ValueError, match="closed classes"):
        stationary_distribution(np.eye(2))
    with pytest.raises(ValueError, match="alpha is 0"):
        rank_population(RPS, alpha=0, population=3)


def test_cce__chicken_with_a_traffic_light():
    light = np.array([[0.0, 0.5], [0.5, 0]])
    assert cce_gap(symmetric(CHICKEN), light) == 0
    assert ce_gap(symmetric(CHICKEN), light) == 0
    peace = np.array([[1.0, 0], [0, 0]])
    assert cce_gap(symmetric(CHICKEN), peace) == 2
    np.testing.assert_allclose(cce_gains(symmetric(CHICKEN), peace), [1, 1])
    with pytest.raises(ValueError, match="distribution of shape"):
        cce_gap(symmetric(CHICKEN), light * 2)


def test_cce__best_one_is_an_equilibrium_with_more_welfare_than_nash():
    game = symmetric(CHICKEN)
    joint = best_cce(game)
    assert cce_gap(game, joint) < 1e-8
    welfare = sum((table * joint).sum() for table in game)
    nash = max(expected_payoffs(game, pair).sum() for pair in support_enumeration(game))
    assert welfare > nash + 0.1
    # The best correlated equilibrium of this game has welfare 10.5; a coarse one is no worse.
    assert welfare >= 10.5 - 1e-8


def test_welfare__pareto_front_and_price_of_anarchy():
    front = pareto_front(pure_payoffs(symmetric(DILEMMA)))
    assert front.tolist() == [True, True, True, False]
    assert price_of_anarchy(symmetric(DILEMMA), support_enumeration(symmetric(DILEMMA))) == 3
    with pytest.raises(ValueError, match="positive"):
        price_of_anarchy(zero_sum(RPS), [uniform_profile(zero_sum(RPS))])
    with pytest.raises(ValueError, match="no equilibrium"):
        price_of_anarchy(zero_sum(RPS), [])


def test_double_oracle__rock_paper_scissors_in_three_iterations():
    found = double_oracle(RPS)
    assert found.num_iterations == 3
    np.testing.assert_allclose(found.row, 1 / 3)
    assert found.nash_conv[0] == 2


def test_double_oracle__needs_few_strategies_of_a_large_game():
    random = np.random.default_rng(0)
    payoff = random.normal(size=(60, 60)) + np.linspace(3, 0, 60)[:, None]
    found = double_oracle(payoff)
    assert found.value == pytest.approx(solve_zero_sum(payoff)[2], abs=1e-8)
    assert len(found.rows) < 30
    with pytest.raises(RuntimeError, match="after 1 iterations"):
        double_oracle(RPS, max_iterations=1)


def test_kuhn__value_and_uniform_play():
    game = kuhn_poker()
    plan, value = solve(game)
    assert value == pytest.approx(-1 / 18)
    plans = [uniform_plan(game.info_sets[i], 13) for i in (0, 1)]
    assert plan_nash_conv(game, *plans) == pytest.approx(11 / 12)
    # Against a best response the equilibrium plan still earns the value.
    assert min((plan @ game.payoff)[1:3].sum(), 0) <= 0
    assert plan_nash_conv(game, plan, plans[1]) > 0


def test_kuhn__fictitious_play_converges_as_published():
    plans, history = fictitious_play(kuhn_poker(), 1000)
    assert history[9] == pytest.approx(1 / 6)
    assert history[99] == pytest.approx(0.048, abs=0.006)
    assert history[999] == pytest.approx(0.0135, abs=0.0015)
    assert float(plans[0] @ kuhn_poker().payoff @ plans[1]) == pytest.approx(-1 / 18, abs=0.01)


def table(*payoffs):
    """A payoff table without noise."""
    roles = tuple(f"player_{number}" for number in range(len(payoffs)))
    samples = {role: np.repeat(u[..., None], 4, -1) for role, u in zip(roles, payoffs, strict=True)}
    return PayoffTable(roles, {}, samples, "pnl", np.arange(4))


def test_solution__of_the_dilemma_is_to_defect_at_a_price():
    found = solve_table(table(DILEMMA, DILEMMA.T), leader=0)
    assert found.is_exact
    assert [[mixture.tolist() for mixture in pair] for pair in found.equilibria] == [[[0, 1]] * 2]
    assert found.is_efficient.tolist() == [[True, True], [True, False]]
    assert found.alpha_rank[1, 1] > 0.99
    assert found.welfare_loss == pytest.approx(6 - 2)
    assert found.anarchy == pytest.approx(6 / 2)  # both silent, over both defecting
    assert (found.leader_welfare, found.best_welfare) == pytest.approx((6, 2))
    assert found.leader_gap.value == pytest.approx(2 * (5 - 3))
    # Half the time both are silent, half both defect: always defecting gains (5 - 3) / 2 each.
    assert found.history_gap.value == pytest.approx(2 * (5 + 1 - 3 - 1) / 2)
    assert (found.history_gap.low, found.history_gap.high) == pytest.approx((2, 2))
    assert solve_table(table(DILEMMA, DILEMMA.T), leader=0, is_history=False).history_gap is None


def test_solution__of_chicken_has_all_equilibria_and_the_worst_one_sets_the_price():
    found = solve_table(table(CHICKEN, CHICKEN.T), leader=0)
    assert len(found.equilibria) == 3
    # Totals: 12 if both yield, 9 if one does, 28/3 if both mix, yielding two times in three.
    assert found.anarchy == pytest.approx(12 / 9)
    # Two strict equilibria: selection must be weak enough for evolution to leave them.
    assert found.alpha < 10
    assert found.alpha_rank[0, 1] == pytest.approx(found.alpha_rank[1, 0])
    assert found.alpha_rank[0, 1] > found.alpha_rank[0, 0] > found.alpha_rank[1, 1]
    assert found.best_welfare == pytest.approx(10.5)  # half of (6, 6), a quarter of each (7, 2)


def test_solution__of_three_players_says_how_far_off_it_is():
    majority = np.array([[[1.0, 0], [0, 0]], [[0, 0], [0, 1]]])  # all the same, or nothing
    found = solve_table(table(majority, majority, majority), leader=1)
    assert found.leader_gap.value == 0
    assert found.alpha_rank.shape == (2, 2, 2)
    # Evolution hardly ever leaves either, which makes the linear system ill-conditioned.
    assert found.alpha_rank[0, 0, 0] == pytest.approx(found.alpha_rank[1, 1, 1], rel=1e-3)
    assert found.nash_gap.value == pytest.approx(
        nash_conv([majority] * 3, found.equilibria[0]), abs=1e-12
    )
    with pytest.raises(ValueError, match="needs two roles"):
        solve_table(table(np.zeros(2)), leader=0)

"""Games among policies, played out: payoff tensors and deviations with known answers."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from lob_analysis.equilibrium.deviations import DeviationSearch
from lob_analysis.equilibrium.payoffs import PayoffTable, episodes_needed, payoff_table
from lob_analysis.play.lab import Lab
from lob_analysis.play.simulate import Player
from lob_analysis.play.snapshots import Snapshots
from lob_analysis.populations.study import study_population, survival_paths
from marl_algos.conf.load import load_config
from marl_algos.learners.ippo import PPO
from marl_algos.markets.data import Market
from marl_algos.settings import NetworkConfig, PPOConfig, TypeConfig
from marl_envs.games.matrix import rock_paper_scissors

RPS = np.array([[0.0, -1.0, 1.0], [1.0, 0.0, -1.0], [-1.0, 1.0, 0.0]])
ROLES = ("player_0", "player_1")


@pytest.fixture(scope="module")
def learner():
    env = rock_paper_scissors()
    config = TypeConfig(
        PPOConfig(learning_rate=0.05, num_minibatches=1, entropy_coef=0.0),
        NetworkConfig(hidden=(4,)),
    )
    return PPO(env, dict.fromkeys(env.groups, config), num_envs=64, num_steps=1, num_updates=40)


@pytest.fixture(scope="module")
def pure(learner):
    """Policies that always play action 0, 1 or 2, up to one in e^20."""
    agent = learner.init(jax.random.key(0), None).agents[ROLES[0]]

    def leaning(action):
        params = agent.params["params"]
        (layer,) = params["policy_head"].values()
        head = {"kernel": 0.0 * layer["kernel"], "bias": 20.0 * jnp.eye(3)[action]}
        name = next(iter(params["policy_head"]))
        changed = {**agent.params, "params": {**params, "policy_head": {name: head}}}
        return dataclasses.replace(agent, params=changed)

    return [leaning(action) for action in range(3)]


def test_payoff_table__of_pure_policies_is_the_game(learner, pure):
    player = Player(learner.env, learner, 5, num_steps=2)
    policies = {ROLES[0]: pure, ROLES[1]: pure[:2]}
    table = payoff_table(player, policies, None, jax.random.key(0))
    assert table.game[0].tolist() == RPS[:, :2].tolist()
    assert table.game[1].tolist() == (-RPS[:, :2]).tolist()
    assert np.max(table.errors) == 0.0
    assert table.gap([np.eye(3)[1], np.eye(2)[0]]).value == pytest.approx(1.0)
    with pytest.raises(ValueError, match="needs some"):
        payoff_table(player, {ROLES[0]: pure}, None, jax.random.key(0))
    with pytest.raises(ValueError, match="no result 'pnl'"):
        payoff_table(player, policies, None, jax.random.key(0), measure="pnl")


def test_payoff_table__errors_cover_the_truth_and_count_windows_once():
    random = np.random.default_rng(0)
    windows = np.repeat(np.arange(100), 3)
    # Episodes of a window are equal: 300 episodes tell no more than 100.
    each = random.normal(RPS[..., None], 1.0, (3, 3, 100))
    samples = np.repeat(each, 3, axis=-1)
    table = PayoffTable(ROLES, {}, {ROLES[0]: samples, ROLES[1]: -samples}, "pnl", windows)
    # A deviation of 100 values is known to 7 %: nine within 35 % with probability 1 - 1e-5.
    assert table.errors[0] == pytest.approx(0.1, rel=0.35)
    off = np.abs(table.game[0] - RPS) / table.errors[0]
    # Nine standard normals all stay below 4.5 with a probability of 0.99994.
    assert off.max() < 4.5
    gap = table.gap([np.full(3, 1 / 3)] * 2)
    assert gap.low <= gap.value <= 0.6
    assert gap.num_samples == 300
    # Bounds of all cells are those of each; a mean of 100 is known to 1.96 / 10.
    low, high = table.bounds(lambda game: game[0])
    one = table.estimate(lambda game: game[0][1, 2])
    assert (low[1, 2], high[1, 2]) == (one.low, one.high)
    np.testing.assert_allclose((high - low) / 2, 0.196, rtol=0.4)


def test_episodes_needed__bound_is_met_by_simulation():
    count = episodes_needed(2.0, 0.25, num_cells=6, level=0.9)
    means = np.random.default_rng(1).normal(0, 2.0 / count**0.5, (4000, 6))
    share = np.mean((np.abs(means) < 0.25).all(axis=1))
    # The bound is conservative; the share has a standard error of 0.005, so that its lower limit
    # is crossed with probability 1e-3 at a share of just 0.9.
    assert 0.885 < share < 0.93
    assert episodes_needed(1.0, 0.1) == 385
    with pytest.raises(ValueError, match="tolerance is 0"):
        episodes_needed(1.0, 0.0)


def test_deviations__against_rock_are_found_by_training_and_by_rule(learner, pure):
    market = Market(learner.env, dict.fromkeys(("train", "validation", "test")), {})
    fresh = learner.init(jax.random.key(1), None).agents[ROLES[0]]
    agents = {ROLES[0]: fresh, ROLES[1]: pure[0]}
    lab = Lab("", load_config([]), market, learner, [agents], agents, 0)
    search = DeviationSearch(lab, num_updates=40, num_episodes=16, num_steps=1)
    found = search.against(agents)
    gains = {
        role: {deviation.name: deviation.gain for deviation in found.deviations[role]}
        for role in ROLES
    }
    # The first plays some action, greedily, and earns `own` against rock; the best it can is 1.
    own = -gains[ROLES[0]]["always action 0"]
    assert own in (-1.0, 0.0, 1.0)
    assert gains[ROLES[0]]["always action 1"] == 1.0 - own
    assert gains[ROLES[0]]["always action 2"] == -1.0 - own
    assert gains[ROLES[0]]["best response"] == 1.0 - own  # training finds paper by itself
    assert max(gains[ROLES[1]].values()) == 1.0 + own
    assert [found.gain(role).value for role in ROLES] == [1.0 - own, 1.0 + own]
    assert found.nash_conv.value == pytest.approx(2.0)


def test_population__of_rock_paper_and_scissors_goes_in_circles(learner, pure):
    market = Market(learner.env, dict.fromkeys(("train", "validation", "test")), {})
    sets = [dict.fromkeys(ROLES, agent) for agent in pure]
    snapshots = Snapshots("update", [0, 5, 9], sets, 2)
    lab = Lab("", load_config([]), market, learner, [sets[2]], sets[0], 9, snapshots)
    found = study_population(lab, num_episodes=8, num_steps=1)
    # Each of two seats is counted for both sides: a win is worth four.
    np.testing.assert_allclose(found.contest, 4 * RPS)
    np.testing.assert_allclose(found.contest_bounds, [4 * RPS] * 2)  # pure policies: no noise
    assert [found.cyclic.low, found.cyclic.value, found.cyclic.high] == pytest.approx([1.0] * 3)
    assert found.progress == pytest.approx(2 / 3)  # paper beats rock, scissors paper
    for role in ROLES:
        assert found.effective_rank[role] == pytest.approx(2.0)
        np.testing.assert_array_equal(found.distances[role], 1.0 - np.eye(3))
        assert found.survival[role][-1] == pytest.approx([1 / 3] * 3)
    game = found.solution
    assert game.is_exact
    for mixture in game.equilibria[0]:
        assert mixture == pytest.approx([1 / 3] * 3)
    np.testing.assert_allclose(game.alpha_rank, 1 / 9)
    assert game.is_efficient.all()  # nothing helps one player of a zero-sum game and hurts none
    # Both always play scissors: each would gain 1 by rock. In the history all were equally old,
    # so that a fixed policy wins as often as it loses.
    gaps = (game.nash_gap, game.leader_gap, game.history_gap)
    assert [gap.value for gap in gaps] == pytest.approx([0.0, 2.0, 0.0], abs=1e-9)
    assert game.anarchy is None
    assert "positive" in game.no_anarchy
    alone = dataclasses.replace(lab, snapshots=Snapshots("update", [0], sets[:1], 0))
    with pytest.raises(ValueError, match=r"raise checkpoint\.keep"):
        study_population(alone)


def test_survival__dominated_policies_die_out():
    # Policy 2 of the first role is better than its others whatever the second role does.
    mine = np.array([[0.0, 1.0], [1.0, 0.0], [2.0, 2.0]])[..., None]
    theirs = np.array([[0.0, 1.0]] * 3)[..., None]
    table = PayoffTable(ROLES, {}, {ROLES[0]: mine, ROLES[1]: theirs}, "pnl", np.zeros(1, int))
    paths = survival_paths(table)
    assert all(path[0] == pytest.approx(1 / path.shape[1]) for path in paths.values())
    shares = {role: path[-1] for role, path in paths.items()}
    assert shares[ROLES[0]] == pytest.approx([0, 0, 1], abs=1e-3)
    assert shares[ROLES[1]] == pytest.approx([0, 1], abs=1e-3)


def test_snapshots__are_thinned_evenly_with_both_ends_and_the_leader():
    snapshots = Snapshots("member", list(range(10)), [{} for _ in range(10)], 5)
    thin = snapshots.thinned(4)
    assert thin.numbers[0] == 0
    assert thin.numbers[-1] == 9
    assert len(thin.numbers) == 4
    assert thin.numbers[thin.leader] == 5
    assert snapshots.thinned(10) is snapshots

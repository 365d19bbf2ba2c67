"""PSRO: the payoff table, the gap, and games whose equilibria are known."""

import dataclasses
import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from marl_algos.learners.ippo import PPO
from marl_algos.populations.psro import PSRO, PSROConfig
from marl_algos.settings import NetworkConfig, PPOConfig, TypeConfig
from marl_envs.games import kuhn

SETTINGS = PPOConfig(
    learning_rate=0.02,
    final_learning_rate=1.0,
    entropy_coef=0.0,
    num_epochs=2,
    num_minibatches=2,
    normalize_obs=False,
)


def learner(env, *, num_envs=64):
    config = TypeConfig(SETTINGS, NetworkConfig(hidden=(16,)))
    types = dict.fromkeys(env.groups, config)
    return PPO(env, types, num_envs=num_envs, num_steps=2, num_updates=1000)


def mixed_policy(psro, state, name, obs):
    """Probabilities `[R, n]` of actions after observations [R, F] under the current mixture."""
    mixture = psro.mixture(state)[name]

    def one(agent):
        policies = psro.base.policies(
            {name: agent},
            {name: obs[:, None]},
            psro.base.initial_carry(len(obs)),
            jnp.ones(len(obs)),
            {},
        )
        return jax.nn.softmax(policies[name][1].logits[:, 0])

    each = jax.vmap(one)(state.pools[name].agents)[: len(mixture)]
    return np.einsum("k,kra->ra", mixture, np.asarray(each))


@pytest.fixture(scope="module")
def grown():
    config = PSROConfig(max_iterations=6, updates_per_response=60, num_matches=2048)
    psro = PSRO(kuhn.KuhnPoker(), functools.partial(learner, num_envs=256), config)
    state = psro.init(jax.random.key(0), None)
    tables, steps = [psro.table(state)], []
    for _ in range(config.max_iterations):
        state, step = psro.iterate(state, None)
        tables.append(psro.table(state))
        steps.append(step)
    return psro, state, tables, steps


def test_psro__of_kuhn_poker_closes_the_gap(grown):
    psro, state, _, steps = grown
    plans = [mixed_policy(psro, state, name, jnp.eye(3)) for name in ("first", "second")]
    assert kuhn.nash_conv(*plans) < 0.2  # uniform play has 11/12
    assert kuhn.expected_value(*plans) == pytest.approx(kuhn.VALUE, abs=0.1)
    assert steps[-1].gap < 0.5 * steps[0].gap
    for step in steps:
        assert step.gap == pytest.approx(sum(step.gains.values()))
        assert all(sum(mixed) == pytest.approx(1.0) for mixed in step.mixture.values())


def test_psro__table_grows_by_a_row_and_a_column_and_keeps_the_rest(grown):
    _, state, tables, _ = grown
    assert [table[0].shape for table in tables] == [(n, n) for n in range(1, 8)]
    for before, after in itertools.pairwise(tables):
        size = len(before[0])
        for old, new in zip(before, after, strict=True):
            assert (new[:size, :size] == old).all()
            assert np.isfinite(new).all()
    left, right = tables[-1]
    assert left == pytest.approx(-right, abs=1e-6)
    assert int(state.size) == 7


def test_psro__refuses_to_grow_beyond_its_capacity(grown):
    psro, state, _, _ = grown
    with pytest.raises(ValueError, match="it is full"):
        psro.iterate(state, None)


def test_psro__stops_when_nobody_gains_more_than_the_tolerance(grown):
    psro = grown[0]
    psro.config = dataclasses.replace(psro.config, tolerance=100.0)
    _, steps = psro.grow(psro.init(jax.random.key(1), None), None)
    assert len(steps) == 1


def test_config__outside_its_domain_is_refused():
    with pytest.raises(ValueError, match=r"psro.solver is 'dice'; allowed: alpha_rank, nash"):
        PSROConfig(solver="dice")
    with pytest.raises(ValueError, match="max_iterations is 0"):
        PSROConfig(max_iterations=0)


@pytest.mark.learn
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("solver", ["nash", "alpha_rank"])
def test_psro__of_kuhn_poker_reaches_the_value_of_the_game(solver):
    # Extensive-form fictitious play needs about 100 iterations for NashConv .048.
    config = PSROConfig(solver=solver, max_iterations=12, updates_per_response=60, num_matches=8192)
    psro = PSRO(kuhn.KuhnPoker(), functools.partial(learner, num_envs=256), config)
    state, steps = psro.grow(psro.init(jax.random.key(0), None), None)
    plans = [mixed_policy(psro, state, name, jnp.eye(3)) for name in ("first", "second")]
    if solver == "nash":
        assert kuhn.nash_conv(*plans) < 0.05
        assert kuhn.expected_value(*plans) == pytest.approx(kuhn.VALUE, abs=0.02)
        assert steps[-1].gap < 0.1
    else:  # no equilibrium is promised, but far better than uniform play (11/12)
        assert kuhn.nash_conv(*plans) < 0.5

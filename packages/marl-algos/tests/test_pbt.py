"""Population-based training: who is copied, what changes, and that it finds settings that learn."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from marl_algos.learners.ippo import PPO
from marl_algos.populations.pbt import PBT, PBTConfig, scores_of
from marl_algos.settings import NetworkConfig, PPOConfig, TypeConfig
from marl_algos.testing import ActionDecides

CONFIG = PBTConfig(
    population=5,
    updates_per_generation=3,
    ranges=(("learning_rate", (1e-4, 1e-1)), ("discount", (0.9, 0.999))),
)


@pytest.fixture(scope="module")
def pbt():
    env = ActionDecides()
    config = TypeConfig(PPOConfig(entropy_coef=0.0), NetworkConfig(hidden=(8,)))
    learner = PPO(env, {"agent": config}, num_envs=8, num_steps=4, num_updates=100)
    return PBT(learner, CONFIG)


@pytest.fixture(scope="module")
def start(pbt):
    return pbt.init(jax.random.key(0), None)


def test_init__draws_settings_within_their_ranges(start):
    hyper = start.members.agents["agent"].hyper
    assert len(set(hyper["learning_rate"].tolist())) == 5
    assert bool(((hyper["learning_rate"] > 1e-4) & (hyper["learning_rate"] < 1e-1)).all())
    assert bool(((hyper["discount"] > 0.9) & (hyper["discount"] < 0.999)).all())
    assert len(set(hyper["entropy_coef"].tolist())) == 1


def test_evolve__worst_becomes_a_changed_copy_of_the_best(pbt, start):
    scores = np.array([0.3, np.nan, 0.9, 0.5, 0.4])
    after, rows = pbt.evolve(start, scores)
    assert [row["parent"] for row in rows] == [0, 2, 2, 3, 4]
    old, new = start.members.agents["agent"], after.members.agents["agent"]
    weights = jax.tree.leaves(new.params)[0]
    assert bool((weights[1] == weights[2]).all())
    assert new.hyper["learning_rate"][jnp.array([0, 2, 3, 4])].tolist() == (
        old.hyper["learning_rate"][jnp.array([0, 2, 3, 4])].tolist()
    )
    assert float(new.hyper["learning_rate"][1]) != float(old.hyper["learning_rate"][2])
    assert rows[1]["agent.learning_rate"] == pytest.approx(float(new.hyper["learning_rate"][1]))
    keys = jax.random.key_data(after.members.key)
    assert not bool((keys[1] == keys[2]).all())


@pytest.mark.parametrize("resample", [0.0, 1.0])
def test_evolve__perturbs_or_draws_anew_as_configured(pbt, start, resample):
    other = PBT(pbt.learner, dataclasses.replace(CONFIG, resample=resample))
    after, _ = other.evolve(start, np.arange(5.0))
    old = start.members.agents["agent"].hyper
    new = after.members.agents["agent"].hyper
    rate = float(new["learning_rate"][0] / old["learning_rate"][4])
    distance = float((1 - new["discount"][0]) / (1 - old["discount"][4]))
    near = [min(abs(x - 0.8), abs(x - 1.2)) < 1e-3 for x in (rate, distance)]
    assert near == [resample == 0.0] * 2


def test_population__learns_and_prefers_rates_that_learn(pbt, start):
    state, first, lineage = start, None, []
    for _ in range(10):
        state, metrics = pbt.train(state, None)
        scores = scores_of(metrics)
        first = scores if first is None else first
        state, rows = pbt.evolve(state, scores)
        lineage += rows
    assert scores.max() > 0.9
    assert scores.mean() > first.mean() + 0.3
    assert {row["generation"] for row in lineage} == set(range(1, 11))
    rates = state.members.agents["agent"].hyper["learning_rate"]
    assert float(jnp.median(rates)) > float(
        jnp.median(start.members.agents["agent"].hyper["learning_rate"])
    )


def test_members__with_equal_settings_and_keys_are_the_learner_alone(pbt, start):
    learner = pbt.learner
    alone = learner.init(jax.random.split(jax.random.split(jax.random.key(0), 3)[0], 5)[0], None)
    hyper = jax.tree.map(lambda x: x[0], start.members.agents["agent"].hyper)
    agent = dataclasses.replace(alone.agents["agent"], hyper=hyper)
    alone = dataclasses.replace(alone, agents={"agent": agent})
    for _ in range(3):
        alone, _ = jax.jit(learner.update)(alone, None)
    together, _ = pbt.train(start, None)
    for left, right in zip(
        jax.tree.leaves(alone.agents["agent"].params),
        jax.tree.leaves(together.members.agents["agent"].params),
        strict=True,
    ):
        np.testing.assert_allclose(left, right[0], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"population": 1}, "population is 1"),
        ({"cut": 0.7}, "cut is 0.7"),
        ({"ranges": ()}, "ranges is empty"),
        ({"ranges": (("learning_rate", (0.0, 1.0)),)}, "learning_rate is"),
        ({"ranges": (("discount", (0.5, 1.0)),)}, "below 1"),
    ],
)
def test_config__outside_its_domain_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        PBTConfig(**changes)


def test_init__setting_that_cannot_differ_is_refused(pbt):
    other = PBT(pbt.learner, PBTConfig(population=2, ranges=(("num_epochs", (1.0, 4.0)),)))
    with pytest.raises(ValueError, match=r"'num_epochs'; agents 'agent' can differ in: clip_eps"):
        other.init(jax.random.key(0), None)

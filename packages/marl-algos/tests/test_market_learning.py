"""Health of learning on a small market: critics, entropy, step sizes, actions, what is logged."""

import jax
import numpy as np
import pytest
from marl_algos.conf.load import load_config
from marl_algos.markets.data import make_market
from marl_algos.train import make_learner

SMALL = [
    "algo.num_envs=16",
    "algo.num_steps=16",
    "algo.total_env_steps=1024",
    "network.hidden=[16]",
    "env.num_steps=16",
    "env.messages_per_step=4",
    "env.num_slots=32",
    "data.num_openings=8",
    "+env.agents.execution.settings.task_size=50",
]


def learn(overrides):
    """Metrics of all updates, leaves `[U]`, and the number of actions by type."""
    config = load_config(overrides)
    market = make_market(config)
    learner = make_learner(config, market)
    params = market.params["train"]

    @jax.jit
    def run(key):
        return jax.lax.scan(
            lambda state, _: learner.update(state, params),
            learner.init(key, params),
            length=learner.num_updates,
        )[1]

    sizes = {name: group.action_space.n for name, group in market.env.groups.items()}
    return jax.device_get(run(jax.random.key(0))), sizes


def test_learning__starts_sane_and_logs_what_was_not_executed():
    metrics, sizes = learn(SMALL)
    assert metrics["finite"].all()
    for name, size in sizes.items():
        numbers = metrics["agents"][name]
        assert numbers["entropy"][0] == pytest.approx(np.log(size), rel=0.03)
        assert (numbers["approx_kl"] > 0.0).all()
        assert numbers["approx_kl"].max() < 0.05
        assert numbers["clip_fraction"].max() < 0.5
        assert 0.0 < numbers["rarest_action"].min() <= 1.0 / size
        assert 1.0 / size <= numbers["commonest_action"].max() < 0.5
        assert np.isfinite(metrics["episode"][name]["closing_cost"]).all()
    results = metrics["episode"]["execution"]
    assert (results["unexecuted"] >= 0.0).all()
    np.testing.assert_allclose(results["filled"] + results["unexecuted"], 50.0, atol=1e-3)


@pytest.mark.learn
@pytest.mark.timeout(1800)
def test_learning__critics_explain_the_default_market_at_the_end():
    metrics, sizes = learn(["algo.total_env_steps=100_000"])
    assert metrics["finite"].all()
    for name, size in sizes.items():
        last = {key: float(np.mean(x[-3:])) for key, x in metrics["agents"][name].items()}
        assert last["explained_variance"] > 0.5
        assert 0.2 * np.log(size) < last["entropy"] < np.log(size)
        assert 0.0 < last["approx_kl"] < 0.05
        assert last["rarest_action"] > 0.0

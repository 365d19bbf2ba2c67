"""Behavior cloning: what is imitated, by any head, under masks, in the market, and from a run."""

import jax
import jax.numpy as jnp
import numpy as np
import polars as pl
import pytest
from lob_core.types import Side
from marl_algos import clone, testing, train
from marl_algos.conf.load import load_config
from marl_algos.imitation.cloning import CloneConfig, Cloning
from marl_algos.imitation.demonstrations import MISS_TICKS, Demonstrations, order_distance
from marl_algos.learners.ippo import PPO
from marl_algos.markets.data import make_market
from marl_algos.runs.checkpoint import named_leaves
from marl_algos.runs.runfolder import open_run_folder
from marl_algos.settings import NetworkConfig, PPOConfig, TypeConfig
from marl_envs.agents.base import wanted_orders
from marl_envs.spaces import Box, Discrete, MultiDiscrete

KEY = jax.random.key(2)


class Cue(testing.ObservationTimesAction):
    """Agents see a cue; how they can answer is the test's choice."""

    def __init__(self, space):
        super().__init__()
        self.space = space

    @property
    def groups(self):
        group = super().groups["agent"]
        return {"agent": testing.ProbeGroup(2, group.observation_space, self.space)}


def answers(space, cue):
    """What is demonstrated after cues `[...]`."""
    up = (cue > 0.0)[..., None]
    if isinstance(space, Discrete):
        return jnp.where(cue > 0.0, 2, 0)
    if isinstance(space, MultiDiscrete):
        return jnp.where(up, jnp.array([1, 2]), jnp.array([0, 1]))
    return jnp.where(up, jnp.array([0.5, -0.5]), jnp.array([-0.2, 0.8]))


@pytest.mark.parametrize(
    ("space", "head", "is_masked"),
    [
        (Discrete(3), "tanh_normal", True),
        (MultiDiscrete((2, 3)), "tanh_normal", False),
        (Box(-1.0, 1.0, (2,)), "tanh_normal", False),
        (Box(-1.0, 1.0, (2,)), "beta", False),
    ],
)
def test_cloning__imitates_with_every_head_what_active_agents_did(space, head, is_masked):
    network = NetworkConfig(hidden=(16,), continuous=head)
    config = TypeConfig(PPOConfig(), network)
    learner = PPO(Cue(space), {"agent": config}, num_envs=4, num_steps=2, num_updates=1)
    cue = jnp.where(jax.random.bernoulli(KEY, 0.5, (2, 64, 2)), 1.0, -1.0)
    action = answers(space, cue)
    active = jax.random.bernoulli(jax.random.key(1), 0.8, cue.shape)
    spoiled = active.reshape(*active.shape, *(1,) * (action.ndim - active.ndim))
    shown = Demonstrations(
        obs=cue[..., None],
        action=jnp.where(spoiled, action, jnp.zeros_like(action)),  # must not be learned from
        distance=jnp.zeros(cue.shape),
        active=active,
        legal=jnp.broadcast_to(jnp.array([True, False, True]), (*cue.shape, 3))
        if is_masked
        else None,
    )
    cloning = Cloning(learner, CloneConfig(learning_rate=0.02, num_minibatches=2))
    agents = cloning.start(learner.init(KEY, None).agents, {"agent": shown})

    @jax.jit
    def fit(agents):
        agents, metrics = jax.lax.scan(
            lambda now, key: cloning.epoch(now, {"agent": shown}, key),
            agents,
            jax.random.split(KEY, 60),
        )
        return metrics["agent"]["loss"], cloning.judge(agents, {"agent": shown})["agent"]

    losses, judged = fit(agents)
    assert losses[-1] < losses[0] - 0.5
    assert judged["loss"] < losses[0]
    if isinstance(space, Box):
        assert judged["error"] < 0.1
    else:
        assert judged["accuracy"] == 1.0
    if is_masked:  # of three actions two are allowed, and before learning they are even
        assert losses[0] < np.log(2.0) + 0.05


def test_distance__counts_moved_and_missing_shares():
    quotes = wanted_orders((Side.BID, 100, 10), (Side.ASK, 104, 10))
    assert order_distance(quotes, quotes) == 0.0
    moved = wanted_orders((Side.BID, 99, 10), (Side.ASK, 104, 10))
    assert order_distance(quotes, moved) == 10.0
    split = wanted_orders((Side.BID, 100, 5), (Side.BID, 100, 5), (Side.ASK, 104, 10))
    assert order_distance(quotes, split) == 0.0
    one_sided = wanted_orders((Side.BID, 100, 10))
    assert order_distance(quotes, one_sided) == order_distance(one_sided, quotes) == MISS_TICKS * 10


SMALL = [  # as in test_train, so that most programs are compiled already
    "experiment=smoke",
    "progress=none",
    "algo.num_envs=4",
    "algo.num_steps=4",
    "env.num_steps=4",
    "env.messages_per_step=4",
    "env.num_slots=32",
    "data.num_openings=4",
    "evaluation.every=0",
    "checkpoint.every=40",
]


def test_clone__of_avellaneda_stoikov_and_twap_starts_a_run(tmp_path):
    overrides = ["clone.num_epochs=40", "clone.num_episodes=48", "clone.learning_rate=0.01"]
    place = [f"run.root={tmp_path}"]
    config = load_config([*SMALL, *place, "run.name=clone", *overrides], "clone")
    market = make_market(config)
    folder = open_run_folder(config)
    folder.start(config, market.description, "test")
    cloning = clone.CloneSession(config, market, folder)
    state = cloning.train()
    cloning.close()
    table = pl.read_parquet(folder.path / "clone.parquet")
    last = {row["agent_type"]: row for row in table.filter(pl.col("epoch") == 40).to_dicts()}
    assert set(last) == {"execution", "market_maker"}
    for row in last.values():
        assert row["accuracy"] > 0.85

    config = load_config([*SMALL, *place, "run.name=on", f"transfer.run={folder.path}"])
    run = open_run_folder(config)
    run.start(config, market.description, "test")
    started = train.Training(config, market, run).start()
    for name, agent in started.agents.items():
        cloned = named_leaves(state.agents[name].params)
        for path, leaf in named_leaves(agent.params).items():
            np.testing.assert_array_equal(leaf, cloned[path])
        assert (agent.obs_moments.first == state.agents[name].obs_moments.first).all()


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["+clone.rules.market_maker=continuous_quotes"], "has no action 0"),
        (["+clone.choices.nosuch=3"], "choices are given for ['nosuch']; the types are ["),
        (["+clone.choices.execution=99"], "rule 'twap' of 'execution' has no action 99"),
        (["clone.held_out=1.0"], "clone.held_out is 1.0"),
        (["clone.learning_rate=0.0"], "clone.learning_rate is 0.0"),
        (["algo=dqn"], "only policies of algo=ippo"),
    ],
)
def test_mistakes__end_with_one_message(overrides, message, tmp_path, capsys):
    root = tmp_path / "runs"
    assert clone.main([*SMALL, f"run.root={root}", *overrides]) == train.USAGE_ERROR
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not root.exists()

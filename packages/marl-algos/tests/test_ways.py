"""Ways to train that a configuration can ask for: devices, shards, domains, trials."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from lob_core.flow import ZeroIntelligence
from lob_data.calibration import Calibration
from marl_algos import train
from marl_algos.conf.load import load_config
from marl_algos.markets.data import SPLITS, Market, make_market
from marl_algos.runs.logging import read_metrics
from marl_algos.runs.runfolder import open_run_folder
from marl_algos.training.shards import shard_params
from marl_envs.games.matrix import matching_pennies

SMALL = [  # as in test_train, so that most programs are compiled already
    "experiment=smoke",
    "env=market_maker",
    "progress=none",
    "algo.num_envs=4",
    "algo.num_steps=4",
    "algo.total_env_steps=32",
    "env.num_steps=4",
    "env.messages_per_step=4",
    "env.num_slots=32",
    "data.num_openings=4",
    "evaluation.every=0",
    "checkpoint.every=1",
]


@pytest.fixture(scope="module")
def fitted(tmp_path_factory):
    """What `lob-data calibrate --save` writes, of a market with twice the market orders."""
    model = ZeroIntelligence(refresh_every=1)
    params = model.default_params()
    params = params.replace(market_rate=2.0 * params.market_rate)
    path = tmp_path_factory.mktemp("fitted") / "busy.json"
    path.write_text(Calibration(model, params, {}, {}).to_json())
    return path


def session(overrides, root, market=None):
    config = load_config([*SMALL, f"run.root={root}", "run.name=a", *overrides])
    market = market or make_market(config)
    folder = open_run_folder(config)
    folder.start(config, market.description, "test")
    return train.Training(config, market, folder)


def weights(agents):
    return np.concatenate([np.ravel(x) for x in jax.tree.leaves(jax.tree.map(np.asarray, agents))])


def test_devices__learn_what_one_learns_and_go_on_from_a_checkpoint(tmp_path):
    market = Market(matching_pennies(), dict.fromkeys(SPLITS), {"kind": "embedded"})
    types = "+env.agents={player_0: {kind: market_maker}, player_1: {kind: market_maker}}"
    alone = session([types], tmp_path / "one", market)
    expected = weights(alone.policies(alone.train()))
    overrides = [types, "num_devices=2"]
    spread = session(overrides, tmp_path / "two", market)
    state = spread.train()
    assert len(state.rollout.obs["player_0"].sharding.device_set) == 2
    np.testing.assert_allclose(weights(spread.policies(state)), expected, atol=1e-3)
    spread._last._manager.delete(2)  # as if killed
    spread.close()
    again = session([*overrides, "resume=true"], tmp_path / "two", market)
    again._runner = spread._runner
    np.testing.assert_array_equal(weights(again.policies(again.train())), weights(state.agents))


def test_federated__workers_learn_apart_and_share_what_they_learn(tmp_path):
    overrides = ["federated.num_workers=2", "federated.updates_per_round=1"]
    federated = session(overrides, tmp_path)
    books = federated._runner._shards.background.books.bids.size
    assert books.shape[:2] == (2, 2)
    assert not np.array_equal(books[0], books[1])
    state = federated.train()
    lines = read_metrics(tmp_path / "a" / "metrics.jsonl")
    assert [line["env_steps"] for line in lines] == [16, 32]
    first, second = lines[-1]["agents"]["market_maker"]["loss"]
    assert first != second
    params = state.agents["market_maker"].params
    for leaf, average in zip(
        jax.tree.leaves(params),
        jax.tree.leaves(federated.policies(state)["market_maker"].params),
        strict=True,
    ):
        assert (leaf[0] == leaf[1]).all()
        assert (average == leaf[0]).all()


def test_domains_and_trials__are_trained_in_and_the_market_itself_is_evaluated(tmp_path, fitted):
    overrides = ["network=gru", "network.gru_size=8", "trials.num_episodes=2", "algo.num_steps=8"]
    overrides += ["domains.num=2", "+domains.ranges.market_rate=[0.5,0.6]"]
    overrides += [f"domains.params=[{fitted}]"]
    learning = session(overrides, tmp_path)
    market = learning.market
    rates = market.world_params.background.params.market_rate
    usual = float(ZeroIntelligence().default_params().market_rate)
    assert float(rates[0]) == pytest.approx(usual)
    assert float(rates[1]) == pytest.approx(2.0 * usual)
    assert 0.5 * usual <= float(rates[2]) <= 0.6 * usual
    plain = market.env.groups["market_maker"].observation_space.shape[0]
    actions = market.env.groups["market_maker"].action_space.n
    seen = learning.learner.env.groups["market_maker"].observation_space.shape[0]
    assert seen == plain + actions + 2
    state = learning.train()
    assert read_metrics(tmp_path / "a" / "metrics.jsonl")[-1]["episodes"] == 4
    played = learning._evaluator.play(learning.policies(state), "test")
    assert played.results["market_maker"]["pnl"].shape == (8, 1)
    assert played.record["market"]["mid"].shape == (4, 8)  # the last episode of the trial


def test_params__of_a_fitted_model_are_the_market(fitted):
    config = load_config([*SMALL, f"data.params={fitted}", "data.refresh_every=2"])
    market = make_market(config)
    background = market.params["train"].background
    assert background.model == ZeroIntelligence(refresh_every=2)
    usual = ZeroIntelligence().default_params()
    assert float(background.params.market_rate) == pytest.approx(2.0 * float(usual.market_rate))
    assert market.description["params"]


def test_shards__of_a_replay_hold_their_own_messages_only(tmp_path):
    overrides = ["data=synthetic", "data.num_messages=4000", f"data.cache={tmp_path}"]
    market = make_market(load_config([*SMALL, *overrides, "env.num_slots=null"]))
    whole = market.params["train"]
    shards = shard_params(whole, 3)
    size = whole.background.num_openings // 3
    assert shards.background.market.step.shape == (3, size)
    for worker in range(3):
        own = jax.tree.map(lambda x, w=worker: x[w], shards.background)
        for window in (0, size - 1):
            _, market_state, place = own.opening(jnp.int32(window))
            messages, _, _ = own.messages(
                jax.random.key(0), None, place, market_state, is_first=True, is_last=True
            )
            _, _, there = whole.background.opening(jnp.int32(worker * size + window))
            expected, _, _ = whole.background.messages(
                jax.random.key(0), None, there, market_state, is_first=True, is_last=True
            )
            assert jax.tree.all(jax.tree.map(jnp.array_equal, messages, expected))
    assert shards.background.windows.packed.shape[1] < whole.background.windows.packed.shape[0]
    with pytest.raises(ValueError, match="do not make 100000 shards"):
        shard_params(whole, 100_000)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["num_devices=64"], "num_devices: 64 devices are wanted, JAX sees"),
        (["num_devices=3"], "must be a multiple of the 3 devices"),
        (["num_devices=2", "num_seeds=2"], "num_seeds=2 and num_devices=2 cannot be combined"),
        (["federated.num_workers=5"], "4 windows or openings do not make 5 shards"),
        (["domains.num=2"], "give num >= 2 and at least one range"),
        (["domains.num=2", "+domains.ranges.rate=[1,2]"], "it has: limit_rate, cancel_rate"),
        (["domains.num=2", "+domains.ranges.market_rate=[2,1]"], "give [lowest, highest] > 0"),
        (["data.params=no/such.json"], "no/such.json: does not exist"),
        (["data.params={file}"], "is no calibration"),
        (["data=synthetic", "domains.params=[a]"], "domains.params is for data=embedded"),
        (["trials.num_episodes=0"], "trials.num_episodes is 0; it must be >= 1"),
    ],
)
def test_mistakes__end_with_one_message(overrides, message, tmp_path, capsys):
    wrong = tmp_path / "wrong.json"
    wrong.write_text(json.dumps({"model": "hawkes"}))
    root = tmp_path / "runs"
    arguments = [item.format(file=wrong) if "{file}" in item else item for item in overrides]
    assert train.main([*SMALL, f"run.root={root}", *arguments]) == train.USAGE_ERROR
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not root.exists()

"""Runs of populations are opened again and their policies played against each other."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from lob_analysis import studies
from lob_analysis.cli import app
from lob_analysis.errors import RunError
from lob_analysis.play.lab import open_lab
from lob_analysis.play.snapshots import read_population
from marl_algos.conf.load import load_config
from marl_algos.populations.matches import PolicyPool
from marl_algos.populations.pbt import PBTState
from marl_algos.populations.psro import PSROState
from marl_algos.populations.selfplay import SelfPlayState
from marl_algos.runs.checkpoint import CheckpointStore, named_leaves
from marl_algos.runs.runfolder import RunFolder
from marl_algos.types import RunnerState
from typer.testing import CliRunner

MAKER = "market_maker"
KEY = jax.random.key(0)


@pytest.fixture(scope="module")
def policies(lab):
    def moved(step):
        return jax.tree.map(lambda x: (x * (1 + step)).astype(x.dtype), agent)

    agent = lab.policies[0][MAKER]
    return [moved(step) for step in range(3)]


@pytest.fixture(scope="module")
def states(policies):
    stacked = jax.tree.map(lambda *x: jnp.stack(x), *policies)
    pool = {MAKER: PolicyPool(stacked, jnp.array([4, -1, 2]))}
    members = RunnerState({MAKER: stacked}, None, KEY, jnp.int32(5))
    return {
        "selfplay": SelfPlayState({}, pool, {}, KEY, jnp.int32(4)),
        "psro": PSROState(pool, {MAKER: jnp.zeros((3,))}, jnp.int32(2), KEY),
        "pbt": PBTState(members, KEY, jnp.int32(4), jnp.int32(1)),
    }


@pytest.mark.parametrize(
    ("kind", "labels", "order", "leader"),
    [
        ("selfplay", ["round 2", "round 4"], [2, 0], 1),
        ("psro", ["iteration 2", "iteration 4"], [2, 0], 1),
        ("pbt", ["member 0", "member 1", "member 2"], [0, 1, 2], 1),
    ],
)
def test_read__policies_come_out_as_they_went_in(
    lab, policies, states, kind, labels, order, leader
):
    leaves = named_leaves(states[kind])
    found = read_population(leaves, kind, lab.learner, lab.market.params["train"])
    assert (found.labels, found.leader) == (labels, leader)
    for agents, slot in zip(found.agents, order, strict=True):
        jax.tree.map(np.testing.assert_array_equal, agents, {MAKER: policies[slot]})
    seated = {name.replace(MAKER, "other"): leaf for name, leaf in leaves.items()}
    if kind != "pbt":
        same = read_population(
            seated, kind, lab.learner, lab.market.params["train"], {MAKER: "other"}
        )
        jax.tree.map(np.testing.assert_array_equal, same.agents, found.agents)


def test_population__of_a_run_is_opened_and_played(states, policies, tiny, tmp_path):
    folder = RunFolder(tmp_path / "grown")
    config = load_config([*tiny, "run.name=grown", f"run.root={tmp_path}"], "psro")
    folder.start(config, {}, "cpu:cpu")
    with pytest.raises(RunError, match="no checkpoint"):
        open_lab(folder.path)
    store = CheckpointStore(folder.last, 2)
    store.save(2, states["psro"], {})
    store.close()
    lab = open_lab(folder.path)
    jax.tree.map(np.testing.assert_array_equal, lab.policies[0], {MAKER: policies[0]})
    done = CliRunner().invoke(app, ["population", str(folder.path), "--episodes", "4"])
    assert done.exit_code == 0, done.output
    found = json.loads((folder.path / studies.POPULATION).read_text())
    assert found["labels"] == ["iteration 2", "iteration 4"]
    assert found["cyclic_share"] is None
    assert "not the mixture of all its policies" in found["caveat"]
    assert "not the mixture of all its policies" in " ".join(done.output.split())
    (first, second) = found["roles"][MAKER]["payoffs"]
    # With one type policies never meet: who earns more wins.
    assert found["contest"] == [[0.0, first - second], [second - first, 0.0]]


def test_population__a_folder_that_is_no_run_is_refused(tmp_path):
    done = CliRunner().invoke(app, ["population", str(tmp_path)])
    assert done.exit_code == 2
    assert "no config.yaml" in done.output

"""What extras bring: takers of metrics, launchers, and a sweeper that maximizes the score."""

import json
import math
import os
import struct
import types

import pytest
import yaml
from marl_algos import train
from marl_algos.conf.load import load_config
from marl_algos.runs import commands
from marl_algos.runs.harness import Session
from marl_algos.runs.logging import MetricsLog
from marl_algos.runs.runfolder import RunFolder
from marl_algos.runs.sinks import open_sinks

TINY = ["experiment=smoke", "env=market_maker", "progress=none", "data.num_openings=2"]
LINE = {"update": 1, "agents": {"maker": {"loss": 0.5, "entropy": None, "returns": [1.0, 3.0]}}}


def write_lines(overrides, folder):
    config = load_config([*TINY, *overrides])
    log = MetricsLog(folder / "metrics.jsonl", 0, open_sinks(config, RunFolder(folder)))
    log.write(LINE)
    log.write(LINE | {"update": 2})
    log.close()


def test_tensorboard__event_file_holds_every_number(tmp_path):
    pytest.importorskip("tensorboardX", reason="extra tensorboard is not installed")
    from tensorboardX.proto.event_pb2 import Event

    write_lines(["logging.tensorboard=true"], tmp_path)
    (path,) = (tmp_path / "tensorboard").iterdir()
    data, place, found = path.read_bytes(), 0, set()
    while place < len(data):  # length, its checksum, the event, its checksum
        (size,) = struct.unpack_from("<Q", data, place)
        event = Event.FromString(data[place + 12 : place + 12 + size])
        found |= {(event.step, value.tag, value.simple_value) for value in event.summary.value}
        place += size + 16
    numbers = {"update", "agents/maker/loss", "agents/maker/returns"}
    assert {tag for _, tag, _ in found} == numbers
    assert {(2, "agents/maker/loss", 0.5), (1, "agents/maker/returns", 2.0)} <= found


def test_wandb__offline_run_lies_in_the_run_folder(tmp_path, monkeypatch):
    pytest.importorskip("wandb", reason="extra wandb is not installed; it is large")
    monkeypatch.setenv("WANDB_MODE", "offline")
    write_lines(["logging.wandb=true"], tmp_path)
    (path,) = (tmp_path / "wandb").glob("offline-run-*/run-*.wandb")
    assert b"agents/maker/returns" in path.read_bytes()


def sweep(arguments):
    """Exit code of a sweep over runs that take no time; a learning rate of 1e-3 scores best."""

    class Quick(Session):  # local, hence sent to other processes by value
        def setup(self):
            self.learner, self.total, self.env_steps_per_step = None, 0, 1

        def start(self):
            return os.getpid()

        def advance(self, state):
            raise AssertionError

        def policies(self, state):
            return {}

        def evaluate(self, state):
            mean = -abs(math.log10(self.config.algo.learning_rate) + 3.0)
            learned = {"learned": {"episode_return": {"mean": mean}}}
            (self.folder.path / "process").write_text(str(state))
            return {"agents": {"market_maker": {"policies": learned}}}

    return commands.command_line("config", Quick, ["--multirun", *TINY, *arguments])


@pytest.mark.parametrize(
    ("module", "launcher", "seeds"),
    [("joblib", "joblib", [3, 4]), ("submitit", "submitit_local", [5])],
)
def test_launcher__runs_every_job_in_a_process_of_its_own(module, launcher, seeds, tmp_path):
    pytest.importorskip(f"hydra_plugins.hydra_{module}_launcher", reason=f"no extra {module}")
    values = ",".join(map(str, seeds))
    arguments = [f"seed={values}", f"hydra/launcher={launcher}", f"run.root={tmp_path}"]
    assert sweep([*arguments, "run.name=a"]) == 0
    processes = {str(os.getpid())}
    for number, seed in enumerate(seeds):
        meta = json.loads((tmp_path / f"a-{number}" / "meta.json").read_text())
        assert (meta["status"], meta["seed"]) == ("finished", seed)
        processes.add((tmp_path / f"a-{number}" / "process").read_text())
    assert len(processes) == 1 + len(seeds)
    (written,) = (tmp_path / "sweeps").iterdir()
    assert (written / "multirun.yaml").exists()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # Optuna's use of SQLAlchemy
def test_optuna__finds_the_settings_with_the_highest_score(tmp_path, monkeypatch):
    pytest.importorskip("hydra_plugins.hydra_optuna_sweeper", reason="no extra optuna")
    market = types.SimpleNamespace(description={"kind": "embedded"})
    monkeypatch.setattr(commands, "make_market", lambda config: market)
    arguments = ["hydra/sweeper=optuna", "hydra.sweeper.direction=maximize"]
    arguments += ["hydra.sweeper.n_trials=4", "hydra.sweeper.sampler.seed=1", "run.name=a"]
    arguments += ["algo.learning_rate=tag(log,interval(1e-5,1e-1))", f"run.root={tmp_path}"]
    assert sweep(arguments) == 0
    (path,) = tmp_path.glob("sweeps/*/optimization_results.yaml")
    results = yaml.safe_load(path.read_text())
    rates = [
        yaml.safe_load((tmp_path / f"a-{trial}" / "config.yaml").read_text())["algo"]
        for trial in range(4)
    ]
    best = min((algo["learning_rate"] for algo in rates), key=lambda x: abs(math.log10(x) + 3.0))
    assert results["best_params"]["algo.learning_rate"] == pytest.approx(best)
    assert results["best_value"] == pytest.approx(-abs(math.log10(best) + 3.0))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--multirun", "algo.num_env=1,2"], "error: unknown configuration key 'algo.num_env'"),
        (["--multirun", "algo.num_envs=0"], "job 0: algo.num_envs is 0; it must be >= 1"),
        (["--multirun", "hydra/launcher=nothing"], "Could not find 'hydra/launcher/nothing'"),
    ],
)
def test_sweep__mistakes_are_named_without_a_traceback(arguments, message, tmp_path, capsys):
    assert train.main([*arguments, *TINY, f"run.root={tmp_path}"]) == train.USAGE_ERROR
    error = capsys.readouterr().err
    assert message in error
    assert "Traceback" not in error


def test_sinks__that_are_not_installed_are_refused_before_anything_is_written(tmp_path, capsys):
    import importlib.util

    if importlib.util.find_spec("wandb"):
        pytest.skip("wandb is installed")
    arguments = [*TINY, f"run.root={tmp_path / 'runs'}", "logging.wandb=true"]
    assert train.main(arguments) == train.USAGE_ERROR
    assert "pip install 'marl-algos[wandb]'" in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()

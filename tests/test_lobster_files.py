"""Training from raw LOBSTER files: with good ones at once, with bad ones not at all."""

import gzip
import json
from pathlib import Path

import pytest
from lob_data import synthesize
from marl_algos import train

SMOKE = ("experiment=smoke", "progress=none", "run.name=smoke", "run.root=runs")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder, in which the commands run."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.slow
def test_raw_lobster_files_train_without_a_preparation_step(folder: Path) -> None:
    synthesize(folder / "raw", num_messages=20_000, seed=1)
    assert train.main([*SMOKE, "data=lobster", f"data.path={folder / 'raw'}"]) == 0
    meta = json.loads((folder / "runs/smoke/meta.json").read_text())
    assert meta["data"]["kind"] == "lobster"
    assert meta["status"] == "finished"


def make_pair(folder: Path) -> tuple[Path, Path]:
    synthesize(folder, num_messages=500, seed=1)
    (message,) = folder.glob("*_message_*")
    (orderbook,) = folder.glob("*_orderbook_*")
    return message, orderbook


def without_orderbook(folder: Path) -> None:
    make_pair(folder)[1].unlink()


def with_truncated_gzip(folder: Path) -> None:
    for path in make_pair(folder):
        packed = path.read_bytes()
        gzip.decompress(packed)
        path.write_bytes(packed[: len(packed) // 2])


def with_zero_bytes(folder: Path) -> None:
    make_pair(folder)[0].write_bytes(b"")


def with_another_level(folder: Path) -> None:
    for path in make_pair(folder):
        path.rename(path.with_name(path.name.replace("_10.csv", "_3.csv")))


@pytest.mark.parametrize(
    "spoil", [without_orderbook, with_truncated_gzip, with_zero_bytes, with_another_level]
)
def test_bad_data__one_message_names_the_file_and_nothing_is_left(
    spoil, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spoil(folder / "raw")
    assert train.main([*SMOKE, "data=lobster", f"data.path={folder / 'raw'}"]) == 2
    message = capsys.readouterr().err
    assert "_message_" in message or "_orderbook_" in message
    assert "Traceback" not in message
    assert not list(folder.glob("prepared/**/*.parquet"))
    assert not (folder / "runs" / "smoke" / "checkpoints").exists()


@pytest.mark.parametrize(
    ("overrides", "named"),
    [
        (["data=lobster"], "data.path"),
        (["data=lobster", "data.path=no/such/place"], "no/such/place"),
        (["+nonsense=1"], "nonsense"),
        (["algo.num_envs=-1"], "num_envs"),
        (["device=gpu"], "gpu"),
    ],
)
def test_bad_override__one_message_names_it(
    overrides: list[str], named: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train.main([*SMOKE, *overrides]) == 2
    message = capsys.readouterr().err
    assert named in message.lower()
    assert "Traceback" not in message
    assert not (folder / "runs").exists()

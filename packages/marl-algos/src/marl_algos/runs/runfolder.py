"""The folder of a run: what it holds, who may write to it, and what is on record about it."""

from __future__ import annotations

import datetime
import importlib.metadata
import subprocess
from pathlib import Path
from typing import Any, Final

from omegaconf import OmegaConf

from marl_algos.conf.load import ConfigError, differences
from marl_algos.conf.schema import Config
from marl_algos.runs.checkpoint import CheckpointError, read_json
from marl_algos.runs.logging import is_scratch, write_atomically, write_json

SCHEMA: Final = 1
"""Version of the layout of run folders."""
PACKAGES: Final = (
    "lob-core",
    "lob-data",
    "marl-envs",
    "marl-algos",
    "jax",
    "jaxlib",
    "flax",
    "optax",
    "orbax-checkpoint",
    "numpy",
    "polars",
)
"""Distributions whose versions are recorded."""
FREE_KEYS: Final = ("resume", "progress", "run", "device")
"""Top-level keys that may differ when a run is resumed."""
OWN_PACKAGES: Final = PACKAGES[:4]
"""Distributions whose version must be the same when a run is resumed."""


class RunFolder:
    """Paths and records of one run.

    Attributes:
        path: the folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def config(self) -> Path:
        """Resolved configuration, YAML."""
        return self.path / "config.yaml"

    @property
    def meta(self) -> Path:
        """Record of the run, JSON."""
        return self.path / "meta.json"

    @property
    def metrics(self) -> Path:
        """Metrics, a JSON line for each update."""
        return self.path / "metrics.jsonl"

    @property
    def last(self) -> Path:
        """Checkpoints of the whole state."""
        return self.path / "checkpoints" / "last"

    @property
    def best(self) -> Path:
        """The policies that did best in evaluation."""
        return self.path / "checkpoints" / "best"

    def start(self, config: Config, data: dict[str, Any], device: str) -> dict[str, Any]:
        """Makes the folder, or takes it up again, and records that the run is under way.

        Returns:
            The record, to be passed to `finish`.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        previous = read_json(self.meta) if self.meta.exists() else {}
        write_atomically(self.config, OmegaConf.to_yaml(OmegaConf.structured(config)))
        record = {
            "schema": SCHEMA,
            "status": "running",
            "commit": _commit(),
            "versions": _versions(),
            "seed": config.seed,
            "num_seeds": config.num_seeds,
            "device": device,
            "data": data,
            "started": previous.get("started") or _now(),
            "finished": None,
            "env_steps": previous.get("env_steps", 0),
            "wall_seconds": previous.get("wall_seconds", 0.0),
            "compile_seconds": 0.0,
            "first_update_seconds": None,
        }
        write_json(self.meta, record)
        write_atomically(self.path.parent / "latest", f"{self.path.name}\n")
        return record

    def record(self) -> dict[str, Any]:
        """What `start` and `finish` wrote.

        Raises:
            CheckpointError: if it cannot be read, or the folder has another layout version.
        """
        record = read_json(self.meta)
        problem = other_layout(record)
        if problem is not None:
            raise CheckpointError(f"{self.path} {problem}")
        return record

    def finish(self, record: dict[str, Any], **changes: Any) -> None:
        """Records how the run ended."""
        write_json(self.meta, {**record, "finished": _now(), **changes})


def other_layout(record: dict[str, Any]) -> str | None:
    """What is wrong with the layout of the run that a record is of; None if this version's."""
    if record.get("schema") == SCHEMA:
        return None
    return f"was written with layout version {record.get('schema')}; this version plays {SCHEMA}"


def open_run_folder(config: Config) -> RunFolder:
    """The folder of a run, checked but not yet written to.

    Raises:
        ConfigError: if it exists and the run is not resumed; if there is nothing to resume; or if
            configuration or versions differ from those of the run to resume, naming what differs.
        CheckpointError: if the run to resume has another layout version.
    """
    root = Path(config.run.root)
    name = config.run.name
    if name is None:
        name = _newest(root) if config.resume else _new_name(config, root)
    if Path(name).name != name or name in ("", ".", "..", "latest"):
        raise ConfigError(f"run.name is {name!r}; it must be a plain folder name")
    folder = RunFolder(root / name)
    if not folder.config.exists():
        found = list(folder.path.iterdir()) if folder.path.exists() else []
        if not all(is_scratch(path, folder.config) for path in found):  # left by a kill at once
            raise ConfigError(f"{folder.path} exists and is no run folder; choose another run.name")
        return folder
    if not config.resume:
        raise ConfigError(
            f"{folder.path} exists; choose another run.name, or go on with it by resume=true"
        )
    _refuse_mismatch(folder, config)
    return folder


def _refuse_mismatch(folder: RunFolder, config: Config) -> None:
    old = _plain(OmegaConf.load(folder.config))
    new = _plain(OmegaConf.structured(config))
    for key in FREE_KEYS:
        old.pop(key, None)
        new.pop(key, None)
    lines = differences(old, new)
    if folder.meta.exists():
        recorded = folder.record().get("versions", {})
        present = _versions()
        own = {name: recorded.get(name) for name in OWN_PACKAGES}
        lines += differences(own, {name: present.get(name) for name in OWN_PACKAGES}, "version")
    if lines:
        raise ConfigError(f"{folder.path} cannot be resumed, it differs in: " + "; ".join(lines))


def _plain(config: Any) -> dict[str, Any]:
    """A configuration as nested plain containers."""
    container: Any = OmegaConf.to_container(config)
    return {str(key): value for key, value in container.items()}


def _newest(root: Path) -> str:
    latest = root / "latest"
    if not latest.exists():
        raise ConfigError(f"resume=true, but {latest} does not exist; give run.name")
    return latest.read_text().strip()


def _new_name(config: Config, root: Path) -> str:
    stamp = datetime.datetime.now().strftime("%Y%m%d-%H%M%S")
    base = f"{config.algo.name}-{config.data.kind}-seed{config.seed}-{stamp}"
    name, number = base, 1
    while (root / name).exists():
        number += 1
        name = f"{base}-{number}"
    return name


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


def _versions() -> dict[str, str | None]:
    versions: dict[str, str | None] = {}
    for name in PACKAGES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            versions[name] = None
    return versions


def _commit() -> str | None:
    """Commit of the working directory, with `-dirty` when files differ; None outside git."""
    try:
        run = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"],
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return run.stdout.strip() or None

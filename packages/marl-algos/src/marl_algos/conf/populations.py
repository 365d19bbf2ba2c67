"""Sections of self-play, PBT, PSRO and behavior cloning, and the runs that have them."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field

from marl_algos.conf.schema import Config
from marl_algos.imitation.cloning import CloneConfig
from marl_algos.populations.pbt import PBTConfig
from marl_algos.populations.psro import PSROConfig
from marl_algos.populations.selfplay import SelfPlayConfig


@dataclass
class SelfPlaySection:
    """Opponents of self-play; `populations.selfplay.SelfPlayConfig` documents the fields."""

    updates_per_round: int = 10
    capacity: int = 16
    sampling: str = "prioritized"
    power: float = 2.0
    latest_share: float = 0.3
    num_matches: int = 64
    win_rule: str = "median"
    seats: dict[str, str] = field(default_factory=dict)


@dataclass
class PBTSection:
    """A population; `marl_algos.populations.pbt.PBTConfig` documents the fields."""

    population: int = 10
    updates_per_generation: int = 10
    cut: float = 0.2
    resample: float = 0.25
    ranges: dict[str, list[float]] = field(
        default_factory=lambda: {"learning_rate": [1e-4, 1e-2], "entropy_coef": [1e-3, 1e-1]}
    )


@dataclass
class PSROSection:
    """Growth of a population; `marl_algos.populations.psro.PSROConfig` documents the fields.

    The updates of a best response are `algo.total_env_steps` shared among the iterations.
    """

    solver: str = "nash"
    max_iterations: int = 10
    num_matches: int = 256
    tolerance: float = 0.0


@dataclass
class CloneSection:
    """Imitation of rules; `marl_algos.imitation.cloning.CloneConfig` documents the other fields.

    Attributes:
        rules: by agent type, the action scheme that is imitated; types that are not named imitate
            the first baseline of their kind (`marl_algos.baselines.BASELINES`).
        choices: by agent type, the constant action of that scheme; 0 where missing.
        num_episodes: episodes that are demonstrated.
        held_out: share of them that is not learned from but judged by, in (0, 1).
    """

    rules: dict[str, str] = field(default_factory=dict)
    choices: dict[str, int] = field(default_factory=dict)
    num_episodes: int = 256
    held_out: float = 0.2
    learning_rate: float = 3e-3
    num_epochs: int = 50
    num_minibatches: int = 4
    max_grad_norm: float = 0.5


@dataclass
class SelfPlayRun(Config):
    """A run of self-play; a step of the run is a round.

    Attributes:
        selfplay: opponents.
    """

    selfplay: SelfPlaySection = field(default_factory=SelfPlaySection)


@dataclass
class PBTRun(Config):
    """A run of population-based training; a step of the run is a generation.

    Attributes:
        pbt: the population.
    """

    pbt: PBTSection = field(default_factory=PBTSection)


@dataclass
class PSRORun(Config):
    """A run of PSRO; a step of the run is an iteration.

    Attributes:
        psro: the growth.
    """

    psro: PSROSection = field(default_factory=PSROSection)


@dataclass
class CloneRun(Config):
    """A run of behavior cloning; a step of the run is an epoch.

    Attributes:
        clone: the imitation.
    """

    clone: CloneSection = field(default_factory=CloneSection)


RUNS = {"selfplay": SelfPlayRun, "pbt": PBTRun, "psro": PSRORun, "clone": CloneRun}
"""Schemas of the runs beside training, by name of the primary configuration."""


def selfplay_config(section: SelfPlaySection) -> SelfPlayConfig:
    """Checked settings.

    Raises:
        ValueError: naming the field that is outside its domain.
    """
    fields = {**vars(section), "seats": tuple(sorted(section.seats.items()))}
    return SelfPlayConfig(**fields)


def pbt_config(section: PBTSection) -> PBTConfig:
    """Checked settings.

    Raises:
        ValueError: naming the field that is outside its domain.
    """
    for name, limits in section.ranges.items():
        if len(limits) != 2:
            raise ValueError(f"pbt.ranges.{name} is {limits}; give [lowest, highest]")
    ranges = tuple((name, (low, high)) for name, (low, high) in sorted(section.ranges.items()))
    return PBTConfig(**{**vars(section), "ranges": ranges})


def clone_config(section: CloneSection) -> CloneConfig:
    """Checked settings.

    Raises:
        ValueError: naming the field that is outside its domain.
    """
    if section.num_episodes < 2:
        raise ValueError(f"clone.num_episodes is {section.num_episodes}; it must be >= 2")
    if not 0.0 < section.held_out < 1.0:
        raise ValueError(f"clone.held_out is {section.held_out}; it must lie in (0, 1)")
    names = [item.name for item in dataclasses.fields(CloneConfig)]
    return CloneConfig(**{name: getattr(section, name) for name in names})


def psro_config(section: PSROSection, num_updates: int) -> PSROConfig:
    """Checked settings for runs of `num_updates` updates in all.

    Raises:
        ValueError: naming the field that is outside its domain.
    """
    iterations = max(section.max_iterations, 1)
    return PSROConfig(**vars(section), updates_per_response=-(-num_updates // iterations))

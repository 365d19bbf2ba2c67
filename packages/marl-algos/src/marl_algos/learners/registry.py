"""The learners that a configuration can name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

from marl_algos.learners.dqn import DQN
from marl_algos.learners.ippo import PPO
from marl_algos.learners.maddpg import MADDPG
from marl_algos.learners.mappo import make_mappo
from marl_algos.learners.value_mixing import make_qmix, make_vdn
from marl_algos.settings import PPOConfig, TypeConfig
from marl_algos.settings_replay import DQNConfig, MADDPGConfig, MixingConfig
from marl_algos.types import Environment, Learner


class LearnerEntry(NamedTuple):
    """A learner that `algo.name` can choose.

    Attributes:
        make: `(env, types, *, num_envs, num_steps, num_updates) -> Learner`.
        settings: class of its hyper-parameters, with defaults for everything.
    """

    make: Callable[..., Learner]
    settings: type


LEARNERS: Final[dict[str, LearnerEntry]] = {
    "ippo": LearnerEntry(PPO, PPOConfig),
    "mappo": LearnerEntry(make_mappo, PPOConfig),
    "dqn": LearnerEntry(DQN, DQNConfig),
    "vdn": LearnerEntry(make_vdn, MixingConfig),
    "qmix": LearnerEntry(make_qmix, MixingConfig),
    "maddpg": LearnerEntry(MADDPG, MADDPGConfig),
}
"""Learners by `algo.name`."""


def make_learner(
    name: str,
    env: Environment,
    types: Mapping[str, TypeConfig],
    *,
    num_envs: int,
    num_steps: int,
    num_updates: int,
) -> Learner:
    """A learner by name.

    Args:
        name: one of `LEARNERS`.
        env: the environment.
        types: configuration by agent type, with that learner's settings.
        num_envs: `B`, parallel environments.
        num_steps: `T`, steps of a rollout.
        num_updates: updates of the whole run.

    Raises:
        ValueError: if the name is unknown, or settings do not fit.
    """
    if name not in LEARNERS:
        raise ValueError(f"algo.name is {name!r}; allowed: {', '.join(LEARNERS)}")
    return LEARNERS[name].make(
        env, types, num_envs=num_envs, num_steps=num_steps, num_updates=num_updates
    )

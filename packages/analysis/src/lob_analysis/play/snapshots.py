"""The policies of a run over its course: checkpoints, snapshots, members, best responses."""

from __future__ import annotations

import dataclasses
from typing import Any, Final, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from marl_algos.runs.checkpoint import named_leaves
from marl_algos.types import Learner

Array: TypeAlias = jax.Array

UNITS: Final = {"selfplay": "round", "pbt": "member", "psro": "iteration", "config": "update"}
"""What the policies of a run are counted by, by the name of its primary configuration."""


@dataclasses.dataclass(frozen=True)
class Snapshots:
    """Policies of one run that can meet each other.

    Attributes:
        unit: what `numbers` count.
        numbers: of each policy set, ascending.
        agents: policy sets, each by agent type.
        leader: index of the set that the run is judged by.
    """

    unit: str
    numbers: list[int]
    agents: list[dict[str, Any]]
    leader: int

    @property
    def labels(self) -> list[str]:
        """Names of the policy sets."""
        return [f"{self.unit} {number}" for number in self.numbers]

    def thinned(self, limit: int) -> Snapshots:
        """At most `limit` of them, evenly spaced, the first, the last and the leader among them."""
        if len(self.numbers) <= limit:
            return self
        spaced = np.linspace(0, len(self.numbers) - 1, max(limit, 2)).round().astype(int).tolist()
        if self.leader not in spaced:
            nearest = min(range(len(spaced)), key=lambda i: abs(spaced[i] - self.leader))
            spaced[nearest] = self.leader
        return Snapshots(
            self.unit,
            [self.numbers[i] for i in spaced],
            [self.agents[i] for i in spaced],
            spaced.index(self.leader),
        )


def read_population(
    leaves: dict[str, Array],
    app: str,
    learner: Learner,
    env_params: Any,
    seats: dict[str, str] | None = None,
) -> Snapshots:
    """The policies in a checkpoint of self-play, population-based training or PSRO.

    Args:
        leaves: of the checkpoint, by path.
        app: name of the run's primary configuration.
        learner: plays on the whole market; says what a policy looks like.
        env_params: of its environment.
        seats: types that are played by policies of another one.

    Raises:
        KeyError: if the checkpoint lacks a part of a policy.
    """
    blank = jax.eval_shape(learner.init, jax.random.key(0), env_params).agents
    source = {name: (seats or {}).get(name, name) for name in blank}
    if app == "pbt":
        stacked = {name: filled(blank[name], leaves, f"members.agents.{name}") for name in blank}
        size = int(jax.tree.leaves(stacked)[0].shape[0])
        numbers, slots = list(range(size)), {name: list(range(size)) for name in blank}
        leader = int(leaves["leader"])
    else:
        stacked = {n: filled(blank[n], leaves, f"pools.{source[n]}.agents") for n in blank}
        born = {name: np.asarray(leaves[f"pools.{source[name]}.born"]) for name in blank}
        common = set.intersection(*(set(b[b >= 0].tolist()) for b in born.values()))
        numbers = sorted(common)
        slots = {
            name: [int(np.flatnonzero(b == number)[0]) for number in numbers]
            for name, b in born.items()
        }
        leader = len(numbers) - 1
    agents = [
        {name: jax.tree.map(lambda x, i=slots[name][k]: x[i], stacked[name]) for name in blank}
        for k in range(len(numbers))
    ]
    return Snapshots(UNITS[app], numbers, agents, leader)


def filled(blank: Any, leaves: dict[str, Array], prefix: str, *, is_stacked: bool = True) -> Any:
    """A tree of the structure of `blank` with leaves of a checkpoint.

    Args:
        blank: a policy, or its shapes.
        leaves: of the checkpoint, by path.
        prefix: of their paths.
        is_stacked: whether an axis of policies leads the leaves of the checkpoint.

    Raises:
        KeyError: if a leaf is missing.
        ValueError: if a leaf has another shape.
    """
    values = []
    for path, leaf in named_leaves(blank).items():
        value = jnp.asarray(leaves[f"{prefix}.{path}"])
        shape = value.shape[1:] if is_stacked else value.shape
        if shape != leaf.shape:
            raise ValueError(f"{prefix}.{path} has shape {shape}; expected {leaf.shape}")
        values.append(value)
    return jax.tree.unflatten(jax.tree.structure(blank), values)

"""Warm starts: policies of another run, as far as they fit."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from marl_algos.runs.checkpoint import named_leaves

FRESH = ("opt_state", "hyper")
"""Parts of what a type has learned that are not taken over: they belong to the run."""


@dataclasses.dataclass(frozen=True)
class TransferReport:
    """What was taken over from another run.

    Attributes:
        matched: paths of leaves that were taken over.
        reshaped: `path: shape there -> shape here`, left as initialized.
        missing: paths that the other run does not have, left as initialized.
        unused: paths of the other run that nothing here has.
    """

    matched: list[str]
    reshaped: list[str]
    missing: list[str]
    unused: list[str]

    def __str__(self) -> str:
        """One line for each kind of outcome, with at most five examples."""
        lines = []
        for name, paths in dataclasses.asdict(self).items():
            shown = ", ".join(paths[:5]) + (", ..." if len(paths) > 5 else "")
            lines.append(f"{name}: {len(paths)}" + (f" ({shown})" if paths else ""))
        return "\n".join(lines)


def warm_start(
    agents: dict[str, Any],
    source: Mapping[str, Any],
    seats: Mapping[str, str] | None = None,
    *,
    is_stacked: bool = False,
) -> tuple[dict[str, Any], TransferReport]:
    """Policies that start from those of another run.

    A leaf is taken over if the other run has one under the same path, of the same shape.
    Optimizers start afresh, and settings are those of this run.

    Args:
        agents: what each type has learned so far (nothing), as in the state of a learner.
        source: leaves of the other run by path, `type.part.part`, as
            `marl_algos.runs.checkpoint.read_agents` gives them.
        seats: for types that are to start from another type's policy: which one.
        is_stacked: `agents` are those of several learners, leaves `[S, ...]`. Each learner starts
            from its own of as many there, or all from the only one.

    Returns:
        The policies, and a report of what matched.

    Raises:
        ValueError: if nothing matched at all.
    """
    seats = seats or {}
    wanted = {
        path: leaf
        for path, leaf in named_leaves(agents).items()
        if not any(part in FRESH for part in path.split("."))
    }
    taken: dict[str, Any] = {}
    reshaped, missing, used = [], [], set()
    for path, leaf in wanted.items():
        name, _, rest = path.partition(".")
        there = f"{seats.get(name, name)}.{rest}"
        found = source.get(there)
        if found is None:
            missing.append(path)
            continue
        used.add(there)
        if np.shape(found) in (leaf.shape, leaf.shape[1:] if is_stacked else leaf.shape):
            taken[path] = jnp.broadcast_to(jnp.asarray(found, leaf.dtype), leaf.shape)
        else:
            reshaped.append(f"{path}: {np.shape(found)} -> {leaf.shape}")
    if not taken:
        raise ValueError(
            f"nothing of the other run fits: {len(reshaped)} leaves have other shapes, "
            f"{len(missing)} are missing"
        )
    unused = sorted(
        path
        for path in source
        if path not in used and not any(part in FRESH for part in path.split("."))
    )
    paths = list(named_leaves(agents))
    flat, structure = jax.tree.flatten(agents)
    leaves = [taken.get(path, leaf) for path, leaf in zip(paths, flat, strict=True)]
    report = TransferReport(sorted(taken), sorted(reshaped), sorted(missing), unused)
    return jax.tree.unflatten(structure, leaves), report

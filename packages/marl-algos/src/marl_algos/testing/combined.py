"""Several probes behind one interface, so that one compiled program trains on all of them."""

from __future__ import annotations

from typing import Any, TypeAlias, TypeVar

import jax
import jax.numpy as jnp

from marl_algos.testing.probes import ByType, Probe, ProbeGroup, ProbeState
from marl_algos.types import Learner, Metrics

Array: TypeAlias = jax.Array
_T = TypeVar("_T")


class OneOf:
    """One of several probes; which, the parameters of the environment say, `[]` int32.

    Mapping training over the parameters by `jax.vmap` trains on every probe apart.

    Attributes:
        probes: in the order of their numbers.

    Raises:
        ValueError: if their groups differ, or there is none.
    """

    def __init__(self, *probes: Probe) -> None:
        groups = [probe.groups for probe in probes]
        if not groups or any(group != groups[0] for group in groups):
            raise ValueError("the probes must have equal groups, and be one at least")
        self.probes = probes

    @property
    def groups(self) -> dict[str, ProbeGroup]:
        """Those of every probe."""
        return self.probes[0].groups

    def reset_env(self, key: Array, params: Array) -> tuple[ByType, ProbeState]:
        """Observations and state at the start of an episode."""
        return _choose(params, [probe.reset_env(key, None) for probe in self.probes])

    def step_env(
        self, key: Array, state: ProbeState, action: ByType, params: Array
    ) -> tuple[ByType, ProbeState, ByType, ByType, ByType, dict[str, Any]]:
        """One step without reset."""
        return _choose(params, [probe.step_env(key, state, action, None) for probe in self.probes])


def learn_apart(learner: Learner) -> tuple[Any, Metrics]:
    """Trains on each of the probes of the learner's environment, a `OneOf`, in one program.

    Args:
        learner: runs for its `num_updates`; every probe begins with the same key.

    Returns:
        Final states, leaves `[P, ...]` by probe, and metrics, leaves `[P, U, ...]` by update too.
    """
    env: Any = learner.env

    @jax.jit
    @jax.vmap
    def run(number: Array) -> tuple[Any, Metrics]:
        return jax.lax.scan(
            lambda state, _: learner.update(state, number),
            learner.init(jax.random.key(0), number),
            length=learner.num_updates,
        )

    trained: tuple[Any, Metrics] = run(jnp.arange(len(env.probes)))
    return trained


def _choose(number: Array, outcomes: list[_T]) -> _T:
    chosen: _T = jax.tree.map(lambda *leaves: jnp.stack(leaves)[number], *outcomes)
    return chosen

"""Data parallelism: environments are spread over devices, what is learned is kept on all.

The update stays one program over global arrays; XLA splits the work along the axis of parallel
environments and sums gradients across devices. Nothing in a learner knows of it.
"""

from __future__ import annotations

from typing import Any, Final, TypeAlias

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from marl_algos.types import Learner, Metrics

Array: TypeAlias = jax.Array

AXIS: Final = "environments"
"""Name of the mesh axis."""


def make_mesh(num_devices: int | None = None) -> Mesh:
    """A mesh of devices along which environments are spread.

    Args:
        num_devices: so many of the devices that JAX sees, of all processes; None takes all.

    Raises:
        ValueError: if there are fewer.
    """
    devices = jax.devices()
    wanted = len(devices) if num_devices is None else num_devices
    if not 1 <= wanted <= len(devices):
        raise ValueError(
            f"{wanted} devices are wanted, JAX sees {len(devices)} (a CPU shows as many by "
            f"XLA_FLAGS=--xla_force_host_platform_device_count={wanted})"
        )
    return Mesh(np.array(devices[:wanted]), (AXIS,))


def join_processes(coordinator: str, num_processes: int, process: int) -> None:
    """Makes the devices of several processes one; call it before JAX runs anything.

    Args:
        coordinator: `host:port` of process 0.
        num_processes: how many there are.
        process: which of them this is, from 0.
    """
    if jax.config.jax_platforms == "cpu":  # type: ignore[attr-defined]
        jax.config.update("jax_cpu_collectives_implementation", "gloo")  # type: ignore[no-untyped-call]
    jax.distributed.initialize(coordinator, num_processes, process)


class DataParallel:
    """A learner whose environments are spread over the devices of a mesh.

    With the same keys it learns what the learner alone learns, up to the order of sums.

    Attributes:
        learner: the learner.
        mesh: the devices.

    Raises:
        ValueError: if the environments do not split evenly, or the state of the learner has no
            `rollout` whose leaves are led by the environments.
    """

    def __init__(self, learner: Learner, mesh: Mesh, key: Array, env_params: Any) -> None:
        if learner.num_envs % mesh.size:
            raise ValueError(
                f"algo.num_envs is {learner.num_envs}; it must be a multiple of the "
                f"{mesh.size} devices"
            )
        self.learner = learner
        self.mesh = mesh
        shapes = jax.eval_shape(learner.init, key, env_params)
        if not hasattr(shapes, "rollout"):
            raise ValueError(f"{type(learner).__name__} keeps no rollout to spread over devices")
        everywhere = NamedSharding(mesh, PartitionSpec())  # type: ignore[no-untyped-call]
        spread = NamedSharding(mesh, PartitionSpec(AXIS))  # type: ignore[no-untyped-call]
        placed = jax.tree.map(lambda _: everywhere, shapes)
        self.placement: Any = placed.replace(rollout=jax.tree.map(lambda _: spread, shapes.rollout))
        self._init = jax.jit(learner.init, out_shardings=self.placement)
        self.update_fn = jax.jit(
            learner.update, donate_argnums=0, out_shardings=(self.placement, everywhere)
        )

    def init(self, key: Array, env_params: Any) -> Any:
        """The state before the first update, spread over the devices."""
        return self._init(key, env_params)

    def place(self, state: Any) -> Any:
        """A state from elsewhere (a checkpoint), spread over the devices."""
        return jax.device_put(state, self.placement)

    def update(self, state: Any, env_params: Any) -> tuple[Any, Metrics]:
        """As `Learner.update`; consumes the state."""
        after: tuple[Any, Metrics] = self.update_fn(state, env_params)
        return after

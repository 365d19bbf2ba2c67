"""Ways to run a learner: alone, with several seeds, on several devices, on shards of data."""

from __future__ import annotations

import time
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Final, Protocol, TypeAlias

import jax
import numpy as np
from lob_core.runtime import cpu_options

from marl_algos.conf.load import ConfigError
from marl_algos.conf.schema import Config
from marl_algos.markets.data import Market
from marl_algos.populations.pbt import finite_mean
from marl_algos.training.federated import FederatedAveraging
from marl_algos.training.sharding import DataParallel, make_mesh
from marl_algos.training.shards import shard_params
from marl_algos.types import Learner, Metrics

Array: TypeAlias = jax.Array
_ONCE: Final[dict[str, str | bool]] = {"xla_backend_optimization_level": "1"}
"""Compiler options of what runs once, on CPUs: half the time, and the same bits where compared."""


class Runner(Protocol):
    """Advances the state of a run.

    Attributes:
        updates_per_step: updates of a learner in a step of the run.
        is_stacked: whether what the state has learned is led by an axis of learners.
        compile_seconds: time that steps have waited for compiled programs.
    """

    updates_per_step: int
    is_stacked: bool
    compile_seconds: float

    def init(self, key: Array) -> Any:
        """The state before the first step."""
        ...

    def step(self, state: Any) -> tuple[Any, Metrics]:
        """One step of the run; consumes the state."""
        ...

    def policies(self, state: Any) -> Any:
        """What each type has learned, with an axis of learners in front if there are several."""
        ...


class SideBySide:
    """One learner, or several with different seeds in one compiled program.

    With several, every leaf of the state has a leading axis `S`.
    """

    updates_per_step = 1

    def __init__(self, learner: Learner, params: Any, num_seeds: int) -> None:
        self.is_stacked = num_seeds > 1
        self._num_seeds = num_seeds
        self.compile_seconds = 0.0
        self._params = params
        init: Any = learner.init
        update: Any = learner.update
        if num_seeds > 1:
            init = jax.vmap(init, in_axes=(0, None))
            update = jax.vmap(update, in_axes=(0, None))
        self._init = jax.jit(init, compiler_options=cpu_options(_ONCE))
        self._update = jax.jit(update, donate_argnums=0)
        self._program: Any = None
        self._ahead: Future[Any] | None = None

    def _keys(self, key: Array) -> Array:
        """What `init` consumes."""
        return jax.random.split(key, self._num_seeds) if self.is_stacked else key

    def compile_ahead(self, key: Array) -> None:
        """Traces the update and starts to compile it in a thread: XLA does not hold Python's lock.

        Args:
            key: as given to `init`, which compiles a program of its own at the same time.
        """
        shapes = jax.eval_shape(self._init, self._keys(key), self._params)
        traced = self._update.trace(shapes, self._params)  # first: the longest to compile
        device = jax.config.jax_default_device  # type: ignore[attr-defined]

        def compile_update() -> Any:
            with jax.default_device(device):
                return traced.lower().compile()

        pool = ThreadPoolExecutor(1)
        self._ahead = pool.submit(compile_update)
        pool.shutdown(wait=False)

    def init(self, key: Array) -> Any:
        """Fresh environments and networks."""
        return self._init(self._keys(key), self._params)

    def step(self, state: Any) -> tuple[Any, Metrics]:
        """One update; the first call compiles it, or waits until that is done."""
        if self._program is None:
            began = time.perf_counter()
            if self._ahead is None:
                self._program = self._update.lower(state, self._params).compile()
            else:
                self._program = self._ahead.result()
            self.compile_seconds = time.perf_counter() - began
        after: tuple[Any, Metrics] = self._program(state, self._params)
        return after

    def policies(self, state: Any) -> Any:
        """Of all seeds."""
        return state.agents


class OnDevices:
    """One learner whose environments are spread over devices.

    Raises:
        ConfigError: if there are too few devices or the learner cannot be spread.
    """

    updates_per_step = 1
    is_stacked = False

    def __init__(self, learner: Learner, params: Any, num_devices: int) -> None:
        self.compile_seconds = 0.0
        self._params = params
        try:
            mesh = make_mesh(num_devices)
            self._parallel = DataParallel(learner, mesh, jax.random.key(0), params)
        except ValueError as error:
            raise ConfigError(f"num_devices: {error}") from error

    def init(self, key: Array) -> Any:
        """Fresh environments and networks."""
        return self._parallel.init(key, self._params)

    def step(self, state: Any) -> tuple[Any, Metrics]:
        """One update; a state from a checkpoint is spread over the devices first."""
        began = time.perf_counter()
        after = self._parallel.update(self._parallel.place(state), self._params)
        if self.compile_seconds == 0.0:  # calls return before they are done
            self.compile_seconds = time.perf_counter() - began
        return after

    def policies(self, state: Any) -> Any:
        """On the first device, where they are evaluated."""
        return jax.device_put(jax.device_get(state.agents))


class OnShards:
    """Workers with shards of the training data, whose policies are averaged in every step.

    Raises:
        ConfigError: if there is too little data.
    """

    is_stacked = True

    def __init__(
        self, learner: Learner, params: Any, num_workers: int, updates_per_round: int
    ) -> None:
        self.compile_seconds = 0.0
        self.updates_per_step = updates_per_round
        try:
            self._shards = shard_params(params, num_workers)
        except ValueError as error:
            raise ConfigError(f"federated.num_workers: {error}") from error
        federated = FederatedAveraging(learner, np.ones(num_workers), updates_per_round)
        self._init = jax.jit(federated.init)
        self._round = jax.jit(federated.play_round, donate_argnums=0)

    def init(self, key: Array) -> Any:
        """Workers with equal policies."""
        return self._init(key, self._shards)

    def step(self, state: Any) -> tuple[Any, Metrics]:
        """One round; metrics are means over its updates, `[W]`."""
        began = time.perf_counter()
        state, metrics = self._round(state, self._shards)
        if self.compile_seconds == 0.0:
            self.compile_seconds = time.perf_counter() - began
        metrics = jax.device_get(metrics)
        finite = np.all(metrics["finite"], axis=0)
        means: Metrics = jax.tree.map(finite_mean, metrics)
        return state, means | {"finite": finite}

    def policies(self, state: Any) -> Any:
        """The average, which every worker holds."""
        return jax.tree.map(lambda x: x[0], state.agents)


def make_runner(config: Config, learner: Learner, market: Market) -> Runner:
    """The way that a configuration asks for.

    Raises:
        ConfigError: if learner, data or devices do not allow it.
    """
    params = market.world_params
    if config.num_devices > 1:
        return OnDevices(learner, params, config.num_devices)
    if config.federated.num_workers > 1:
        federated = config.federated
        return OnShards(learner, params, federated.num_workers, federated.updates_per_round)
    return SideBySide(learner, params, config.num_seeds)

"""Federated averaging: each worker learns on its own data, only parameters move.

References:
    McMahan et al. (2017), "Communication-efficient learning of deep networks from decentralized
    data", algorithm 1.
"""

from __future__ import annotations

import dataclasses
from typing import Any, Final, TypeAlias

import jax
import jax.numpy as jnp

from marl_algos.moments import RunningMoments
from marl_algos.networks.heads import rescale_value_head
from marl_algos.types import Learner, Metrics

Array: TypeAlias = jax.Array


NETWORKS: Final = ("params", "target", "online")
"""Parts of what a learner has learned that are parameters of networks."""


class FederatedAveraging:
    """Workers with a learner and a shard of data each; their policies are averaged after rounds.

    Parameters of networks are averaged by weight, and the moments that normalize observations,
    values and rewards are pooled, so that all workers go on with the same units. Value heads that
    predict in units of a worker's own moments are expressed in the pooled ones first: then it is
    values that are averaged, not numbers of different units. Optimizers stay with their worker.

    Attributes:
        learner: the algorithm; one state for each worker.
        weights: `[W]` float32, weight of each worker, e.g. its amount of data; sum 1.
        updates_per_round: updates of each worker between two averages.
    """

    def __init__(self, learner: Learner, weights: Any, updates_per_round: int) -> None:
        self.learner = learner
        self.weights = jnp.asarray(weights, jnp.float32) / jnp.sum(jnp.asarray(weights))
        self.updates_per_round = updates_per_round

    def init(self, key: Array, shards: Any) -> Any:
        """States of all workers, leaves `[W, ...]`, with equal policies.

        Args:
            key: consumed.
            shards: parameters of the environments of each worker, leaves `[W, ...]`.
        """
        keys = jax.random.split(key, self.weights.shape[0])
        states = jax.vmap(self.learner.init)(keys, shards)
        return self._average(states)

    def play_round(self, states: Any, shards: Any) -> tuple[Any, Metrics]:
        """Every worker learns on its shard, then all take the average policy.

        Returns:
            The states, and metrics of the workers with leaves `[updates_per_round, W]`.
        """

        def step(now: Any, _: None) -> tuple[Any, Metrics]:
            after: tuple[Any, Metrics] = jax.vmap(self.learner.update)(now, shards)
            return after

        states, metrics = jax.lax.scan(step, states, length=self.updates_per_round)
        return self._average(states), metrics

    def _average(self, states: Any) -> Any:
        agents = {name: self._merge(agent) for name, agent in states.agents.items()}
        changes: dict[str, Any] = {"agents": agents}
        shared = getattr(states, "shared", ())
        if dataclasses.is_dataclass(shared):  # the mixer of a team
            changes["shared"] = self._merge(shared)
        return dataclasses.replace(states, **changes)

    def _merge(self, learned: Any) -> Any:
        """What was learned with networks averaged and moments pooled, leaves `[W, ...]`."""
        fields = {field.name: getattr(learned, field.name) for field in dataclasses.fields(learned)}
        pooled = {
            name: jax.tree.map(self._mean, value)  # averages of x and x^2 are linear in the data
            for name, value in fields.items()
            if isinstance(value, RunningMoments)
        }
        if "value_moments" in pooled:
            fields["params"] = jax.vmap(rescale_value_head)(
                fields["params"], fields["value_moments"], pooled["value_moments"]
            )
        networks = {
            name: jax.tree.map(self._mean, fields[name]) for name in NETWORKS if name in fields
        }
        return dataclasses.replace(learned, **networks, **pooled)

    def _mean(self, leaf: Array) -> Array:
        average = jnp.tensordot(self.weights, leaf.astype(jnp.float32), axes=1)
        return jnp.broadcast_to(average.astype(leaf.dtype), leaf.shape)

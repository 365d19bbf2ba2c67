"""Federated averaging: each worker learns on its own data, only parameters move.

References:
    McMahan et al. (2017), "Communication-efficient learning of deep networks from decentralized
    data", algorithm 1.
"""

from __future__ import annotations

import dataclasses
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp

from marl_algos.types import Learner, Metrics

Array: TypeAlias = jax.Array


class FederatedAveraging:
    """Workers with a learner and a shard of data each; their policies are averaged after rounds.

    What is averaged is `params` of every type, weighted; moments and optimizers stay with their
    worker.

    Attributes:
        learner: the algorithm; one state for each worker.
        weights: `[W]` float32, weight of each worker, e.g. its amount of data; sum 1.
        updates_per_round: updates of each worker between two averages.
    """

    def __init__(self, learner: Learner, weights: Array, updates_per_round: int) -> None:
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
        def mean(leaf: Array) -> Array:
            average = jnp.tensordot(self.weights, leaf.astype(jnp.float32), axes=1)
            return jnp.broadcast_to(average.astype(leaf.dtype), leaf.shape)

        agents = {
            name: dataclasses.replace(agent, params=jax.tree.map(mean, agent.params))
            for name, agent in states.agents.items()
        }
        return dataclasses.replace(states, agents=agents)

"""Experience on the device: a ring of rollouts, sampled uniformly with replacement."""

from __future__ import annotations

from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
from flax import struct

Array: TypeAlias = jax.Array


@struct.dataclass
class Experience:
    """Transitions of one agent type, leaves `[T, B, A, ...]`.

    Attributes:
        obs: `[..., F]` float32, observation before step t, as the environment gave it.
        action: action of step t.
        reward: float32, sum of the discounted rewards from step t on that were put together.
        next_obs: `[..., F]` float32, observation after the last of them, before any reset.
        discount: float32, weight of what is bootstrapped from `next_obs`; 0 after a terminal step.
        cut: bool, the agent's episode ended after step t.
        is_first: bool, step t is the first of an episode.
        active: bool, the agent took part in step t; others do not count in any loss.
        next_legal: bool `[..., n]`, actions allowed after `next_obs`; None if the type is free.
        legal: bool `[..., n]`, actions allowed at step t; None if the type is free.
    """

    obs: Array
    action: Array
    reward: Array
    next_obs: Array
    discount: Array
    cut: Array
    is_first: Array
    active: Array
    next_legal: Array | None
    legal: Array | None


@struct.dataclass
class Replay:
    """The newest `K` rollouts.

    Attributes:
        rows: experience by agent type, leaves `[K, T, B, A, ...]`.
        carry: hidden states by agent type at the start of each rollout, leaves `[K, B, A, ...]`.
        count: `[]` int32, rollouts stored so far, of which the last `K` are still there.
    """

    rows: Any
    carry: Any
    count: Array

    @classmethod
    def create(cls, rows: Any, carry: Any, num_rollouts: int) -> Replay:
        """An empty ring for rollouts of these shapes (arrays or their shapes)."""

        def empty(leaf: Any) -> Array:
            return jnp.zeros((num_rollouts, *leaf.shape), leaf.dtype)

        return cls(jax.tree.map(empty, rows), jax.tree.map(empty, carry), jnp.zeros((), jnp.int32))

    def add(self, rows: Any, carry: Any) -> Replay:
        """The ring with one more rollout, in the place of the oldest if it is full."""
        place = self.count % jax.tree.leaves(self.rows)[0].shape[0]

        def put(ring: Array, leaf: Array) -> Array:
            changed: Array = jax.lax.dynamic_update_index_in_dim(ring, leaf, place, 0)
            return changed

        return Replay(
            jax.tree.map(put, self.rows, rows),
            jax.tree.map(put, self.carry, carry),
            self.count + 1,
        )

    def steps(self, key: Array, size: int) -> Any:
        """Single steps of single environments, leaves `[1, size, A, ...]`."""
        key_rollout, key_step, key_env = jax.random.split(key, 3)
        shape = jax.tree.leaves(self.rows)[0].shape
        rollout = self._rollouts(key_rollout, size)
        step = jax.random.randint(key_step, (size,), 0, shape[1])
        env = jax.random.randint(key_env, (size,), 0, shape[2])
        return jax.tree.map(lambda x: x[rollout, step, env][None], self.rows)

    def rollouts(self, key: Array, size: int) -> tuple[Any, Any]:
        """Whole rollouts of single environments.

        Returns:
            Rows, leaves `[T, size, A, ...]`, and hidden states before them, `[size, A, ...]`.
        """
        key_rollout, key_env = jax.random.split(key)
        shape = jax.tree.leaves(self.rows)[0].shape
        rollout = self._rollouts(key_rollout, size)
        env = jax.random.randint(key_env, (size,), 0, shape[2])
        rows = jax.tree.map(lambda x: jnp.moveaxis(x[rollout, :, env], 1, 0), self.rows)
        return rows, jax.tree.map(lambda x: x[rollout, env], self.carry)

    def _rollouts(self, key: Array, size: int) -> Array:
        stored = jnp.minimum(self.count, jax.tree.leaves(self.rows)[0].shape[0])
        return jax.random.randint(key, (size,), 0, jnp.maximum(stored, 1))


def n_step(rows: Experience, discount: float, n: int) -> Experience:
    """Transitions over up to `n` steps from those over one.

    Args:
        rows: leaves `[T, ...]`, transitions over one step.
        discount: gamma.
        n: steps to put together; fewer where an episode or the rollout ends.

    References:
        Sutton and Barto (2018), "Reinforcement learning", equation 7.1.
    """
    num_steps = rows.reward.shape[0]
    start = jnp.arange(num_steps).reshape(-1, *([1] * (rows.reward.ndim - 1)))
    last = jnp.broadcast_to(start, rows.reward.shape)
    total, weight, goes_on = rows.reward, jnp.ones_like(rows.reward), ~rows.cut
    for ahead in range(1, n):
        goes_on = goes_on & (start + ahead < num_steps)
        weight = jnp.where(goes_on, weight * discount, weight)
        total = total + jnp.where(goes_on, weight * _shift(rows.reward, ahead), 0.0)
        last = jnp.where(goes_on, start + ahead, last)
        goes_on = goes_on & ~_shift(rows.cut, ahead)

    def at_last(leaf: Array) -> Array:
        index = last.reshape(*last.shape, *([1] * (leaf.ndim - last.ndim)))
        return jnp.take_along_axis(leaf, index, axis=0)

    return Experience(
        obs=rows.obs,
        action=rows.action,
        reward=total,
        next_obs=at_last(rows.next_obs),
        discount=weight * at_last(rows.discount),
        cut=rows.cut,
        is_first=rows.is_first,
        active=rows.active,
        next_legal=None if rows.next_legal is None else at_last(rows.next_legal),
        legal=rows.legal,
    )


def n_step_targets(reward: Array, following: Array, discount: Array, cut: Array, n: int) -> Array:
    """Targets over up to `n` steps along stretches of time.

    Args:
        reward: `[T, ...]`, reward of step t.
        following: `[T, ...]`, value of the observation that followed step t.
        discount: `[T, ...]`, gamma, or 0 after a terminal step.
        cut: `[T, ...]` bool, the episode ended after step t.
        n: steps before bootstrapping; fewer where an episode or the stretch ends.

    Returns:
        `[T, ...]` float32.
    """
    ends = cut.at[-1].set(True)
    targets = reward + discount * following
    for _ in range(1, n):
        targets = reward + discount * jnp.where(ends, following, _shift(targets, 1))
    return targets


def _shift(x: Array, ahead: int) -> Array:
    """`x[t + ahead]` at place t; the end is filled with the last entry, and not to be used."""
    return x[jnp.minimum(jnp.arange(x.shape[0]) + ahead, x.shape[0] - 1)]

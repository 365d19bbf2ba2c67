"""Population-based training: learners with different settings side by side in one program.

References:
    Jaderberg et al. (2017), "Population based training of neural networks".
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, Final, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from marl_algos.populations.matches import take
from marl_algos.types import Learner, Metrics

Array: TypeAlias = jax.Array

FRACTIONS: Final = ("discount", "gae_lambda")
"""Settings in [0, 1]; their distance from 1 is what is perturbed."""
FACTORS: Final = (0.8, 1.2)
"""What a perturbed setting is multiplied by."""


@dataclasses.dataclass(frozen=True)
class PBTConfig:
    """How a population is exploited and explored.

    Attributes:
        population: learners side by side.
        updates_per_generation: updates of every learner before the population is ranked.
        cut: share that is replaced, and share that it is replaced from, in (0, 1/2].
        resample: probability that a copied setting is drawn anew instead of perturbed.
        ranges: settings that differ: names with the limits between which they are drawn
            log-uniformly at the start; for `discount` and `gae_lambda`, the distance from 1 is.

    Raises:
        ValueError: naming the field that is outside its domain.
    """

    population: int = 10
    updates_per_generation: int = 10
    cut: float = 0.2
    resample: float = 0.25
    ranges: tuple[tuple[str, tuple[float, float]], ...] = (
        ("learning_rate", (1e-4, 1e-2)),
        ("entropy_coef", (1e-3, 1e-1)),
    )

    def __post_init__(self) -> None:
        for name, least in (
            ("population", 2),
            ("updates_per_generation", 1),
        ):
            if getattr(self, name) < least:
                raise ValueError(f"pbt.{name} is {getattr(self, name)}; it must be >= {least}")
        if not 0.0 < self.cut <= 0.5:
            raise ValueError(f"pbt.cut is {self.cut}; it must be in (0, 1/2]")
        if not 0.0 <= self.resample <= 1.0:
            raise ValueError(f"pbt.resample is {self.resample}; it must be in [0, 1]")
        if not self.ranges:
            raise ValueError("pbt.ranges is empty; members would not differ")
        for name, (low, high) in self.ranges:
            ends = (1.0 - high, 1.0 - low) if name in FRACTIONS else (low, high)
            if not 0.0 < ends[0] <= ends[1] or (name in FRACTIONS and low < 0.0):
                raise ValueError(
                    f"pbt.ranges.{name} is {[low, high]}; limits must be positive and in order"
                    + (", and below 1" if name in FRACTIONS else "")
                )

    @property
    def num_replaced(self) -> int:
        """Members that are replaced after a generation, at least one."""
        return max(1, int(self.population * self.cut))


@struct.dataclass
class PBTState:
    """A population.

    Attributes:
        members: states of the learners, leaves `[P, ...]`.
        key: source of randomness.
        generation: `[]` int32, generations done.
        leader: `[]` int32, the member that did best in the last ranking.
    """

    members: Any
    key: Array
    generation: Array
    leader: Array


class PBT:
    """A population of equal learners with different settings: pure methods on arrays.

    Attributes:
        learner: the algorithm; types learn with their own settings in `state.agents[...].hyper`.
        config: how the population changes.

    Raises:
        ValueError: if a setting in `ranges` is not one that the learner takes from its state.
    """

    def __init__(self, learner: Learner, config: PBTConfig) -> None:
        self.learner = learner
        self.config = config
        self._run = jax.jit(self._train)
        self._change = jax.jit(self._explore_copies)

    def init(self, key: Array, env_params: Any) -> PBTState:
        """Fresh learners with settings drawn from the ranges.

        Raises:
            ValueError: if a setting in `ranges` is not one that the learner takes from its state.
        """
        key_init, key_draw, key = jax.random.split(key, 3)
        keys = jax.random.split(key_init, self.config.population)
        members = jax.jit(jax.vmap(self.learner.init, in_axes=(0, None)))(keys, env_params)
        for name, agent in members.agents.items():
            for setting, _ in self.config.ranges:
                if setting not in agent.hyper:
                    raise ValueError(
                        f"pbt.ranges names {setting!r}; agents {name!r} can differ in: "
                        + ", ".join(sorted(agent.hyper))
                    )
        drawn = {
            name: agent.hyper | self._draw(jax.random.fold_in(key_draw, index))
            for index, (name, agent) in enumerate(sorted(members.agents.items()))
        }
        return PBTState(_with_hyper(members, drawn), key, jnp.int32(0), jnp.int32(0))

    def train(self, state: PBTState, env_params: Any) -> tuple[PBTState, Metrics]:
        """One generation of updates of all members.

        Returns:
            The state before ranking, and metrics with leaves `[updates_per_generation, P]`.
        """
        members, metrics = self._run(state.members, env_params)
        after = PBTState(members, state.key, state.generation + 1, state.leader)
        return after, metrics

    def evolve(self, state: PBTState, scores: np.ndarray) -> tuple[PBTState, list[dict[str, Any]]]:
        """Replaces the worst by copies of the best, whose settings are changed a little.

        Args:
            state: after `train`.
            scores: `[P]`, larger is better; what is not finite ranks last.

        Returns:
            The new state, and a row for each member: `generation`, `member`, `parent` (itself if it
            was kept), `score` of the generation that ended, and `type.setting` of the next one.
        """
        size, replaced = self.config.population, self.config.num_replaced
        ranked = np.argsort(np.where(np.isfinite(scores), scores, -np.inf), kind="stable")
        key_pick, key_change, key_learn, key = jax.random.split(state.key, 4)
        best = ranked[-replaced:]
        picks = jax.random.randint(key_pick, (replaced,), 0, replaced)
        parents = np.arange(size)
        parents[ranked[:replaced]] = best[np.asarray(picks)]
        members = take(state.members, jnp.asarray(parents))
        is_copy = parents != np.arange(size)
        old = {name: agent.hyper for name, agent in members.agents.items()}
        hyper = self._change(key_change, old, jnp.asarray(is_copy))
        members = _with_hyper(members, hyper)
        fresh = jax.random.split(key_learn, size)  # copies must not explore in step
        members = dataclasses.replace(members, key=jnp.where(is_copy, fresh, members.key))
        rows = [
            {
                "generation": int(state.generation),
                "member": member,
                "parent": int(parents[member]),
                "score": float(scores[member]),
                **{
                    f"{name}.{setting}": float(hyper[name][setting][member])
                    for name in hyper
                    for setting, _ in self.config.ranges
                },
            }
            for member in range(size)
        ]
        return PBTState(members, key, state.generation, jnp.int32(ranked[-1])), rows

    def _explore_copies(
        self, key: Array, hyper: dict[str, dict[str, Array]], is_copy: Array
    ) -> dict[str, dict[str, Array]]:
        """Settings `[P]` by type, explored where `is_copy` (`[P]` bool)."""
        after = {}
        for index, (name, old) in enumerate(sorted(hyper.items())):
            changed = self._explore(jax.random.fold_in(key, index), old)
            after[name] = {
                setting: jnp.where(is_copy, changed.get(setting, value), value)
                for setting, value in old.items()
            }
        return after

    def _train(self, members: Any, env_params: Any) -> tuple[Any, Metrics]:
        update = jax.vmap(self.learner.update, in_axes=(0, None))
        return jax.lax.scan(
            lambda now, _: update(now, env_params),
            members,
            length=self.config.updates_per_generation,
        )

    def _draw(self, key: Array) -> dict[str, Array]:
        """Settings `[P]` drawn from the ranges."""
        drawn = {}
        for index, (name, (low, high)) in enumerate(self.config.ranges):
            ends = (1.0 - high, 1.0 - low) if name in FRACTIONS else (low, high)
            exponents = jax.random.uniform(
                jax.random.fold_in(key, index),
                (self.config.population,),
                minval=np.log(ends[0]),
                maxval=np.log(ends[1]),
            )
            value = jnp.exp(exponents)
            drawn[name] = 1.0 - value if name in FRACTIONS else value
        return drawn

    def _explore(self, key: Array, hyper: Mapping[str, Array]) -> dict[str, Array]:
        """Settings `[P]` perturbed by one of `FACTORS`, or drawn anew."""
        key_draw, key_factor, key_choice = jax.random.split(key, 3)
        drawn = self._draw(key_draw)
        changed = {}
        for index, (name, _) in enumerate(self.config.ranges):
            shape = hyper[name].shape
            factor = jax.random.choice(
                jax.random.fold_in(key_factor, index), jnp.array(FACTORS), shape
            )
            old = 1.0 - hyper[name] if name in FRACTIONS else hyper[name]
            moved = jnp.minimum(old * factor, 1.0) if name in FRACTIONS else old * factor
            perturbed = 1.0 - moved if name in FRACTIONS else moved
            anew = jax.random.bernoulli(
                jax.random.fold_in(key_choice, index), self.config.resample, shape
            )
            changed[name] = jnp.where(anew, drawn[name], perturbed)
        return changed


def scores_of(metrics: Metrics) -> np.ndarray:
    """`[P]` mean episode return over agent types and updates of a generation, from its metrics.

    Updates in which no episode ended do not count; NaN if none ended at all.
    """
    by_type = [np.asarray(agent["episode_return"]) for agent in metrics["agents"].values()]
    return finite_mean(np.mean(by_type, axis=0))


def finite_mean(values: np.ndarray) -> np.ndarray:
    """Mean along the first axis over what is finite; NaN where nothing is."""
    counted = np.isfinite(values)
    number = counted.sum(axis=0)
    total = np.where(counted, values, 0.0).sum(axis=0)
    return np.asarray(np.where(number > 0, total / np.maximum(number, 1), np.nan))


def _with_hyper(members: Any, hyper: Mapping[str, dict[str, Array]]) -> Any:
    agents = {
        name: dataclasses.replace(agent, hyper=hyper[name])
        for name, agent in members.agents.items()
    }
    return dataclasses.replace(members, agents=agents)

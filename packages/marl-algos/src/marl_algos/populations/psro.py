"""Policy-space response oracles: grow a game among policies until nobody finds a better one.

References:
    Lanctot et al. (2017), "A unified game-theoretic approach to multiagent reinforcement
    learning", algorithm 1.
"""

from __future__ import annotations

import dataclasses
from itertools import product
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from marl_algos.meta_games import META_SOLVERS, Profile, expected_payoffs, solve_meta_game
from marl_algos.meta_games.payoffs import action_values
from marl_algos.populations.matches import (
    Floats,
    MakeLearner,
    Matches,
    PolicyPool,
    blank_agents,
    make_pool,
    put,
)
from marl_algos.populations.opponents import OpponentParams, WithOpponents
from marl_algos.types import Environment

Array: TypeAlias = jax.Array


@dataclasses.dataclass(frozen=True)
class PSROConfig:
    """How a population grows.

    Attributes:
        solver: how policies are mixed, a key of `marl_algos.meta_games.META_SOLVERS`.
        max_iterations: iterations at most; each adds one policy to every type.
        updates_per_response: updates of a learner that looks for a best response.
        num_matches: episodes that an entry of the payoff table is the mean of.
        tolerance: the growth ends when the best responses of all types together gain no more.

    Raises:
        ValueError: naming the field that is outside its domain.
    """

    solver: str = "nash"
    max_iterations: int = 10
    updates_per_response: int = 50
    num_matches: int = 256
    tolerance: float = 0.0

    def __post_init__(self) -> None:
        if self.solver not in META_SOLVERS:
            raise ValueError(
                f"psro.solver is {self.solver!r}; allowed: {', '.join(sorted(META_SOLVERS))}"
            )
        for name in ("max_iterations", "updates_per_response", "num_matches"):
            if getattr(self, name) < 1:
                raise ValueError(f"psro.{name} is {getattr(self, name)}; it must be >= 1")


@struct.dataclass
class PSROState:
    """A population and what is known about it.

    Attributes:
        pools: policies by type, in the order in which they were added.
        payoffs: by type `[K, ..., K]` float32, mean return of a profile, an axis for each type in
            sorted order; NaN where not simulated.
        size: `[]` int32, policies of each type.
        key: source of randomness.
    """

    pools: dict[str, PolicyPool]
    payoffs: dict[str, Array]
    size: Array
    key: Array


@dataclasses.dataclass(frozen=True)
class PSROStep:
    """What one iteration found.

    Attributes:
        iteration: from 1.
        gap: what the new policies of all types together gain against the mixture: an estimate of
            its NashConv from below, as good as the best responses are.
        gains: by type, each >= 0.
        values: by type, what the mixture earns.
        mixture: by type, probabilities of its policies before the iteration.
    """

    iteration: int
    gap: float
    gains: dict[str, float]
    values: dict[str, float]
    mixture: dict[str, list[float]]


class PSRO:
    """Growth of a population in which every type answers the mixture of the others.

    Attributes:
        env: the game.
        config: settings.
        base: a learner on the whole game; only its way of acting is used.
        learners: by type, the learner that looks for best responses.
        names: types in the order of payoff axes.
    """

    def __init__(self, env: Environment, make_learner: MakeLearner, config: PSROConfig) -> None:
        self.env = env
        self.config = config
        self.names = tuple(sorted(env.groups))
        self.base = make_learner(env)
        self.learners = {
            name: make_learner(
                WithOpponents(env, self.base, [other for other in self.names if other != name])
            )
            for name in self.names
        }
        self._matches = Matches(env, self.base, config.num_matches)
        self._respond = {name: jax.jit(self._responder(name)) for name in self.names}

    @property
    def capacity(self) -> int:
        """Policies that a type has in the end."""
        return self.config.max_iterations + 1

    def init(self, key: Array, env_params: Any) -> PSROState:
        """A population of one random policy for each type, with its payoff."""
        key_init, key_play, key = jax.random.split(key, 3)
        blank = blank_agents(self.base, env_params)
        pools = {}
        for name, learner in self.learners.items():
            others = {n: make_pool(a, 1) for n, a in blank.items() if n != name}
            own = jax.jit(learner.init)(key_init, self._params(env_params, others, {})).agents[name]
            pools[name] = make_pool(own, self.capacity)
        shape = (self.capacity,) * len(self.names)
        payoffs = {name: jnp.full(shape, jnp.nan) for name in self.names}
        state = PSROState(pools, payoffs, jnp.int32(0), key)
        return self._simulate(state, key_play, env_params)

    def iterate(self, state: PSROState, env_params: Any) -> tuple[PSROState, PSROStep]:
        """Mixes, trains a best response of every type, and plays the new ones against all.

        Raises:
            ValueError: if the population is full.
        """
        size = int(state.size)
        if size >= self.capacity:
            raise ValueError(f"the population has {size} policies of each type; it is full")
        key_play, key_train, key = jax.random.split(state.key, 3)
        mixture = self.mixture(state)
        pools = dict(state.pools)
        for index, name in enumerate(self.names):
            others = {n: pool for n, pool in state.pools.items() if n != name}
            params = self._params(env_params, others, mixture)
            agent = self._respond[name](jax.random.fold_in(key_train, index), params)
            pools[name] = put(state.pools[name], size, agent, size)
        state = PSROState(pools, state.payoffs, state.size, key)
        state = self._simulate(state, key_play, env_params)
        return state, self._judge(state, mixture, size)

    def mixture(self, state: PSROState) -> dict[str, Floats]:
        """How often the meta-solver plays each policy, by type `[size]`."""
        mixed = solve_meta_game(self.table(state), self.config.solver)
        return dict(zip(self.names, mixed, strict=True))

    def table(self, state: PSROState) -> list[Floats]:
        """Payoff tensors of the policies so far, in the order of `names`."""
        part = (slice(int(state.size)),) * len(self.names)
        return [np.asarray(state.payoffs[name], np.float64)[part] for name in self.names]

    def _responder(self, name: str) -> Any:
        learner = self.learners[name]

        def respond(key: Array, params: OpponentParams) -> Any:
            def step(state: Any, _: None) -> tuple[Any, None]:
                return learner.update(state, params)[0], None

            start = learner.init(key, params)
            end, _ = jax.lax.scan(step, start, length=self.config.updates_per_response)
            return end.agents[name]

        return respond

    def _params(
        self, env_params: Any, pools: dict[str, PolicyPool], mixture: dict[str, Floats]
    ) -> OpponentParams:
        """Pools as opponents; those without a mixture play their first policy."""
        weights = {}
        for name, pool in pools.items():
            weight = np.zeros(pool.born.shape, np.float32)
            mixed = mixture.get(name, np.ones(1))
            weight[: len(mixed)] = mixed
            weights[name] = jnp.asarray(weight)
        return OpponentParams(env_params, {n: p.agents for n, p in pools.items()}, weights)

    def _simulate(self, state: PSROState, key: Array, env_params: Any) -> PSROState:
        """Plays every profile with a policy of the newest iteration, and no other."""
        new = int(state.size)
        cells = [c for c in product(range(new + 1), repeat=len(self.names)) if new in c]
        played = self._matches.returns(
            {name: pool.agents for name, pool in state.pools.items()},
            [dict(zip(self.names, cell, strict=True)) for cell in cells],
            key,
            env_params,
        )
        index = tuple(np.array(cells).T)
        payoffs = {
            name: state.payoffs[name].at[index].set(played[name].mean(axis=1))
            for name in self.names
        }
        return PSROState(state.pools, payoffs, state.size + 1, state.key)

    def _judge(self, state: PSROState, mixture: dict[str, Floats], new: int) -> PSROStep:
        """What the policies added last gain against the mixture that they answer."""
        table = self.table(state)
        before: Profile = [np.append(mixture[name], 0.0) for name in self.names]
        values = expected_payoffs(table, before)
        gains = {
            name: max(float(action_values(table[i], before, i)[new] - values[i]), 0.0)
            for i, name in enumerate(self.names)
        }
        return PSROStep(
            iteration=new,
            gap=sum(gains.values()),
            gains=gains,
            values=dict(zip(self.names, values.tolist(), strict=True)),
            mixture={name: mixed.tolist() for name, mixed in mixture.items()},
        )

    def grow(self, state: PSROState, env_params: Any) -> tuple[PSROState, list[PSROStep]]:
        """Iterates until the gap closes or the population is full."""
        steps: list[PSROStep] = []
        while int(state.size) < self.capacity:
            state, step = self.iterate(state, env_params)
            steps.append(step)
            if step.gap <= self.config.tolerance:
                break
        return state, steps

"""Plays whole episodes with any mixture of policies, under common random numbers.

Equal keys give equal markets whoever plays: a difference between two plays is due to the players.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, Final, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt
from marl_algos.rollout import flatten_obs, legal_actions
from marl_algos.types import Environment, Learner, split_by_type

from lob_analysis.play.programs import Program

Array: TypeAlias = jax.Array
Arrays: TypeAlias = dict[str, npt.NDArray[Any]]

RETURN: Final = "episode_return"
"""The sum of rewards of an episode, which every environment has."""
KEEP_INVENTORY: Final = ("inventory",)
"""Keeps the paths of inventories."""
OBSERVATION: Final = "observation"
"""Named in `keep`: what agents saw before each step, flat, `[..., S, E, A, F]`."""


@dataclasses.dataclass(frozen=True)
class Episodes:
    """What came of `E` episodes; of several profiles, arrays are led by their axis.

    Attributes:
        results: final results by agent type and quantity, `[..., E, A]`; with `RETURN`.
        market: numbers of the market by name, `[..., S, E]`, as they are in `info["market"]`.
        agents: paths by agent type and quantity, `[..., S, E, A]`, as they are in
            `info["agents"]`; empty where an environment has none.
        windows: `[E]` episodes of equal number replay the same recorded window.
    """

    results: dict[str, Arrays]
    market: Arrays
    agents: dict[str, Arrays]
    windows: npt.NDArray[np.int64]

    def of(self, agent_type: str, quantity: str = RETURN) -> npt.NDArray[np.float64]:
        """A result `[..., E]`, averaged over the agents of a type.

        Raises:
            ValueError: if there is no such result.
        """
        found = self.results.get(agent_type, {})
        if quantity not in found:
            raise ValueError(f"{agent_type!r} has no result {quantity!r}; it has {sorted(found)}")
        return np.asarray(found[quantity].astype(np.float64).mean(axis=-1))


class Player:
    """Plays episodes of one environment; each kind of play is compiled once.

    Attributes:
        env: the environment.
        learner: knows how policies of its types act.
        num_episodes: `E`.
        num_steps: steps that are played; an episode that ends earlier stands still.
        keep: names of `info["agents"]` whose paths are kept, and `OBSERVATION`.

    Args:
        is_quick: compile with little optimization; for players of two or three plays.
    """

    def __init__(
        self,
        env: Environment,
        learner: Learner,
        num_episodes: int,
        *,
        num_steps: int | None = None,
        keep: tuple[str, ...] = (),
        is_quick: bool = False,
    ) -> None:
        config = getattr(env, "config", None)
        steps = num_steps if config is None else config.num_steps
        if steps is None:
            raise ValueError("num_steps is needed: the environment does not say how long it lasts")
        self.env = env
        self.learner = learner
        self.num_episodes = num_episodes
        self.num_steps = steps
        self.keep = keep
        self._one = Program(self._episodes, is_quick=is_quick)
        self._many = Program(self._profiles, is_quick=is_quick)

    def play(
        self,
        agents: Mapping[str, Any],
        params: Any,
        key: Array,
        *,
        fixed: Mapping[str, Array] | None = None,
        greedy: bool = True,
    ) -> Episodes:
        """Plays one profile.

        Args:
            agents: policies by type.
            params: of the environment.
            key: of everything random.
            fixed: constant actions `[A, ...]`, which a type repeats whatever its policy says.
                A type that has no policy in `agents` needs one; types that have both share one
                compiled program with those that have none.
            greedy: most likely actions instead of sampled ones.
        """
        found = self._one(*self._arguments(agents, params, key, fixed or {}, greedy))
        return _episodes(jax.device_get(found))

    def prepare(
        self, agents: Mapping[str, Any], params: Any, *, fixed: Mapping[str, Array] | None = None
    ) -> None:
        """Compiles `play` for arguments of these shapes, so that threads can share the work."""
        self._one.prepared(*self._arguments(agents, params, jax.random.key(0), fixed or {}, True))

    def _arguments(
        self,
        agents: Mapping[str, Any],
        params: Any,
        key: Array,
        fixed: Mapping[str, Array],
        greedy: bool,
    ) -> tuple[Any, ...]:
        """Those of the program: every type has a constant action and whether it is repeated."""
        idle = sorted(set(self.env.groups) - {*agents, *fixed})
        if idle:
            raise ValueError(f"types {idle} have neither a policy nor a constant action")
        constants = {}
        for name, group in self.env.groups.items():
            space = group.action_space
            nothing = jnp.zeros((group.num_agents, *space.shape), space.dtype)
            value = jnp.asarray(fixed.get(name, nothing), space.dtype)
            constants[name] = (value, jnp.asarray(name in fixed))
        return dict(agents), params, key, constants, jnp.asarray(greedy)

    def play_profiles(
        self,
        stacked: Mapping[str, Any],
        choices: Mapping[str, npt.ArrayLike],
        params: Any,
        key: Array,
        *,
        greedy: bool = True,
    ) -> Episodes:
        """Plays many profiles of stacked policies, all with the same keys, in one program.

        Args:
            stacked: policies by type, leaves `[K, ...]`.
            choices: by type `[C]`, which policy plays in each profile.
            params: of the environment.
            key: of everything random.
            greedy: most likely actions instead of sampled ones.

        Returns:
            Arrays led by `C`.
        """
        index = {name: jnp.asarray(choice, jnp.int32) for name, choice in choices.items()}
        found = self._many(dict(stacked), index, params, key, jnp.asarray(greedy))
        return _episodes(jax.device_get(found))

    def _profiles(
        self, stacked: Any, index: dict[str, Array], params: Any, key: Array, greedy: Array
    ) -> Any:
        def play(choice: dict[str, Array]) -> Any:
            agents = {
                name: jax.tree.map(lambda x, c=c: x[c], stacked[name]) for name, c in choice.items()
            }
            return self._episodes(agents, params, key, {}, greedy)

        return jax.lax.map(play, index)

    def _episodes(
        self,
        agents: dict[str, Any],
        params: Any,
        key: Array,
        constants: dict[str, tuple[Array, Array]],
        greedy: Array,
    ) -> Any:
        """Traced: all episodes side by side, step by step.

        `constants` are by type an action `[A, ...]` and whether it is repeated, `[]` bool; types
        that are not in `agents` repeat it in any case.
        """
        env, size = self.env, self.num_episodes
        keys = jax.vmap(lambda e: jax.random.fold_in(key, e))(jnp.arange(size))
        key_policy = jax.random.fold_in(key, size)
        policies = [name for name in env.groups if name in agents]

        def keys_of(step: Array) -> Array:
            return jax.vmap(jax.random.fold_in, in_axes=(0, None))(keys, step)

        def act(obs: Any, state: Any, carry: Any, index: Array) -> tuple[Any, Any]:
            flat = flatten_obs(env, obs)
            legal = legal_actions(env, state, params)
            step_keys = split_by_type(jax.random.fold_in(key_policy, index), env.groups)
            moves = self.learner.play(
                agents,
                {name: step_keys[name] for name in policies},
                {name: flat[name] for name in policies},
                carry,
                jnp.broadcast_to(index == 0, size),
                greedy=greedy,
                legal={name: mask for name, mask in legal.items() if name in policies},
            )
            action = {name: move.action for name, move in moves.items()}
            for name, (value, is_repeated) in constants.items():
                constant = jnp.broadcast_to(value, (size, *value.shape))
                chosen = action.get(name, constant)
                action[name] = jnp.where(is_repeated, constant, chosen)
            return action, carry | {name: move.carry for name, move in moves.items()}

        def step(now: Any, index: Array) -> tuple[Any, Any]:
            obs, state, carry, done, kept = now
            action, carry = act(obs, state, carry, index)
            seen = flatten_obs(env, obs) if OBSERVATION in self.keep else {}
            obs, after, reward, _, _, info = jax.vmap(env.step_env, in_axes=(0, 0, 0, None))(
                keys_of(index + 1), state, action, params
            )
            final = {n: r for n, r in info["episode"].items() if n != "done"}
            earned = {
                name: kept[0][name] + jnp.where(info["active"][name] & ~done[:, None], value, 0.0)
                for name, value in reward.items()
            }
            final = jax.tree.map(lambda new, old: _where(done, old, new), final, kept[1])
            state = jax.tree.map(lambda new, old: _where(done, old, new), after, state)
            paths = {
                name: {q: x for q, x in each.items() if q in self.keep}
                for name, each in info.get("agents", {}).items()
            }
            for name, flat in seen.items():
                paths.setdefault(name, {})[OBSERVATION] = flat
            done = done | info["episode"]["done"]
            return (obs, state, carry, done, (earned, final)), (info["market"], paths)

        obs, state = jax.vmap(env.reset_env, in_axes=(0, None))(keys_of(jnp.int32(0)), params)
        carry = {n: c for n, c in self.learner.initial_carry(size).items() if n in policies}
        window = getattr(getattr(state, "background", None), "window", jnp.arange(size))

        def first_info() -> Any:
            action, _ = act(obs, state, carry, jnp.int32(0))
            made = jax.vmap(env.step_env, in_axes=(0, 0, 0, None))(keys, state, action, params)
            return made[2], {n: r for n, r in made[5]["episode"].items() if n != "done"}

        nothing = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), jax.eval_shape(first_info))
        start = (obs, state, carry, jnp.zeros(size, bool), nothing)
        (*_, (earned, final)), (market, paths) = jax.lax.scan(
            step, start, jnp.arange(self.num_steps)
        )
        results = {name: {**final.get(name, {}), RETURN: earned[name]} for name in earned}
        results |= {name: value for name, value in final.items() if name not in earned}
        return results, market, paths, window


def _where(done: Array, old: Array, new: Array) -> Array:
    """`old` where an episode had ended; `done` is `[E]`."""
    return jnp.where(done.reshape(-1, *(1,) * (new.ndim - 1)), old, new)


def _episodes(found: Any) -> Episodes:
    results, market, paths, window = found
    _, numbers = np.unique(window if window.ndim == 1 else window[0], return_inverse=True)
    return Episodes(results, market, paths, numbers.astype(np.int64))


def stack(policies: list[Any]) -> Any:
    """Policies of one type with a leading axis, for `Player.play_profiles`."""
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *policies)

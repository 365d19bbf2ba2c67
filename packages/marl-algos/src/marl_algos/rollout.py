"""Collecting trajectories from parallel environments by one scan."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
from marl_envs.batching import compute_if_any

from marl_algos.networks import Carry
from marl_algos.types import (
    Environment,
    Metrics,
    RolloutState,
    Trajectory,
    split_by_type,
)

Array: TypeAlias = jax.Array


class Decision(NamedTuple):
    """What a policy makes of one step, for one agent type.

    Attributes:
        action: `[B, A, ...]`.
        log_prob: `[B, A]`.
        value: `[B, A]`, in units of the reward.
        carry: hidden states after the step.
    """

    action: Array
    log_prob: Array
    value: Array
    carry: Carry


ActFn: TypeAlias = Callable[
    [dict[str, Array], dict[str, Array], dict[str, Any], Array, dict[str, Array]], dict[str, Any]
]
"""`(keys by type, obs by type, carries by type, is_first [B], legal by type) -> by type`, whose
values have at least an `action` and a `carry`."""
ValueFn: TypeAlias = Callable[[dict[str, Array], dict[str, Carry], Array], dict[str, Array]]
"""`(obs by type, carries by type, is_first [B]) -> values [B, A] by type`."""


class EnvStep(NamedTuple):
    """One step of parallel environments, reset where an episode ended.

    Attributes:
        env_state: states to go on from.
        obs: by type `[B, A, F]`, observations to act on next.
        final_obs: by type `[B, A, F]`, observations that followed the step, before any reset.
        reward: by type `[B, A]`.
        terminated: by type `[B, A]` bool.
        truncated: by type `[B, A]` bool.
        active: by type `[B, A]` bool, the agent took part in this step.
        done: `[B]` bool, the episode of the environment ended.
        final_legal: by type `[B, A, n]` bool, actions allowed after the step, before any reset;
            types that are free have no entry.
        info: as given by the environments, leaves led by `B`.
    """

    env_state: Any
    obs: dict[str, Array]
    final_obs: dict[str, Array]
    reward: dict[str, Array]
    terminated: dict[str, Array]
    truncated: dict[str, Array]
    active: dict[str, Array]
    done: Array
    final_legal: dict[str, Array]
    info: dict[str, Any]


class Outcome(NamedTuple):
    """What a step brought the agents of one type, leaves `[B, A]`.

    Attributes:
        reward: float32, 0 for those that had finished before.
        terminated: bool, nothing can be earned afterwards.
        truncated: bool, the episode was cut though more could have been earned.
        cut: bool, the agent's episode ended for whatever reason.
        active: bool, the agent took part in the step.
    """

    reward: Array
    terminated: Array
    truncated: Array
    cut: Array
    active: Array


RecordFn: TypeAlias = Callable[
    [RolloutState, dict[str, Array], dict[str, Any], EnvStep, dict[str, Outcome]], dict[str, Any]
]
"""`(state before, legal, decisions, step, outcomes) -> rows by type` that a rollout stacks."""


def legal_actions(env: Environment, env_state: Any, params: Any) -> dict[str, Array]:
    """Action masks by type `[B, A, n]` bool of states `[B, ...]`; empty if all types are free."""
    action_mask = getattr(env, "action_mask", None)
    if action_mask is None:
        return {}
    masks: dict[str, Array] = jax.vmap(action_mask, in_axes=(0, None))(env_state, params)
    return masks


def flatten_obs(env: Environment, obs: dict[str, Array]) -> dict[str, Array]:
    """Observations with all axes of one agent's observation merged into `F`, float32."""
    flat = {}
    for name, group in env.groups.items():
        value = obs[name]
        lead = value.shape[: value.ndim - len(group.observation_space.shape)]
        flat[name] = value.reshape(*lead, -1).astype(jnp.float32)
    return flat


def reset_batch(
    env: Environment, key: Array, params: Any, num_envs: int
) -> tuple[dict[str, Array], Any]:
    """Flat observations and states of `num_envs` fresh episodes."""
    obs, env_state = jax.vmap(env.reset_env, in_axes=(0, None))(
        jax.random.split(key, num_envs), params
    )
    return flatten_obs(env, obs), env_state


def step_batch(
    env: Environment, key: Array, env_state: Any, action: dict[str, Array], params: Any
) -> EnvStep:
    """Steps all environments; resets are computed only when an episode ended, if that pays."""
    key_step, key_reset = jax.random.split(key)
    num_envs = jax.tree.leaves(action)[0].shape[0]
    obs, env_state, reward, terminated, truncated, info = jax.vmap(
        env.step_env, in_axes=(0, 0, 0, None)
    )(jax.random.split(key_step, num_envs), env_state, action, params)
    final_obs = flatten_obs(env, obs)
    done = info["episode"]["done"]

    def reset() -> tuple[dict[str, Array], Any]:
        fresh = reset_batch(env, key_reset, params, num_envs)

        def pick(new: Array, old: Array) -> Array:
            return jnp.where(done.reshape(-1, *([1] * (new.ndim - 1))), new, old)

        picked: tuple[dict[str, Array], Any] = jax.tree.map(pick, fresh, (final_obs, env_state))
        return picked

    next_obs, next_state = compute_if_any(jnp.any(done), reset, (final_obs, env_state))
    return EnvStep(
        next_state,
        next_obs,
        final_obs,
        reward,
        terminated,
        truncated,
        info["active"],
        done,
        legal_actions(env, env_state, params),
        info,
    )


def run_steps(
    env: Environment,
    params: Any,
    act: ActFn,
    record: RecordFn,
    state: RolloutState,
    key: Array,
    num_steps: int,
) -> tuple[RolloutState, dict[str, Any], Metrics]:
    """Lets all environments run for `num_steps` steps.

    Args:
        env: the environment.
        params: its parameters, shared by all parallel copies.
        act: policy of all types.
        record: what is kept of a step.
        state: where the environments stand.
        key: consumed.
        num_steps: `T`.

    Returns:
        The new state, the rows by type with a leading axis `T`, and metrics reduced over steps
        and environments.
    """

    def step(now: RolloutState, key: Array) -> tuple[RolloutState, Any]:
        key_act, key_env = jax.random.split(key)
        keys = split_by_type(key_act, env.groups)
        legal = legal_actions(env, now.env_state, params)
        decisions = act(keys, now.obs, now.carry, now.is_first, legal)
        action = {name: decision.action for name, decision in decisions.items()}
        after = step_batch(env, key_env, now.env_state, action, params)
        outcomes = {name: _outcome(after, name) for name in env.groups}
        returns = {n: now.episode_return[n] + outcome.reward for n, outcome in outcomes.items()}
        following = RolloutState(
            env_state=after.env_state,
            obs=after.obs,
            carry={name: decision.carry for name, decision in decisions.items()},
            is_first=after.done,
            episode_return={
                name: jnp.where(after.done[:, None], 0.0, total) for name, total in returns.items()
            },
        )
        rows = record(now, legal, decisions, after, outcomes)
        return following, (rows, _reduce_step(after, outcomes, returns))

    state, (rows, reduced) = jax.lax.scan(step, state, jax.random.split(key, num_steps))
    return state, rows, _reduce_rollout(reduced)


def collect(
    env: Environment,
    params: Any,
    act: ActFn,
    value: ValueFn,
    state: RolloutState,
    key: Array,
    num_steps: int,
) -> tuple[RolloutState, dict[str, Trajectory], dict[str, Array], Metrics]:
    """Trajectories with the values that advantages need.

    Args:
        env: the environment.
        params: its parameters, shared by all parallel copies.
        act: policy of all types, giving a `Decision` each.
        value: value of all types; called for truncated episodes and after the last step.
        state: where the environments stand.
        key: consumed.
        num_steps: `T`.

    Returns:
        The new state, trajectories by type, value by type `[B, A]` of the observations to act on
        next, and metrics reduced over steps and environments.
    """

    def record(
        now: RolloutState,
        legal: dict[str, Array],
        decisions: dict[str, Decision],
        after: EnvStep,
        outcomes: dict[str, Outcome],
    ) -> dict[str, Trajectory]:
        carry = {name: decision.carry for name, decision in decisions.items()}
        truncated = {name: outcome.truncated for name, outcome in outcomes.items()}
        final_values = _final_values(value, after, carry, truncated)
        return {
            name: Trajectory(
                obs=now.obs[name],
                action=decision.action,
                log_prob=decision.log_prob,
                value=decision.value,
                reward=outcomes[name].reward,
                terminated=outcomes[name].terminated,
                cut=outcomes[name].cut,
                is_first=jnp.broadcast_to(now.is_first[:, None], outcomes[name].cut.shape),
                active=outcomes[name].active,
                final_value=final_values[name],
                legal=legal.get(name),
            )
            for name, decision in decisions.items()
        }

    state, trajectories, metrics = run_steps(env, params, act, record, state, key, num_steps)
    last_value = value(state.obs, state.carry, state.is_first)
    return state, trajectories, last_value, metrics


def _outcome(after: EnvStep, name: str) -> Outcome:
    """What a step brought one agent type."""
    active = after.active[name]
    truncated = after.truncated[name] & ~after.terminated[name] & active
    cut = after.terminated[name] | after.truncated[name] | after.done[:, None]
    reward = jnp.where(active, after.reward[name], 0.0)
    return Outcome(reward, cut & ~truncated, truncated, cut, active)


def _final_values(
    value: ValueFn, after: EnvStep, carry: dict[str, Carry], truncated: dict[str, Array]
) -> dict[str, Array]:
    """Values of the last observations of truncated episodes, `[B, A]` by type, 0 elsewhere."""
    anywhere = jnp.any(jnp.stack([jnp.any(flags) for flags in truncated.values()]))

    def bootstrap() -> dict[str, Array]:
        values = value(after.final_obs, carry, jnp.zeros_like(after.done))
        return {name: jnp.where(flags, values[name], 0.0) for name, flags in truncated.items()}

    nothing = {name: jnp.zeros(flags.shape, jnp.float32) for name, flags in truncated.items()}
    return compute_if_any(anywhere, bootstrap, nothing)


def _reduce_step(
    after: EnvStep, outcomes: dict[str, Outcome], returns: dict[str, Array]
) -> Metrics:
    """Sums of one step over environments, so that no per-environment number is kept."""
    done = after.done.astype(jnp.float32)

    def where_done(x: Array) -> Array:
        per_env = x.astype(jnp.float32).reshape(x.shape[0], -1).mean(axis=1)
        return jnp.sum(jnp.where(after.done, per_env, 0.0))

    episode = {k: v for k, v in after.info["episode"].items() if k != "done"}
    return {
        "episodes": jnp.sum(done),
        "results": jax.tree.map(where_done, episode),
        "returns": {name: where_done(total) for name, total in returns.items()},
        "reward": {name: jnp.sum(outcome.reward) for name, outcome in outcomes.items()},
        "active": {name: jnp.sum(outcome.active) for name, outcome in outcomes.items()},
        "market": jax.tree.map(lambda x: jnp.mean(x.astype(jnp.float32)), after.info["market"]),
        "counters": jax.tree.map(lambda x: jnp.max(x).astype(jnp.int32), after.info["counters"]),
    }


def _reduce_rollout(steps: Metrics) -> Metrics:
    """Numbers of a whole rollout from those of its steps, leaves `[T]`.

    Means over the episodes that ended are NaN when none did.
    """
    episodes = jnp.sum(steps["episodes"])

    def per_episode(x: Array) -> Array:
        return jnp.where(episodes > 0, jnp.sum(x) / jnp.maximum(episodes, 1.0), jnp.nan)

    agents = {}
    for name, reward in steps["reward"].items():
        active = jnp.sum(steps["active"][name])
        agents[name] = {
            "reward_mean": jnp.sum(reward) / jnp.maximum(active, 1.0),
            "episode_return": per_episode(steps["returns"][name]),
        }
    return {
        "episodes": episodes,
        "agents": agents,
        "episode": jax.tree.map(per_episode, steps["results"]),
        "market": jax.tree.map(jnp.mean, steps["market"]),
        "counters": jax.tree.map(jnp.max, steps["counters"]),
    }

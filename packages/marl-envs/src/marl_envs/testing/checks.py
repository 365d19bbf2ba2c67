"""The suite that every environment passes."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from marl_envs.base import MultiAgentEnv

Array = jax.Array

_CLOCK_ROUNDING_NS = 1000
"""Flow models draw waits as float32, whose last bits depend on how a program is compiled."""


def check_env(env: MultiAgentEnv[Any, Any], params: Any, num_steps: int = 20) -> None:
    """Plays an environment with random actions and checks the contract of `MultiAgentEnv`.

    Shapes, types and spaces of everything returned; equal trees on every step; no NaN; equal
    results for equal keys; agreement of `step`, `jit(step)` and `vmap(step)`; and that auto-reset
    replaces state and observations exactly when the episode is done.

    Args:
        env: what to check.
        params: its params.
        num_steps: steps to play; choose more than an episode has to see an auto-reset.

    Raises:
        AssertionError: naming what is wrong.
    """
    reset, step = jax.jit(env.reset), jax.jit(env.step)
    sample = jax.jit(lambda key: sample_actions(env, key))
    key = jax.random.key(7)
    obs, state = reset(key, params)
    again, _ = reset(key, params)
    _assert_equal(obs, again, "reset with equal keys")
    shapes = None
    for index in range(num_steps):
        key, key_action, key_step = jax.random.split(key, 3)
        action = sample(key_action)
        before = state
        obs, state, reward, terminated, truncated, info = step(key_step, before, action, params)
        returned = (obs, state, reward, terminated, truncated, info)
        tree = jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), returned)
        assert shapes is None or tree == shapes, f"the tree changed at step {index}"
        shapes = tree
        _check_values(env, obs, reward, terminated, truncated, info, index)
        done = bool(info["episode"]["done"])
        same = all(np.array_equal(obs[n], info["final_obs"][n]) for n in env.groups)
        assert done or same, f"final_obs differs from obs at step {index}, before the end"

    @jax.jit
    def second_of_two(args: Any, params: Any) -> Any:
        twice = jax.tree.map(lambda leaf: jnp.stack([leaf, leaf]), args)
        step_both: Any = jax.vmap(env.step, (0, 0, 0, None))
        batched = step_both(*twice, params)
        return jax.tree.map(lambda leaf: leaf[1], batched)

    batched = second_of_two((key_step, before, action), params)
    _assert_equal(batched, returned, "vmap and one market")


def sample_actions(env: MultiAgentEnv[Any, Any], key: Array) -> dict[str, Array]:
    """Uniform random actions of all agents, by type, leaves led by `[A]`."""
    actions = {}
    for position, (name, group) in enumerate(env.groups.items()):
        keys = jax.random.split(jax.random.fold_in(key, position), group.num_agents)
        actions[name] = jax.vmap(group.action_space.sample)(keys)
    return actions


def _check_values(
    env: MultiAgentEnv[Any, Any],
    obs: dict[str, Any],
    reward: dict[str, Any],
    terminated: dict[str, Any],
    truncated: dict[str, Any],
    info: dict[str, Any],
    index: int,
) -> None:
    """Shapes, types and limits of one step."""
    obs, final_obs, reward, terminated, truncated, done = jax.device_get(
        (obs, info["final_obs"], reward, terminated, truncated, info["episode"]["done"])
    )
    for name, group in env.groups.items():
        agents = (group.num_agents,)
        space = group.observation_space
        for label, value in (("obs", obs[name]), ("final_obs", final_obs[name])):
            where = f"{label}[{name!r}] at step {index}"
            assert value.shape == agents + space.shape, f"{where} has shape {value.shape}"
            assert value.dtype == space.dtype, f"{where} has dtype {value.dtype}"
            assert np.isfinite(value).all(), f"{where} is not finite"
            assert bool(space.contains(value)), f"{where} is outside its space"
        assert len(group.observation_names) == space.shape[0], f"{name!r} names its entries wrongly"
        assert reward[name].shape == agents, f"reward[{name!r}] has shape {reward[name].shape}"
        assert reward[name].dtype == jnp.float32, f"reward[{name!r}] is {reward[name].dtype}"
        assert np.isfinite(reward[name]).all(), f"reward[{name!r}] is not finite"
        for label, flag in (("terminated", terminated[name]), ("truncated", truncated[name])):
            assert flag.shape == agents, f"{label}[{name!r}] has shape {flag.shape}"
            assert flag.dtype == bool, f"{label}[{name!r}] is {flag.dtype}"
        ended = terminated[name] | truncated[name]
        assert bool(ended.all()) or not bool(done), f"{name!r} has no flag at the end"


def _assert_equal(left: Any, right: Any, what: str) -> None:
    """Trees agree: integers and flags exactly, floats and nanoseconds up to rounding."""
    pairs = zip(jax.tree_util.tree_leaves_with_path(left), jax.tree.leaves(right), strict=True)
    for (path, value), other in pairs:
        if jnp.issubdtype(value.dtype, jax.dtypes.prng_key):
            value, other = jax.random.key_data(value), jax.random.key_data(other)
        if jnp.issubdtype(value.dtype, jnp.floating):
            equal = np.allclose(value, other, rtol=1e-5, atol=1e-5, equal_nan=True)
        elif "time_ns" in jax.tree_util.keystr(path[-1:]):
            equal = np.allclose(value, other, rtol=0, atol=_CLOCK_ROUNDING_NS)
        else:
            equal = np.array_equal(value, other)
        assert equal, f"{what} disagree at {jax.tree_util.keystr(path)}"

"""Domain randomization: every episode is played in one of several markets."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
from flax import struct

from marl_algos.types import Environment

Array: TypeAlias = jax.Array


@struct.dataclass
class DomainState:
    """State of one environment with several domains.

    Attributes:
        env_state: state of the environment.
        domain: `[]` int32, which parameters this episode is played with.
    """

    env_state: Any
    domain: Array


def stack_domains(params: Sequence[Any]) -> Any:
    """Parameters of several domains (stocks, settings of a flow model) stacked, leaves `[D, ...]`.

    Raises:
        ValueError: if there are none, or their leaves differ in structure or shape: windows of
            several stocks must be cut to equal numbers.
    """
    if not params:
        raise ValueError("there are no domains")
    structures = {jax.tree.structure(one) for one in params}
    shapes = {tuple(jnp.shape(leaf) for leaf in jax.tree.leaves(one)) for one in params}
    if len(structures) > 1 or len(shapes) > 1:
        raise ValueError("domains differ in structure or shape; make them equal before stacking")
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *params)


class ManyDomains:
    """An environment whose parameters are drawn anew, evenly, for every episode.

    Its `params` are those of `stack_domains`. Agents are not told which domain they are in.

    Attributes:
        env: the environment.
        num_domains: `D`.
    """

    def __init__(self, env: Environment, num_domains: int) -> None:
        self.env = env
        self.num_domains = num_domains

    @property
    def groups(self) -> dict[str, Any]:
        """Those of the environment."""
        return self.env.groups

    def reset_env(self, key: Array, params: Any) -> tuple[dict[str, Array], DomainState]:
        """Draws a domain and starts an episode in it."""
        key_domain, key_reset = jax.random.split(key)
        domain = jax.random.randint(key_domain, (), 0, self.num_domains)
        obs, env_state = self.env.reset_env(key_reset, _domain(params, domain))
        return obs, DomainState(env_state, domain)

    def step_env(
        self, key: Array, state: DomainState, action: dict[str, Array], params: Any
    ) -> tuple[
        dict[str, Array],
        DomainState,
        dict[str, Array],
        dict[str, Array],
        dict[str, Array],
        dict[str, Any],
    ]:
        """One step in the domain of the episode."""
        obs, env_state, *rest = self.env.step_env(
            key, state.env_state, action, _domain(params, state.domain)
        )
        reward, terminated, truncated, info = rest
        return obs, DomainState(env_state, state.domain), reward, terminated, truncated, info

    def action_mask(self, state: DomainState, params: Any) -> dict[str, Array]:
        """Actions allowed next, if the environment restricts any."""
        action_mask = getattr(self.env, "action_mask", None)
        if action_mask is None:
            return {}
        masks: dict[str, Array] = action_mask(state.env_state, _domain(params, state.domain))
        return masks


def _domain(params: Any, domain: Array) -> Any:
    return jax.tree.map(lambda x: x[domain], params)

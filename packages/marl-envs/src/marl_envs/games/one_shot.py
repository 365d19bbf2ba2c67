"""Games of one step: everyone acts at once, is paid, and it is over."""

from __future__ import annotations

import abc
from typing import Any

import jax
import jax.numpy as jnp

from marl_envs.base import ByType, MultiAgentEnv

Array = jax.Array


class OneShotGame(MultiAgentEnv[Any, Array]):
    """Base of games of one step; `params` are not read.

    A game says what is drawn at the start (`draw`, the state), what each type sees of it
    (`observe`) and what everyone is paid (`pay`).
    """

    @abc.abstractmethod
    def draw(self, key: Array) -> Array:
        """What chance decides before anyone acts, the state of the episode."""

    @abc.abstractmethod
    def observe(self, state: Array) -> ByType:
        """Observations by type, `[A, F]` float32."""

    @abc.abstractmethod
    def pay(self, key: Array, state: Array, action: ByType) -> tuple[ByType, dict[str, Array]]:
        """Rewards by type `[A]` float32, and numbers of the market, each `[]`."""

    def reset_env(self, key: Array, params: Any) -> tuple[ByType, Array]:
        """Draws what chance decides."""
        state = self.draw(key)
        return self.observe(state), state

    def step_env(
        self, key: Array, state: Array, action: ByType, params: Any
    ) -> tuple[ByType, Array, ByType, ByType, ByType, dict[str, Any]]:
        """Pays everyone; the game is over."""
        reward, market = self.pay(key, state, action)
        yes = {name: jnp.ones(value.shape, bool) for name, value in reward.items()}
        no = {name: jnp.zeros(value.shape, bool) for name, value in reward.items()}
        info = {
            "active": yes,
            "episode": {"done": jnp.ones((), bool)},
            "market": market,
            "counters": {},
        }
        return self.observe(state), state, reward, yes, no, info

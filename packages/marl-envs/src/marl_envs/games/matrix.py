"""Normal-form games as environments of one step: everyone acts at once, then it is over."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt

from marl_envs.base import AgentGroup, ByType, MultiAgentEnv
from marl_envs.spaces import Box, Discrete

Array = jax.Array


class MatrixGame(MultiAgentEnv[Any, Array]):
    """A game in normal form: player i gets `payoffs[i][a_0, ..., a_{P-1}]`.

    Every player is an agent type with one agent, sees a constant 1, and has one action for each
    entry of its axis. The state is the number of steps done; `params` are not read.

    Attributes:
        payoffs: `[P, n_0, ..., n_{P-1}]` float64.
        names: of the players.

    Raises:
        ValueError: if the payoffs do not have one axis for every player, are not finite, or the
            names do not fit.
    """

    def __init__(self, payoffs: npt.ArrayLike, names: Sequence[str] | None = None) -> None:
        self.payoffs = np.asarray(payoffs, np.float64)
        players = len(self.payoffs) if self.payoffs.ndim else 0
        if players < 2 or self.payoffs.ndim != players + 1 or self.payoffs.size == 0:
            raise ValueError(
                f"payoffs have shape {self.payoffs.shape}; a game of P >= 2 players needs "
                "[P, n_0, ..., n_{P-1}]"
            )
        if not np.isfinite(self.payoffs).all():
            raise ValueError("payoffs hold NaN or infinite values")
        self.names = tuple(f"player_{i}" for i in range(players)) if names is None else tuple(names)
        if len(self.names) != players or len(set(self.names)) != players:
            raise ValueError(f"names are {self.names}; {players} different ones are needed")

    @property
    def groups(self) -> dict[str, AgentGroup]:
        """One type for each player, in the order of the payoff axes."""
        return {
            name: AgentGroup(name, "player", 1, Box(0.0, 1.0, (1,)), Discrete(n), ("constant",))
            for name, n in zip(self.names, self.payoffs.shape[1:], strict=True)
        }

    def _observe(self) -> ByType:
        return {name: jnp.ones((1, 1), jnp.float32) for name in self.names}

    def reset_env(self, key: Array, params: Any) -> tuple[ByType, Array]:
        """The constant observations, and zero steps done."""
        return self._observe(), jnp.zeros((), jnp.int32)

    def step_env(
        self, key: Array, state: Array, action: ByType, params: Any
    ) -> tuple[ByType, Array, ByType, ByType, ByType, dict[str, Any]]:
        """Pays every player; the game is over."""
        joint = tuple(action[name][0] for name in self.names)
        reward = {
            name: jnp.asarray(table, jnp.float32)[joint][None]
            for name, table in zip(self.names, self.payoffs, strict=True)
        }
        yes = {name: jnp.ones((1,), bool) for name in self.names}
        no = {name: jnp.zeros((1,), bool) for name in self.names}
        info = {
            "active": yes,
            "episode": {"done": jnp.ones((), bool)},
            "market": {},
            "counters": {},
        }
        return self._observe(), state + 1, reward, yes, no, info


def rock_paper_scissors() -> MatrixGame:
    """Zero-sum; the only equilibrium is uniform play, value 0."""
    return _zero_sum([[0.0, -1.0, 1.0], [1.0, 0.0, -1.0], [-1.0, 1.0, 0.0]])


def biased_rock_paper_scissors() -> MatrixGame:
    """Zero-sum; the only equilibrium is (1/16, 10/16, 5/16) for both, value 0.

    Rock against paper costs 0.25, against scissors earns 0.5; paper against scissors costs 0.05.
    """
    return _zero_sum([[0.0, -0.25, 0.5], [0.25, 0.0, -0.05], [-0.5, 0.05, 0.0]])


def matching_pennies() -> MatrixGame:
    """Zero-sum; the first player wants to match. The only equilibrium is uniform play, value 0."""
    return _zero_sum([[1.0, -1.0], [-1.0, 1.0]])


def prisoners_dilemma() -> MatrixGame:
    """Cooperate (0) or defect (1); defecting dominates, so both get 1 where both could get 3."""
    row = np.array([[3.0, 0.0], [5.0, 1.0]])
    return MatrixGame([row, row.T])


def _zero_sum(row: npt.ArrayLike) -> MatrixGame:
    table = np.asarray(row, np.float64)
    return MatrixGame([table, -table])

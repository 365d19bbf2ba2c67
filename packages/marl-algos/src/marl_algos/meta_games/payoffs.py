"""Normal-form games as payoff tensors, and best responses in them.

A game of P players is a list of P arrays, each `[n_0, ..., n_{P-1}]`: entry `[a_0, ..., a_{P-1}]`
of array i is what player i gets. A profile is a list of P mixed strategies, `[n_i]` each.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Floats: TypeAlias = npt.NDArray[np.float64]
Profile: TypeAlias = list[Floats]


def as_game(payoffs: Sequence[npt.ArrayLike]) -> list[Floats]:
    """Checked payoff arrays.

    Raises:
        ValueError: if the arrays do not have one shape with an axis per player, or hold a value
            that is not finite.
    """
    game = [np.asarray(table, np.float64) for table in payoffs]
    shapes = [table.shape for table in game]
    if len(game) < 2 or len(set(shapes)) > 1 or len(shapes[0]) != len(game) or 0 in shapes[0]:
        raise ValueError(f"payoffs have shapes {shapes}; each needs one axis for every player")
    if not all(np.isfinite(table).all() for table in game):
        raise ValueError("payoffs hold NaN or infinite values")
    return game


def zero_sum(payoff: npt.ArrayLike) -> list[Floats]:
    """The two-player game in which one player wins what the other loses."""
    table = np.asarray(payoff, np.float64)
    return as_game([table, -table])


def symmetric(payoff: npt.ArrayLike) -> list[Floats]:
    """The symmetric two-player game of a square payoff matrix of the row player."""
    table = np.asarray(payoff, np.float64)
    return as_game([table, table.T])


def uniform_profile(game: Sequence[Floats]) -> Profile:
    """Every player mixes evenly."""
    return [np.full(n, 1 / n) for n in game[0].shape]


def action_values(table: Floats, profile: Sequence[Floats], player: int) -> Floats:
    """What each action of a player is worth against the others' mixed strategies, `[n_player]`."""
    values = np.moveaxis(table, player, 0)
    for other in reversed([i for i in range(table.ndim) if i != player]):
        values = values @ profile[other]
    return np.asarray(values)


def expected_payoffs(payoffs: Sequence[npt.ArrayLike], profile: Sequence[npt.ArrayLike]) -> Floats:
    """What every player gets under a profile, `[P]`."""
    game, mixed = as_game(payoffs), [np.asarray(x, np.float64) for x in profile]
    return np.array(
        [action_values(game[i], mixed, i) @ mixed[i] for i in range(len(game))], np.float64
    )


def deviation_gains(payoffs: Sequence[npt.ArrayLike], profile: Sequence[npt.ArrayLike]) -> Floats:
    """What every player would gain by its best unilateral deviation, `[P]`, each >= 0."""
    game, mixed = as_game(payoffs), [np.asarray(x, np.float64) for x in profile]
    values = [action_values(game[i], mixed, i) for i in range(len(game))]
    return np.array([max(v.max() - v @ x, 0.0) for v, x in zip(values, mixed, strict=True)])


def nash_conv(payoffs: Sequence[npt.ArrayLike], profile: Sequence[npt.ArrayLike]) -> float:
    """Sum of the players' deviation gains; zero exactly at a Nash equilibrium.

    References:
        Lanctot et al. (2017), A unified game-theoretic approach to multiagent reinforcement
        learning, section 2.
    """
    return float(deviation_gains(payoffs, profile).sum())


def exploitability(payoffs: Sequence[npt.ArrayLike], profile: Sequence[npt.ArrayLike]) -> float:
    """NashConv divided by the number of players."""
    return nash_conv(payoffs, profile) / len(profile)

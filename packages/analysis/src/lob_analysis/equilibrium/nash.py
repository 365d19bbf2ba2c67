"""Nash equilibria of two-player games by support enumeration."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np
import numpy.typing as npt
from marl_algos.meta_games import Floats, as_game

_TOLERANCE = 1e-9


def support_enumeration(
    payoffs: Sequence[npt.ArrayLike], *, max_actions: int = 10
) -> list[tuple[Floats, Floats]]:
    """All equilibria of a two-player game whose supports have equal sizes.

    In a nondegenerate game these are all equilibria; a degenerate one can have more, of which
    some, but not all, are found.

    Args:
        payoffs: `[n, m]` arrays of both players.
        max_actions: limit on n and m, because the number of supports grows exponentially.

    Returns:
        Pairs of mixed strategies.

    Raises:
        ValueError: if there are not two players or a player has too many actions.

    References:
        Nisan et al. (2007), Algorithmic game theory, algorithm 3.4.
    """
    game = as_game(payoffs)
    if len(game) != 2:
        raise ValueError(f"support enumeration is for 2 players; got {len(game)}")
    left, right = game
    n, m = left.shape
    if max(n, m) > max_actions:
        raise ValueError(f"the game has {n} x {m} actions; at most {max_actions} are enumerated")
    found: list[tuple[Floats, Floats]] = []
    for size in range(1, min(n, m) + 1):
        for rows in combinations(range(n), size):
            for columns in combinations(range(m), size):
                y = _indifferent(left[np.ix_(rows, columns)], columns, m)
                x = _indifferent(right[np.ix_(rows, columns)].T, rows, n)
                if x is None or y is None or not _is_equilibrium(left, right, x, y):
                    continue
                if not any(np.allclose(x, a) and np.allclose(y, b) for a, b in found):
                    found.append((x, y))
    return found


def _indifferent(block: Floats, support: tuple[int, ...], size: int) -> Floats | None:
    """The mixture over a support that makes the other player indifferent, if there is just one."""
    k = len(support)
    system = np.zeros((k + 1, k + 1))
    system[:k, :k] = block
    system[:k, k] = -1
    system[k, :k] = 1
    if np.linalg.matrix_rank(system) <= k:
        return None
    mixture = np.linalg.solve(system, np.append(np.zeros(k), 1.0))[:k]
    if (mixture < _TOLERANCE).any():
        return None
    full = np.zeros(size)
    full[list(support)] = mixture
    return full


def _is_equilibrium(left: Floats, right: Floats, x: Floats, y: Floats) -> bool:
    rows, columns = left @ y, x @ right
    scale = 1 + max(np.abs(left).max(), np.abs(right).max())
    slack = _TOLERANCE * scale
    return bool(rows.max() - x @ rows <= slack and columns.max() - columns @ y <= slack)

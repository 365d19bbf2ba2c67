"""Nash equilibria of two-player games: by linear programme, by support enumeration."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np
import numpy.typing as npt
from scipy import optimize

from lob_analysis.equilibrium.games import Floats, as_game

_TOLERANCE = 1e-9


def solve_zero_sum(payoff: npt.ArrayLike) -> tuple[Floats, Floats, float]:
    """Equilibrium of a two-player zero-sum game by linear programme.

    Args:
        payoff: `[n, m]` what the row player gets and the column player loses.

    Returns:
        Row strategy `[n]`, column strategy `[m]` and the value of the game.

    Raises:
        ValueError: if the payoff is not a finite matrix.

    References:
        von Neumann (1928); the programme is that of Dantzig (1951).
    """
    table = np.asarray(payoff, np.float64)
    if table.ndim != 2 or table.size == 0 or not np.isfinite(table).all():
        raise ValueError(f"payoff has shape {table.shape}; it must be a finite matrix")
    row, value = _maximin(table)
    column, _ = _maximin(-table.T)
    return row, column, value


def _maximin(table: Floats) -> tuple[Floats, float]:
    """The row mixture with the largest guaranteed payoff, and that payoff."""
    n, m = table.shape
    found = optimize.linprog(
        c=np.append(np.zeros(n), -1.0),
        A_ub=np.hstack([-table.T, np.ones((m, 1))]),
        b_ub=np.zeros(m),
        A_eq=np.append(np.ones(n), 0.0)[None],
        b_eq=[1.0],
        bounds=[(0, None)] * n + [(None, None)],
        method="highs",
    )
    if not found.success:
        raise RuntimeError(f"the linear programme failed: {found.message}")
    mixed = np.maximum(found.x[:n], 0)
    return mixed / mixed.sum(), float(found.x[n])


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

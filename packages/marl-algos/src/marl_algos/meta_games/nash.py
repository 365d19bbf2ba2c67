"""Nash equilibria of games in normal form: exact where they are zero-sum, approximate elsewhere."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from marl_algos.meta_games.payoffs import (
    Floats,
    Profile,
    action_values,
    as_game,
    uniform_profile,
)


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
    from scipy import optimize  # takes long to import, and most runs solve no game

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


def projected_replicator(
    payoffs: Sequence[npt.ArrayLike],
    *,
    num_steps: int = 20_000,
    step_size: float = 1e-2,
    floor: float = 1e-4,
) -> Profile:
    """The time average of replicator dynamics that keep every strategy alive.

    In two-player zero-sum games it approaches an equilibrium; in other games it is a rule for
    mixing whose distance from equilibrium `nash_conv` tells.

    Args:
        payoffs: tensors of any number of players; scaled to a range of 1 before use.
        num_steps: Euler steps from the uniform profile.
        step_size: of a step.
        floor: least probability of a strategy.

    References:
        Lanctot et al. (2017), A unified game-theoretic approach to multiagent reinforcement
        learning, section 3.2.
    """
    game = as_game(payoffs)
    game = [table / max(float(np.ptp(table)), 1e-12) for table in game]
    profile = uniform_profile(game)
    total = [np.zeros_like(mixed) for mixed in profile]
    for _ in range(num_steps):
        values = [action_values(table, profile, i) for i, table in enumerate(game)]
        moved = [
            mixed + step_size * mixed * (value - value @ mixed)
            for mixed, value in zip(profile, values, strict=True)
        ]
        profile = [_keep_alive(mixed, floor) for mixed in moved]
        total = [sums + mixed for sums, mixed in zip(total, profile, strict=True)]
    return [sums / sums.sum() for sums in total]


def _keep_alive(mixed: Floats, floor: float) -> Floats:
    """The nearest distribution whose entries are at least `floor` (capped at uniform play)."""
    least = min(floor, 1.0 / len(mixed))
    free = 1.0 - least * len(mixed)
    if free <= 0.0:
        return np.full(len(mixed), 1.0 / len(mixed))
    ordered = np.sort(mixed - least)[::-1]
    excess = (np.cumsum(ordered) - free) / np.arange(1, len(mixed) + 1)
    last = int(np.nonzero(ordered > excess)[0][-1])
    return np.asarray(np.maximum(mixed - least - excess[last], 0.0) + least)

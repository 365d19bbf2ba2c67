"""Double oracle: solves a zero-sum game by growing the strategies that are considered."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from marl_algos.meta_games import Floats, solve_zero_sum


@dataclass(frozen=True)
class DoubleOracleResult:
    """Outcome of a double oracle run.

    Attributes:
        row: `[n]` row strategy.
        column: `[m]` column strategy.
        value: of the game to the row player.
        nash_conv: after every iteration, in the full game.
        rows: row actions in the order in which they were added.
        columns: column actions likewise.
    """

    row: Floats
    column: Floats
    value: float
    nash_conv: list[float]
    rows: list[int]
    columns: list[int]

    @property
    def num_iterations(self) -> int:
        """Restricted games that were solved."""
        return len(self.nash_conv)


def double_oracle(
    payoff: npt.ArrayLike,
    *,
    start: tuple[int, int] = (0, 0),
    tolerance: float = 1e-9,
    max_iterations: int = 1000,
) -> DoubleOracleResult:
    """Solves a zero-sum matrix game with exact best responses.

    Each iteration solves the game restricted to the strategies found so far and adds both best
    responses of the full game; it ends when neither gains.

    Args:
        payoff: `[n, m]` what the row player gets.
        start: first row and column strategy.
        tolerance: NashConv at which it ends.
        max_iterations: at most so many.

    Raises:
        RuntimeError: if the tolerance is not met in `max_iterations`.

    References:
        McMahan, Gordon and Blum (2003), Planning in the presence of cost functions controlled by
        an adversary.
    """
    table = np.asarray(payoff, np.float64)
    rows, columns = [start[0]], [start[1]]
    history: list[float] = []
    for _ in range(max_iterations):
        x_part, y_part, value = solve_zero_sum(table[np.ix_(rows, columns)])
        x, y = np.zeros(table.shape[0]), np.zeros(table.shape[1])
        x[rows], y[columns] = x_part, y_part
        row_values, column_values = table @ y, x @ table
        history.append(float(row_values.max() - column_values.min()))
        if history[-1] <= tolerance:
            return DoubleOracleResult(x, y, value, history, rows, columns)
        best_row, best_column = int(row_values.argmax()), int(column_values.argmin())
        if best_row not in rows:
            rows.append(best_row)
        if best_column not in columns:
            columns.append(best_column)
    raise RuntimeError(f"NashConv is {history[-1]} after {max_iterations} iterations")

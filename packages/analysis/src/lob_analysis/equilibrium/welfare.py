"""What equilibria cost: Pareto front and price of anarchy."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from marl_algos.meta_games import Floats, as_game, expected_payoffs


def pareto_front(points: npt.ArrayLike) -> npt.NDArray[np.bool_]:
    """Which of `[n, P]` payoff vectors no other one dominates, `[n]`.

    A point is dominated if another is at least as good for everyone and better for someone.
    """
    x = np.asarray(points, np.float64)
    at_least = np.all(x[None] >= x[:, None], axis=2)
    better = np.any(x[None] > x[:, None], axis=2)
    return np.asarray(~np.any(at_least & better, axis=1))


def pure_payoffs(payoffs: Sequence[npt.ArrayLike]) -> Floats:
    """Payoff vectors of all pure profiles, `[n_0 * ... * n_{P-1}, P]`."""
    return np.stack([table.ravel() for table in as_game(payoffs)], axis=1)


def price_of_anarchy(
    payoffs: Sequence[npt.ArrayLike], equilibria: Sequence[Sequence[npt.ArrayLike]]
) -> float:
    """Best total payoff over the worst total payoff of the given equilibria, >= 1.

    Args:
        payoffs: payoff tensors of the players.
        equilibria: mixed profiles.

    Raises:
        ValueError: if there is no equilibrium, or a total is not positive, where the ratio of
            payoffs means nothing.

    References:
        Koutsoupias and Papadimitriou (1999), Worst-case equilibria.
    """
    if not equilibria:
        raise ValueError("no equilibrium was given")
    best = float(pure_payoffs(payoffs).sum(axis=1).max())
    worst = min(float(expected_payoffs(payoffs, profile).sum()) for profile in equilibria)
    if worst <= 0 or best <= 0:
        raise ValueError(
            f"total payoffs are {worst:.4g} at worst and {best:.4g} at best; the price of "
            "anarchy needs positive ones"
        )
    return best / worst

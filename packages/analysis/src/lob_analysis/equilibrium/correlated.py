"""Correlated play: coarse correlated equilibria and how far a joint distribution is from them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from marl_algos.meta_games import Floats, as_game
from scipy import optimize


def cce_gains(payoffs: Sequence[npt.ArrayLike], joint: npt.ArrayLike) -> Floats:
    """What each player gains by always playing its best fixed action instead, `[P]`, each >= 0.

    Args:
        payoffs: payoff tensors of the players.
        joint: distribution over joint actions, of the shape of a payoff tensor.

    Raises:
        ValueError: if the distribution has another shape or is none.
    """
    game, p = as_game(payoffs), _distribution(payoffs, joint)
    gains = []
    for player, table in enumerate(game):
        others = np.moveaxis(p, player, 0).sum(axis=0)
        fixed = np.moveaxis(table, player, 0).reshape(table.shape[player], -1) @ others.ravel()
        gains.append(max(float(fixed.max() - (table * p).sum()), 0.0))
    return np.array(gains)


def cce_gap(payoffs: Sequence[npt.ArrayLike], joint: npt.ArrayLike) -> float:
    """Sum of `cce_gains`; zero exactly at a coarse correlated equilibrium.

    Args:
        payoffs: payoff tensors of the players.
        joint: distribution over joint actions, of the shape of a payoff tensor.

    Raises:
        ValueError: if the distribution has another shape or is none.

    References:
        Moulin and Vial (1978), Strategically zero-sum games; as a sum in Marris et al. (2021),
        Multi-agent training beyond zero-sum with correlated equilibrium meta-solvers.
    """
    return float(cce_gains(payoffs, joint).sum())


def ce_gap(payoffs: Sequence[npt.ArrayLike], joint: npt.ArrayLike) -> float:
    """Sum over players of what they gain by the best reaction to each recommended action.

    Args:
        payoffs: payoff tensors of the players.
        joint: distribution over joint actions, of the shape of a payoff tensor.

    Returns:
        >= 0, zero exactly at a correlated equilibrium.

    Raises:
        ValueError: if the distribution has another shape or is none.

    References:
        Aumann (1974), Subjectivity and correlation in randomized strategies.
    """
    game, p = as_game(payoffs), _distribution(payoffs, joint)
    total = 0.0
    for player, table in enumerate(game):
        size = table.shape[player]
        told = np.moveaxis(p, player, 0).reshape(size, -1)
        values = told @ np.moveaxis(table, player, 0).reshape(size, -1).T
        total += float((values.max(axis=1) - np.diag(values)).sum())
    return max(total, 0.0)


def best_cce(payoffs: Sequence[npt.ArrayLike], weights: npt.ArrayLike | None = None) -> Floats:
    """The coarse correlated equilibrium with the largest weighted sum of payoffs.

    Args:
        payoffs: payoff tensors of the players.
        weights: `[P]` weight of every player's payoff; None weighs them alike.

    Returns:
        Distribution over joint actions, of the shape of a payoff tensor.

    Raises:
        ValueError: if the tensors do not make a game.
        RuntimeError: if the linear programme fails.
    """
    game = as_game(payoffs)
    w = np.ones(len(game)) if weights is None else np.asarray(weights, np.float64)
    welfare = sum(float(a) * table for a, table in zip(w, game, strict=True))
    rows = []
    for player, table in enumerate(game):
        rows += [
            (np.take(table, [action], axis=player) - table).ravel()
            for action in range(table.shape[player])
        ]
    found = optimize.linprog(
        c=-np.asarray(welfare).ravel(),
        A_ub=np.array(rows),
        b_ub=np.zeros(len(rows)),
        A_eq=np.ones((1, game[0].size)),
        b_eq=[1.0],
        bounds=(0, None),
        method="highs",
    )
    if not found.success:
        raise RuntimeError(f"the linear programme failed: {found.message}")
    p = np.maximum(found.x, 0)
    return np.asarray((p / p.sum()).reshape(game[0].shape))


def _distribution(payoffs: Sequence[npt.ArrayLike], joint: npt.ArrayLike) -> Floats:
    p = np.asarray(joint, np.float64)
    shape = np.shape(payoffs[0])
    if p.shape != shape or (p < -1e-12).any() or abs(p.sum() - 1) > 1e-6:
        raise ValueError(f"joint must be a distribution of shape {shape}; got shape {p.shape}")
    return p

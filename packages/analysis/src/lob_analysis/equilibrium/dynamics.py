"""Learning dynamics of populations and players: replicator dynamics and regret matching."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from marl_algos.meta_games import (
    Floats,
    Profile,
    action_values,
    as_game,
    uniform_profile,
)


def replicator(
    payoff: npt.ArrayLike, start: npt.ArrayLike, *, time: float, num_steps: int = 1000
) -> Floats:
    """Path of single-population replicator dynamics `x_i' = x_i ((A x)_i - x A x)`.

    Args:
        payoff: `[n, n]` payoff A of the row strategy.
        start: `[n]` shares at the start, or `[..., n]` for several populations at once.
        time: length of the path.
        num_steps: fourth-order Runge-Kutta steps.

    Returns:
        `[num_steps + 1, ..., n]` shares.

    References:
        Taylor and Jonker (1978), Evolutionarily stable strategies and game dynamics.
    """
    table = np.asarray(payoff, np.float64)

    def slope(x: Floats) -> Floats:
        fitness = x @ table.T
        return np.asarray(x * (fitness - (x * fitness).sum(axis=-1, keepdims=True)))

    x = np.asarray(start, np.float64)
    x = x / x.sum(axis=-1, keepdims=True)
    path, h = [x], time / num_steps
    for _ in range(num_steps):
        a = slope(x)
        b = slope(x + h / 2 * a)
        c = slope(x + h / 2 * b)
        d = slope(x + h * c)
        x = np.maximum(x + h / 6 * (a + 2 * b + 2 * c + d), 0)
        x = x / x.sum(axis=-1, keepdims=True)
        path.append(x)
    return np.stack(path)


def multi_replicator(
    payoffs: Sequence[npt.ArrayLike],
    start: Sequence[npt.ArrayLike] | None = None,
    *,
    time: float,
    num_steps: int = 1000,
) -> list[Floats]:
    """Path of replicator dynamics with one population a player, P players.

    Args:
        payoffs: payoff tensors of the players.
        start: shares of every population; None starts even.
        time: length of the path.
        num_steps: steps; multiplicative, so shares stay positive.

    Returns:
        For every player `[num_steps + 1, n_i]` shares.

    References:
        Hofbauer and Sigmund (1998), Evolutionary games and population dynamics, chapter 10; the
        discretization is the multiplicative-weights one.
    """
    game = as_game(payoffs)
    profile = uniform_profile(game) if start is None else [np.asarray(x, float) for x in start]
    paths, h = [profile], time / num_steps
    for _ in range(num_steps):
        values = [action_values(game[i], profile, i) for i in range(len(game))]
        grown = [x * np.exp(h * (v - x @ v)) for x, v in zip(profile, values, strict=True)]
        profile = [x / x.sum() for x in grown]
        paths.append(profile)
    return [np.stack([step[i] for step in paths]) for i in range(len(game))]


def regret_matching(
    payoffs: Sequence[npt.ArrayLike], *, num_iterations: int = 10_000, seed: int = 0
) -> tuple[Profile, Floats]:
    """Plays unconditional regret matching with expected payoffs.

    The joint time average converges to the set of coarse correlated equilibria in every game, and
    the product of the averages to Nash equilibrium in two-player zero-sum games.

    Args:
        payoffs: payoff tensors of the players.
        num_iterations: rounds.
        seed: of the small asymmetry that the first round starts with.

    Returns:
        Average strategy of every player, and the average joint distribution (a tensor).

    References:
        Hart and Mas-Colell (2000), A simple adaptive procedure leading to correlated equilibrium.
    """
    game = as_game(payoffs)
    random = np.random.default_rng(seed)
    regrets: Profile = [1e-3 * np.asarray(random.random(n)) for n in game[0].shape]
    sums: Profile = [np.zeros(n) for n in game[0].shape]
    joint = np.zeros(game[0].shape)
    letters = "abcdefghijklmnop"[: len(game)]
    product = f"{','.join(letters)}->{letters}"
    for _ in range(num_iterations):
        profile = [_from_regret(r) for r in regrets]
        for i, x in enumerate(profile):
            values = action_values(game[i], profile, i)
            regrets[i] = regrets[i] + values - x @ values
            sums[i] += x
        joint += np.einsum(product, *profile)
    return [s / num_iterations for s in sums], joint / num_iterations


def _from_regret(regret: Floats) -> Floats:
    positive = np.maximum(regret, 0)
    total = positive.sum()
    return positive / total if total > 0 else np.full(regret.size, 1 / regret.size)

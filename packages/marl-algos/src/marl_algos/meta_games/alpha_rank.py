"""Alpha-rank: how much of the long run evolution spends at each strategy or joint strategy."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import numpy as np
import numpy.typing as npt

from marl_algos.meta_games.payoffs import Floats, as_game


def fixation_probability(gain: npt.ArrayLike, alpha: float, population: int) -> Floats:
    """Probability that one mutant takes over a population, when its payoff exceeds by `gain`.

    `(1 - exp(-alpha gain)) / (1 - exp(-population alpha gain))`, and `1 / population` at no gain.

    References:
        Omidshafiei et al. (2019), alpha-Rank: multi-agent evaluation by evolution, Scientific
        Reports 9, equation 12.
    """
    u = alpha * np.asarray(gain, np.float64)
    near = np.abs(u) < 1e-12
    safe = np.where(near, 1.0, u)
    with np.errstate(over="ignore", invalid="ignore"):
        forward = np.expm1(-safe) / np.expm1(-population * safe)
    # For strongly harmful mutants both terms overflow; their ratio is exp((population - 1) u).
    tail = np.exp(np.clip((population - 1) * safe, -745, 0))
    value = np.where(population * safe < -700, tail, forward)
    return np.where(near, 1 / population, value)


def stationary_distribution(transition: npt.ArrayLike) -> Floats:
    """The stationary distribution of an irreducible Markov chain, `[n]`.

    Args:
        transition: `[n, n]`, rows sum to one.

    Raises:
        ValueError: if the chain has more than one closed class, so that none is singled out.
    """
    chain = np.asarray(transition, np.float64)
    n = len(chain)
    system = np.vstack([chain.T - np.eye(n), np.ones((1, n))])
    found, _, rank, _ = np.linalg.lstsq(system, np.append(np.zeros(n), 1.0), rcond=None)
    if rank < n:
        raise ValueError("the chain has several closed classes; lower alpha or the population")
    found = np.maximum(found, 0)
    return np.asarray(found / found.sum())


def rank_population(
    payoff: npt.ArrayLike,
    *,
    alpha: float,
    population: int,
    is_local: bool = True,
) -> Floats:
    """Alpha-rank of the strategies of one population.

    Args:
        payoff: `[n, n]` what the row strategy gets against the column strategy.
        alpha: selection intensity, > 0.
        population: individuals, >= 2.
        is_local: a mutant and a resident compare what they get against each other (the model of
            alpha-rank); otherwise what each gets on average against the whole population, its
            mixture included (the frequency-dependent model).

    Returns:
        `[n]` stationary distribution over the strategies.

    References:
        Omidshafiei et al. (2019); the frequency-dependent model is that of Traulsen, Nowak and
        Pacheco (2006), Stochastic dynamics of invasion and fixation, equation 5.
    """
    table = np.asarray(payoff, np.float64)
    n = len(table)
    if table.shape != (n, n):
        raise ValueError(f"payoff has shape {table.shape}; it must be square")
    _check(alpha, population)
    if is_local:
        # Row: resident; column: mutant.
        fixation = fixation_probability(table.T - table, alpha, population)
    else:
        fixation = _frequency_fixation(table, alpha, population)
    return stationary_distribution(_chain(fixation, n - 1))


def _frequency_fixation(table: Floats, alpha: float, population: int) -> Floats:
    mutants = np.arange(1, population)[:, None, None]
    own = np.diag(table)
    versus = population - 1
    # [number of mutants, resident, mutant]
    mutant = ((mutants - 1) * own[None, None, :] + (population - mutants) * table.T) / versus
    resident = (mutants * table + (population - mutants - 1) * own[None, :, None]) / versus
    steps = np.cumsum(-alpha * (mutant - resident), axis=0)
    with np.errstate(over="ignore"):
        return np.asarray(1 / (1 + np.exp(steps).sum(axis=0)))


def rank_profiles(payoffs: Sequence[npt.ArrayLike], *, alpha: float, population: int) -> Floats:
    """Alpha-rank of the joint strategies of a game with one population a player.

    Args:
        payoffs: payoff tensors of the players.
        alpha: selection intensity, > 0.
        population: individuals in each population, >= 2.

    Returns:
        Stationary distribution over joint strategies, of the shape of a payoff tensor.

    References:
        Omidshafiei et al. (2019), equations 9 to 12.
    """
    game = as_game(payoffs)
    _check(alpha, population)
    shape = game[0].shape
    profiles = list(product(*(range(n) for n in shape)))
    index = {profile: number for number, profile in enumerate(profiles)}
    fixation = np.zeros((len(profiles), len(profiles)))
    for profile in profiles:
        for player, size in enumerate(shape):
            for action in range(size):
                if action == profile[player]:
                    continue
                other = (*profile[:player], action, *profile[player + 1 :])
                gain = game[player][other] - game[player][profile]
                fixation[index[profile], index[other]] = fixation_probability(
                    gain, alpha, population
                )
    return stationary_distribution(_chain(fixation, sum(shape) - len(shape))).reshape(shape)


def _chain(fixation: Floats, num_neighbors: int) -> Floats:
    chain = fixation / max(num_neighbors, 1)
    np.fill_diagonal(chain, 0.0)
    np.fill_diagonal(chain, 1 - chain.sum(axis=1))
    return chain


def _check(alpha: float, population: int) -> None:
    if alpha <= 0 or population < 2:
        raise ValueError(f"alpha is {alpha} and population {population}; they must be > 0 and >= 2")

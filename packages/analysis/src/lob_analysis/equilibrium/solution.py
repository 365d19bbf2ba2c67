"""What game theory says about a table of payoffs: equilibria, ranks, and what they cost."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
from marl_algos.meta_games import (
    Floats,
    Profile,
    expected_payoffs,
    nash_conv,
    projected_replicator,
    rank_profiles,
)

from lob_analysis.equilibrium.correlated import best_cce, cce_gap
from lob_analysis.equilibrium.nash import support_enumeration
from lob_analysis.equilibrium.payoffs import PayoffTable
from lob_analysis.equilibrium.welfare import pareto_front, price_of_anarchy, pure_payoffs
from lob_analysis.statistics.estimates import Estimate

ALPHAS: Final = (10.0, 5.0, 2.0, 1.0, 0.5, 0.2, 0.1)
"""Selection intensities of alpha-rank on payoffs scaled to a range of 1, tried in order."""
POPULATION: Final = 50
"""Individuals of each population of alpha-rank."""
LARGEST_ENUMERATED: Final = 8
"""Policies a role up to which all supports of two-player equilibria are tried."""
_EXACT: Final = 1e-6
"""NashConv below this share of the range of payoffs counts as an equilibrium."""


@dataclasses.dataclass(frozen=True)
class Solution:
    """A game of policies, solved.

    Attributes:
        equilibria: mixed profiles, each with a mixture for every role; of two roles all that
            support enumeration finds, else where projected replicator dynamics lead on average.
        is_exact: the equilibria are ones of the mean payoffs; otherwise `nash_gap` says how far
            off the first is.
        nash_gap: NashConv of the first equilibrium within the table.
        leader_gap: NashConv of the profile that the run is judged by.
        history_gap: what a role gains by one fixed policy against the joint history of play, in
            which all roles play policies of the same age, summed over roles: zero at a coarse
            correlated equilibrium. None where policies have no common age.
        best_welfare: total payoff of the best coarse correlated equilibrium.
        leader_welfare: total payoff of the profile that the run is judged by.
        welfare_loss: best total payoff of any pure profile less that of the worst equilibrium.
        anarchy: best total payoff of any pure profile over that of the worst equilibrium; None
            where it means nothing, and `no_anarchy` says why.
        alpha_rank: `[n_0, ..., n_{P-1}]` share of time that evolution spends at each profile.
        alpha: the selection intensity of it: the strongest of `ALPHAS` at which evolution still
            leaves every profile that it can end in.
        is_efficient: `[n_0, ..., n_{P-1}]` whether a pure profile is on the Pareto front.
    """

    equilibria: list[Profile]
    is_exact: bool
    nash_gap: Estimate
    leader_gap: Estimate
    history_gap: Estimate | None
    best_welfare: float
    leader_welfare: float
    welfare_loss: float
    anarchy: float | None
    no_anarchy: str
    alpha_rank: Floats
    alpha: float
    is_efficient: npt.NDArray[np.bool_]


def solve(table: PayoffTable, leader: int, *, is_history: bool = True, seed: int = 0) -> Solution:
    """Solves the game of a payoff table of two roles or more.

    Gaps have bootstrap intervals over episodes; the largest of several noisy means is too large on
    average, so that they are biased upwards, less so with more episodes.

    Args:
        table: payoffs; every role has a policy of each age.
        leader: index of the policies that the run is judged by.
        is_history: policies of equal index learned at the same time.
        seed: of the resampling.

    Raises:
        ValueError: if there are fewer than two roles.
    """
    game = table.game
    if len(game) < 2:
        raise ValueError("a game needs two roles; with one agent type policies never meet")
    equilibria = _equilibria(game)
    width = max(float(np.ptp(payoff)) for payoff in game) or 1.0
    pure = [np.eye(n)[leader] for n in game[0].shape]
    history = _history(game[0].shape)
    best = float(pure_payoffs(game).sum(axis=1).max())
    ranks, alpha = _ranks(game)
    place = (leader,) * len(game)
    try:
        anarchy, reason = price_of_anarchy(game, equilibria), ""
    except ValueError as error:
        anarchy, reason = None, str(error)
    return Solution(
        equilibria=equilibria,
        is_exact=max(nash_conv(game, profile) for profile in equilibria) < _EXACT * width,
        nash_gap=table.gap(equilibria[0], seed=seed),
        leader_gap=table.gap(pure, seed=seed),
        history_gap=(
            table.estimate(lambda means: cce_gap(means, history), seed=seed) if is_history else None
        ),
        best_welfare=float((sum(game) * best_cce(game)).sum()),
        leader_welfare=float(sum(payoff[place] for payoff in game)),
        welfare_loss=best - min(float(expected_payoffs(game, each).sum()) for each in equilibria),
        anarchy=anarchy,
        no_anarchy=reason,
        alpha_rank=ranks,
        alpha=alpha,
        is_efficient=pareto_front(pure_payoffs(game)).reshape(game[0].shape),
    )


def _equilibria(game: Sequence[Floats]) -> list[Profile]:
    """All that are found of two roles; of more, the average of projected replicator dynamics."""
    if len(game) == 2 and max(game[0].shape) <= LARGEST_ENUMERATED:
        found = support_enumeration(game, max_actions=LARGEST_ENUMERATED)
        if found:
            return [list(pair) for pair in found]
    return [projected_replicator(game)]


def _ranks(game: Sequence[Floats]) -> tuple[Floats, float]:
    """Alpha-rank and its selection intensity.

    Of several strict equilibria strong selection leaves none within the precision of numbers, so
    that no long run is singled out.

    Raises:
        ValueError: if there is none even under the weakest selection.
    """
    scaled = [payoff / (float(np.ptp(payoff)) or 1.0) for payoff in game]
    for alpha in ALPHAS[:-1]:
        try:
            return rank_profiles(scaled, alpha=alpha, population=POPULATION), alpha
        except ValueError:
            continue
    return rank_profiles(scaled, alpha=ALPHAS[-1], population=POPULATION), ALPHAS[-1]


def _history(shape: tuple[int, ...]) -> Floats:
    """The joint distribution in which all roles play policies of the same age, evenly."""
    joint = np.zeros(shape)
    index = np.arange(min(shape))
    joint[(index,) * len(shape)] = 1.0 / len(index)
    return joint

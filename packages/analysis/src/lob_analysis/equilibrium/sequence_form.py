"""Two-player zero-sum games of imperfect information in sequence form.

A sequence of a player is what it has done on the way to a node; a realization plan gives each
sequence its probability. Everything is linear in plans, which makes averaging strategies exact.

References:
    Koller, Megiddo and von Stengel (1996), Efficient computation of equilibria for extensive
    two-person games.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import permutations

import numpy as np
from marl_algos.meta_games import Floats
from scipy import optimize


@dataclass(frozen=True)
class InfoSet:
    """A decision of one player.

    Attributes:
        parent: sequence that leads to it.
        actions: sequences that its actions lead to; larger numbers than the parent.
    """

    parent: int
    actions: tuple[int, ...]


@dataclass(frozen=True)
class SequenceGame:
    """A game in sequence form.

    Attributes:
        payoff: `[S_0, S_1]` what player 0 gets, weighted by chance, at pairs of sequences.
        info_sets: of both players, parents before children. Sequence 0 is the empty one.
    """

    payoff: Floats
    info_sets: tuple[tuple[InfoSet, ...], tuple[InfoSet, ...]]


def uniform_plan(info_sets: tuple[InfoSet, ...], num_sequences: int) -> Floats:
    """The plan that picks evenly at every decision, `[S]`."""
    plan = np.ones(num_sequences)
    for info_set in info_sets:
        plan[list(info_set.actions)] = plan[info_set.parent] / len(info_set.actions)
    return plan


def best_plan(info_sets: tuple[InfoSet, ...], values: Floats) -> tuple[Floats, float]:
    """The pure plan with the largest `plan @ values`, and that value.

    Ties go to the first action.
    """
    totals = values.astype(np.float64).copy()
    choices: dict[int, int] = {}
    for number in range(len(info_sets) - 1, -1, -1):
        info_set = info_sets[number]
        pick = max(info_set.actions, key=lambda sequence: totals[sequence])
        choices[number] = pick
        totals[info_set.parent] += totals[pick]
    plan = np.zeros(len(values))
    plan[0] = 1
    for number, info_set in enumerate(info_sets):
        plan[choices[number]] = plan[info_set.parent]
    return plan, float(totals[0])


def plan_nash_conv(game: SequenceGame, first: Floats, second: Floats) -> float:
    """What both players together gain by best responses to each other's plan."""
    _, gain = best_plan(game.info_sets[0], game.payoff @ second)
    _, loss = best_plan(game.info_sets[1], -(first @ game.payoff))
    return gain + loss


def fictitious_play(
    game: SequenceGame, num_iterations: int
) -> tuple[tuple[Floats, Floats], list[float]]:
    """Extensive-form fictitious play from the uniform plans.

    In iteration t both players best respond to the other's average plan, and the average takes the
    response in with weight `1 / (t + 1)`.

    Args:
        game: the game.
        num_iterations: iterations.

    Returns:
        Average plans, and NashConv after each iteration.

    References:
        Heinrich, Lanctot and Silver (2015), Fictitious self-play in extensive-form games,
        algorithm 1 (XFP).
    """
    plans = [uniform_plan(game.info_sets[i], game.payoff.shape[i]) for i in (0, 1)]
    history = []
    for t in range(1, num_iterations + 1):
        first, _ = best_plan(game.info_sets[0], game.payoff @ plans[1])
        second, _ = best_plan(game.info_sets[1], -(plans[0] @ game.payoff))
        weight = 1 / (t + 1)
        plans = [
            plan + weight * (response - plan)
            for plan, response in zip(plans, (first, second), strict=True)
        ]
        history.append(plan_nash_conv(game, plans[0], plans[1]))
    return (plans[0], plans[1]), history


def solve(game: SequenceGame) -> tuple[Floats, float]:
    """An equilibrium plan of player 0 and the value of the game, by linear programme."""
    rows, columns = game.payoff.shape
    own, other = (_constraints(game.info_sets[i], game.payoff.shape[i]) for i in (0, 1))
    num_other = len(other)
    # Maximize the value of player 1's root constraint, subject to player 1's dual constraints.
    found = optimize.linprog(
        c=np.concatenate([np.zeros(rows), -np.eye(num_other)[0]]),
        A_ub=np.hstack([-game.payoff.T, other.T]),
        b_ub=np.zeros(columns),
        A_eq=np.hstack([own, np.zeros((len(own), num_other))]),
        b_eq=np.eye(len(own))[0],
        bounds=[(0, None)] * rows + [(None, None)] * num_other,
        method="highs",
    )
    if not found.success:
        raise RuntimeError(f"the linear programme failed: {found.message}")
    return np.asarray(found.x[:rows]), float(-found.fun)


def _constraints(info_sets: tuple[InfoSet, ...], num_sequences: int) -> Floats:
    matrix = np.zeros((len(info_sets) + 1, num_sequences))
    matrix[0, 0] = 1
    for row, info_set in enumerate(info_sets, start=1):
        matrix[row, list(info_set.actions)] = 1
        matrix[row, info_set.parent] = -1
    return matrix


def kuhn_poker() -> SequenceGame:
    """Three cards, one chip ante, one chip bets; the value to the first player is -1/18.

    References:
        Kuhn (1950), A simplified two-person poker.
    """
    # First player, card c: check 1+4c, bet 2+4c; after check and bet: fold 3+4c, call 4+4c.
    # Second player, card c: after check: check 1+4c, bet 2+4c; after bet: fold 3+4c, call 4+4c.
    first, second = [], []
    for card in range(3):
        base = 4 * card
        first.append(InfoSet(0, (base + 1, base + 2)))
        second.append(InfoSet(0, (base + 1, base + 2)))
        second.append(InfoSet(0, (base + 3, base + 4)))
    for card in range(3):
        first.append(InfoSet(4 * card + 1, (4 * card + 3, 4 * card + 4)))
    payoff = np.zeros((13, 13))
    for mine, yours in permutations(range(3), 2):
        wins = 1 if mine > yours else -1
        a, b = 4 * mine, 4 * yours
        for row, column, gain in (
            (a + 1, b + 1, wins),
            (a + 3, b + 2, -1),
            (a + 4, b + 2, 2 * wins),
            (a + 2, b + 3, 1),
            (a + 2, b + 4, 2 * wins),
        ):
            payoff[row, column] += gain / 6
    return SequenceGame(payoff, (tuple(first), tuple(second)))

"""Payoff tensors by simulation: every policy of a role against every policy of the others."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from itertools import product
from typing import Any, TypeAlias

import jax
import numpy as np
from marl_algos.meta_games import Floats, Profile, nash_conv
from scipy import stats as scipy_stats

from lob_analysis.play.simulate import RETURN, Episodes, Player, stack
from lob_analysis.statistics.estimates import LEVEL, NUM_RESAMPLES, Estimate

Array: TypeAlias = jax.Array


@dataclasses.dataclass(frozen=True)
class PayoffTable:
    """Cross-play of policies: an axis for every role.

    Attributes:
        roles: agent types, in the order of the axes.
        labels: names of the policies by role.
        samples: by role `[n_0, ..., n_{P-1}, E]`, what it got in each episode, the mean over its
            agents. All cells played the same episodes.
        measure: what the samples are.
        windows: `[E]` episodes of equal number replay the same recorded window.
    """

    roles: tuple[str, ...]
    labels: dict[str, list[str]]
    samples: dict[str, Floats]
    measure: str
    windows: np.ndarray[Any, Any]

    @property
    def num_episodes(self) -> int:
        """Episodes of a cell."""
        return len(self.windows)

    @property
    def game(self) -> list[Floats]:
        """Mean payoffs by role, in the order of `roles`."""
        return [self.samples[role].mean(axis=-1) for role in self.roles]

    @property
    def errors(self) -> list[Floats]:
        """Standard errors of `game`; episodes of one window count as one draw."""
        count = int(self.windows.max()) + 1
        return [
            _by_window(self.samples[role], self.windows).std(axis=-1, ddof=1) / math.sqrt(count)
            for role in self.roles
        ]

    def gap(self, profile: Profile, *, seed: int = 0, level: float = LEVEL) -> Estimate:
        """NashConv of a profile within the table, with a bootstrap interval over episodes.

        The largest of several noisy means is too large on average, so the value is biased upwards
        by an amount that shrinks with `num_episodes`; the interval shows the size of the noise.
        """
        return self.estimate(lambda game: nash_conv(game, profile), seed=seed, level=level)

    def estimate(
        self, statistic: Callable[[list[Floats]], float], *, seed: int = 0, level: float = LEVEL
    ) -> Estimate:
        """A number of the game with a bootstrap interval over windows of episodes.

        Args:
            statistic: of mean payoffs by role, as `game` has them.
            seed: of the resampling.
            level: of the interval.
        """
        low, high = self.bounds(statistic, seed=seed, level=level)
        return Estimate(
            float(statistic(self.game)), float(low), float(high), self.num_episodes, level
        )

    def bounds(
        self,
        statistic: Callable[[list[Floats]], Floats | float],
        *,
        seed: int = 0,
        level: float = LEVEL,
    ) -> Floats:
        """Ends of the bootstrap intervals of a number or an array of the game.

        Args:
            statistic: of mean payoffs by role, as `game` has them.
            seed: of the resampling, of whole windows of episodes.
            level: of each interval on its own.

        Returns:
            `[2, ...]` lower and upper ends, in the shape of the statistic.
        """
        rows = [_by_window(self.samples[role], self.windows) for role in self.roles]
        count = rows[0].shape[-1]
        random = np.random.default_rng(seed)
        draws = []
        for _ in range(NUM_RESAMPLES // 4):
            picked = random.integers(0, count, count)
            draws.append(statistic([row[..., picked].mean(axis=-1) for row in rows]))
        ends = [(1 - level) / 2, (1 + level) / 2]
        return np.asarray(np.quantile(np.asarray(draws), ends, axis=0))


def _by_window(samples: Floats, windows: np.ndarray[Any, Any]) -> Floats:
    """Means of the episodes of each window, `[..., W]`."""
    count = int(windows.max()) + 1
    if count == len(windows):
        return samples
    weights = np.eye(count)[windows]
    return np.asarray(samples @ (weights / weights.sum(axis=0)))


def episodes_needed(
    standard_deviation: float, tolerance: float, num_cells: int = 1, level: float = LEVEL
) -> int:
    """Episodes after which all cells are known to within a tolerance at once.

    `n = (z s / tolerance)^2` with `z` the normal quantile of `1 - (1 - level) / (2 num_cells)`:
    the central limit theorem for each cell and Bonferroni's inequality over the cells.

    Args:
        standard_deviation: s of an episode's payoff, of the worst cell; from a short table.
        tolerance: half width of the intervals, in the unit of the payoff, > 0.
        num_cells: cells times roles.
        level: probability that no cell is farther off.

    Raises:
        ValueError: if the tolerance is not positive or the level is not in (0, 1).
    """
    if not tolerance > 0 or not 0 < level < 1:
        raise ValueError(
            f"tolerance is {tolerance} and level {level}; > 0 and in (0, 1) are needed"
        )
    quantile = float(scipy_stats.norm.ppf(1 - (1 - level) / (2 * num_cells)))
    return max(2, math.ceil((quantile * standard_deviation / tolerance) ** 2))


def payoff_table(
    player: Player,
    policies: Mapping[str, Sequence[Any]],
    params: Any,
    key: Array,
    *,
    labels: Mapping[str, Sequence[str]] | None = None,
    measure: str = RETURN,
    greedy: bool = True,
) -> PayoffTable:
    """Plays every policy of each role against every policy of the others.

    Args:
        player: plays the episodes; all profiles run in one compiled program.
        policies: by agent type, policies of one structure (what a learner has learned).
        params: parameters of the environment.
        key: of everything random; the same for all cells.
        labels: names of the policies; None numbers them.
        measure: a result of an episode, the return unless told.
        greedy: most likely actions instead of sampled ones.

    Raises:
        ValueError: if a role is missing or has no policy, or there is no such measure.
    """
    played = cross_play(player, policies, params, key, greedy=greedy)
    return table_of(player, policies, played, labels=labels, measure=measure)


def cross_play(
    player: Player,
    policies: Mapping[str, Sequence[Any]],
    params: Any,
    key: Array,
    *,
    greedy: bool = True,
) -> Episodes:
    """Episodes of all profiles in lexicographic order, arrays led by their axis.

    Args:
        player: plays the episodes.
        policies: by agent type, policies of one structure.
        params: parameters of the environment.
        key: of everything random; the same for all profiles.
        greedy: most likely actions instead of sampled ones.

    Raises:
        ValueError: if a role is missing or has no policy.
    """
    roles = tuple(player.env.groups)
    if set(policies) != set(roles) or not all(policies.values()):
        raise ValueError(f"policies are given for {sorted(policies)}; each of {roles} needs some")
    cells = list(product(*(range(len(policies[role])) for role in roles)))
    return player.play_profiles(
        {role: stack(list(policies[role])) for role in roles},
        {role: [cell[i] for cell in cells] for i, role in enumerate(roles)},
        params,
        key,
        greedy=greedy,
    )


def table_of(
    player: Player,
    policies: Mapping[str, Sequence[Any]],
    played: Episodes,
    *,
    labels: Mapping[str, Sequence[str]] | None = None,
    measure: str = RETURN,
) -> PayoffTable:
    """The payoffs of `cross_play`; arguments as those of `payoff_table`."""
    roles = tuple(player.env.groups)
    sizes = [len(policies[role]) for role in roles]
    samples = {role: played.of(role, measure).reshape(*sizes, -1) for role in roles}
    names = {
        role: list(labels[role]) if labels else [str(i) for i in range(n)]
        for role, n in zip(roles, sizes, strict=True)
    }
    return PayoffTable(roles, names, samples, measure, played.windows)

"""Transfer: the policies of a run in a market that they were not trained in."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, Final, cast

import numpy as np
from marl_algos.conf.load import ConfigError, check_config
from marl_algos.markets.data import DataError, Market, make_market
from marl_algos.runs.evaluation import Evaluator
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from lob_analysis.errors import AnalysisError
from lob_analysis.play.lab import Lab
from lob_analysis.statistics.estimates import (
    LEVEL,
    NUM_RESAMPLES,
    Estimate,
    Floats,
    two_way_bootstrap,
)

MEASURE: Final = "pnl"
CHANGEABLE: Final = ("data.", "env.messages_per_step=", "env.num_slots=")
"""Configuration entries that may differ between the two markets."""


@dataclasses.dataclass(frozen=True)
class TransferResult:
    """One agent type at home and away, PnL in ticks times shares.

    A PnL is not comparable between markets of different spread and volatility; what a policy earns
    more than the same rule-based baseline is, as far as anything is.

    Attributes:
        agent_type: whose.
        baseline: rule-based policy that the edge is over; None if there is none.
        home: mean PnL in the market of training, held-out episodes.
        away: mean PnL in the other market.
        home_edge: learned minus baseline, episode by episode, at home.
        away_edge: likewise away.
        drop: home edge minus away edge (PnL where there is no baseline).
    """

    agent_type: str
    baseline: str | None
    home: Estimate
    away: Estimate
    home_edge: Estimate | None
    away_edge: Estimate | None
    drop: Estimate


def other_market(lab: Lab, overrides: Sequence[str]) -> Market:
    """The market of a run on other data.

    Args:
        lab: the run.
        overrides: entries `key=value` whose keys begin with one of `CHANGEABLE`, for example
            `data.kind=lobster`, `data.path=DIR`.

    Raises:
        AnalysisError: if an entry is not allowed, the data is not there, or agents would see or do
            something else than in training.
    """
    wrong = [entry for entry in overrides if not entry.startswith(CHANGEABLE)]
    if wrong or not overrides:
        raise AnalysisError(
            f"entries {wrong} do not name another market; give some that begin with "
            f"{', '.join(CHANGEABLE)}"
        )
    try:
        base = OmegaConf.structured(lab.config)
        merged = OmegaConf.merge(base, OmegaConf.from_dotlist(list(overrides)))
        market = make_market(check_config(cast(DictConfig, merged)))
    except (OmegaConfBaseException, ConfigError, DataError) as error:
        raise AnalysisError(str(error).splitlines()[0]) from error
    if market.env.groups != lab.market.env.groups:
        raise AnalysisError("agents of that market see or do something else than in training")
    return market


def transfer_results(
    lab: Lab, agents: dict[str, Any], away: Market, *, num_episodes: int = 128, seed: int = 0
) -> list[TransferResult]:
    """Plays the same policies on the test splits of both markets.

    Baselines with a parameter take the one that does best on the validation split of the market
    they play in, as in the evaluation of a run.

    Args:
        lab: the run, whose market is home.
        agents: policies by type.
        away: the other market.
        num_episodes: episodes of every policy in each market.
        seed: of the episodes.
    """
    places = [Evaluator(lab.learner, market, num_episodes, seed) for market in (lab.market, away)]
    found = []
    for name in sorted(lab.market.env.groups):
        own, edges, windows = [], [], []
        contest = next((c for c in places[0].contests if c.agent_type == name), None)
        for place in places:
            played = place.play(agents, "test")
            own.append(_values(played.results[name]))
            windows.append(played.clusters)
            if contest is not None:
                rival = next(c for c in place.contests if c.agent_type == name)
                choice = place.choose(agents, rival)
                other = place.play(agents, "test", contest=rival, choice=choice)
                edges.append(own[-1] - _values(other.results[name]))
        home, away_pnl = (two_way_bootstrap(x, w) for x, w in zip(own, windows, strict=True))
        edge = [two_way_bootstrap(x, w) for x, w in zip(edges, windows, strict=False)]
        compared = edges or own
        found.append(
            TransferResult(
                agent_type=name,
                baseline=None if contest is None else contest.policy,
                home=home,
                away=away_pnl,
                home_edge=edge[0] if edge else None,
                away_edge=edge[1] if edge else None,
                drop=independent_difference(compared[0], compared[1], windows[0], windows[1]),
            )
        )
    return found


def _values(results: dict[str, Any]) -> Floats:
    """PnL of each episode, the mean over agents, `[E]`."""
    return np.asarray(results[MEASURE].astype(np.float64).mean(axis=1))


def independent_difference(
    left: Floats,
    right: Floats,
    left_windows: Any = None,
    right_windows: Any = None,
    *,
    level: float = LEVEL,
    seed: int = 0,
) -> Estimate:
    """Mean of one sample minus that of another which shares nothing with it.

    Args:
        left: `[n]`.
        right: `[m]`.
        left_windows: `[n]`, values of equal number are drawn together; None draws each alone.
        right_windows: `[m]`, likewise.
        level: of the percentile bootstrap interval.
        seed: of the resampling.
    """
    random = np.random.default_rng(seed)

    def draws(values: Floats, windows: Any) -> Floats:
        labels = np.arange(len(values)) if windows is None else np.asarray(windows)
        _, index = np.unique(labels, return_inverse=True)
        sizes = np.bincount(index)
        sums = np.bincount(index, values)
        picked = random.integers(0, len(sizes), (NUM_RESAMPLES, len(sizes)))
        return np.asarray(sums[picked].sum(axis=1) / sizes[picked].sum(axis=1))

    moved = draws(left, left_windows) - draws(right, right_windows)
    low, high = np.quantile(moved, [(1 - level) / 2, (1 + level) / 2])
    value = float(np.mean(left) - np.mean(right))
    return Estimate(value, float(low), float(high), len(left) + len(right), level)

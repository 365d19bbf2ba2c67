"""Per-agent results against baselines, each number with an interval.

Policies are compared on the same episodes (common random numbers): a difference is taken episode
by episode, and the interval is of that paired difference.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl

from lob_analysis.runs.load import EVALUATION_KEYS
from lob_analysis.statistics.estimates import (
    Estimate,
    Floats,
    bootstrap,
    cvar,
    sharpe,
    two_way_bootstrap,
)
from lob_analysis.statistics.resampling import stratified_interquartile_mean

LEARNED: Final = "learned"
"""Name of the policy set under study; every other one is a baseline."""


MIN_WINDOWS: Final = 6
"""Independent windows below which no difference is called certain.

The smallest two-sided p-value that n signs can give is `2^(1 - n)`; 6 is the first n below 0.05.
"""


@dataclass(frozen=True)
class Measure:
    """What a results column means.

    Attributes:
        name: column of the evaluation table.
        label: for people.
        unit: of the values.
        sign: 1 if more is better, -1 if less is, 0 if neither.
    """

    name: str
    label: str
    unit: str
    sign: int


_KNOWN: Final = (
    Measure("pnl", "PnL after closing", "ticks x shares", 1),
    Measure("shortfall", "Implementation shortfall", "ticks x shares", -1),
    Measure("shortfall_ticks", "Shortfall per share", "ticks", -1),
    Measure("shortfall_bps", "Shortfall", "bps of arrival price", -1),
    Measure("episode_return", "Episode return", "reward", 1),
    Measure("filled", "Filled", "shares", 1),
    Measure("unexecuted", "Not executed", "shares", -1),
    Measure("closing_cost", "Closing cost", "ticks x shares", -1),
    Measure("inventory_end", "Inventory at the end", "shares", 0),
    Measure("inventory_end_abs", "Inventory at the end, absolute", "shares", -1),
    Measure("traded_volume", "Traded volume", "shares", 0),
    Measure("maker_volume", "Traded as maker", "shares", 0),
    Measure("fill_rate", "Fill rate", "share of task", 1),
    Measure("passive_share", "Passive share", "share of volume", 0),
)
MEASURES: Final = {measure.name: measure for measure in _KNOWN}


@dataclass(frozen=True)
class PolicyResult:
    """One measure of one agent type under one policy set.

    Attributes:
        agent_type: whose.
        policy: under which policy set.
        measure: what.
        mean: over episodes, with interval.
        iqm: interquartile mean over learners and episodes, with a bootstrap interval stratified
            by learner.
        difference: learned minus this policy over shared episodes; None for the learned policy
            itself or when the two share no episode.
        wins: share of shared episodes in which learned is better, ties half; None where there is
            no difference or no better.
        num_windows: recorded windows behind the episodes; as many as episodes where each is new.
    """

    agent_type: str
    policy: str
    measure: Measure
    mean: Estimate
    iqm: Estimate
    difference: Estimate | None
    wins: Estimate | None
    num_windows: int

    @property
    def verdict(self) -> str:
        """`better`, `worse`, `unclear` or `too few`: the learned policy against this one.

        Empty without a difference or a direction; `too few` below `MIN_WINDOWS` windows.
        """
        if self.difference is None or self.measure.sign == 0:
            return ""
        if self.num_windows < MIN_WINDOWS:
            return "too few"
        if not self.difference.is_certain:
            return "unclear"
        return "better" if self.difference.value * self.measure.sign > 0 else "worse"


def measure_of(name: str) -> Measure:
    """What a column means; an unknown one is shown under its own name without a direction."""
    return MEASURES.get(name, Measure(name, name.replace("_", " "), "", 0))


def with_derived(evaluation: pl.DataFrame) -> pl.DataFrame:
    """Adds `fill_rate`, `passive_share` and `inventory_end_abs` where their parts are present."""
    columns = set(evaluation.columns)
    added = []
    if {"filled", "unexecuted"} <= columns:
        task = pl.col("filled") + pl.col("unexecuted")
        added.append(pl.when(task > 0).then(pl.col("filled") / task).alias("fill_rate"))
    if {"maker_volume", "traded_volume"} <= columns:
        volume = pl.col("traded_volume")
        share = pl.when(volume > 0).then(pl.col("maker_volume") / volume)
        added.append(share.alias("passive_share"))
    if "inventory_end" in columns:
        added.append(pl.col("inventory_end").abs().alias("inventory_end_abs"))
    return evaluation.with_columns(added)


def measures_in(evaluation: pl.DataFrame, agent_type: str) -> list[Measure]:
    """Measures with values for an agent type: the known ones first, in their order."""
    rows = evaluation.filter(pl.col("agent_type") == agent_type)
    numeric = [
        name
        for name, dtype in rows.schema.items()
        if dtype.is_numeric()
        and name not in (*EVALUATION_KEYS, "window", "task_side")
        and rows[name].is_not_null().any()
    ]
    known = [measure for measure in _KNOWN if measure.name in numeric]
    return known + [measure_of(name) for name in numeric if name not in MEASURES]


def headline(evaluation: pl.DataFrame, agent_type: str) -> Measure | None:
    """The measure that ranks an agent type: shortfall with a task, else PnL, else return."""
    present = {measure.name: measure for measure in measures_in(evaluation, agent_type)}
    for name in ("shortfall", "pnl", "episode_return"):
        if name in present:
            return present[name]
    return next(iter(present.values()), None)


def policies_in(evaluation: pl.DataFrame, agent_type: str) -> list[str]:
    """Policy sets an agent type was evaluated under, the learned one first."""
    rows = evaluation.filter(pl.col("agent_type") == agent_type)
    names = rows["policy"].unique(maintain_order=True).to_list()
    return sorted(names, key=lambda name: name != LEARNED)


def episode_values(
    evaluation: pl.DataFrame, agent_type: str, policy: str, measure: str
) -> pl.DataFrame:
    """Mean over the agents of a type: columns seed, split, episode, window, value.

    Agents of one market are not independent samples, an episode is; so they are averaged first.
    `window` tells which episodes replay the same recorded data; without that column each episode
    is its own. Rows without a finite value are left out.
    """
    value = pl.col(measure).cast(pl.Float64)
    window = "window" if "window" in evaluation.columns else "episode"
    return (
        evaluation.filter(
            (pl.col("agent_type") == agent_type)
            & (pl.col("policy") == policy)
            & value.is_finite().fill_null(value=False)
        )
        .group_by("seed", "split", "episode", maintain_order=True)
        .agg(pl.col(window).first().alias("window"), value.mean().alias("value"))
        .sort("seed", "split", "episode")
    )


def _matrix(values: pl.DataFrame, column: str) -> tuple[Floats, list[int]]:
    """`[S, E]` values of the episodes that every learner played, and their windows."""
    wide = values.pivot("seed", index=["split", "episode", "window"], values=column).drop_nulls()
    table = wide.drop("split", "episode", "window").to_numpy().T
    labels = wide.select(pl.struct("split", "window").rank("dense")).to_series()
    return np.asarray(table, np.float64), labels.to_list()


def compare_policies(
    evaluation: pl.DataFrame, agent_type: str, measure: Measure, *, seed: int = 0
) -> list[PolicyResult]:
    """Results of an agent type under every policy set, the learned one first.

    Args:
        evaluation: table with the columns of `evaluation.parquet`.
        agent_type: whose results.
        measure: which column.
        seed: of the bootstrap.

    Returns:
        One result per policy set that has values.
    """
    tables = {
        policy: episode_values(evaluation, agent_type, policy, measure.name)
        for policy in policies_in(evaluation, agent_type)
    }
    results = []
    for policy, values in tables.items():
        if values.is_empty():
            continue
        matrix, windows = _matrix(values, "value")
        if matrix.size == 0:
            continue
        difference, wins = _against(tables, policy, measure.sign, seed)
        results.append(
            PolicyResult(
                agent_type,
                policy,
                measure,
                two_way_bootstrap(matrix, windows, seed=seed),
                stratified_interquartile_mean(matrix, windows, seed=seed),
                difference,
                wins,
                len(set(windows)),
            )
        )
    return results


def _against(
    tables: dict[str, pl.DataFrame], policy: str, sign: int, seed: int
) -> tuple[Estimate | None, Estimate | None]:
    """Learned minus a policy over shared episodes, and the share of them that learned wins."""
    if policy == LEARNED or LEARNED not in tables:
        return None, None
    pairs = tables[LEARNED].join(
        tables[policy], on=["seed", "split", "episode"], suffix="_other", maintain_order="left"
    )
    pairs = pairs.with_columns(difference=pl.col("value") - pl.col("value_other"))
    if pairs.is_empty():
        return None, None
    matrix, windows = _matrix(pairs, "difference")
    if matrix.size == 0:
        return None, None
    difference = two_way_bootstrap(matrix, windows, seed=seed)
    if sign == 0:
        return difference, None
    won = (np.sign(sign * matrix) + 1) / 2
    return difference, two_way_bootstrap(won, windows, seed=seed)


@dataclass(frozen=True)
class Risk:
    """Risk of one policy on a measure where more is better.

    Attributes:
        policy: its name.
        sharpe: mean over standard deviation of episodes, not annualized.
        worst: mean of the worst 5 % of episodes.
        lowest: the worst episode.
    """

    policy: str
    sharpe: Estimate
    worst: float
    lowest: float


def risk_table(
    evaluation: pl.DataFrame, agent_type: str, measure: str = "pnl", *, seed: int = 0
) -> list[Risk]:
    """Sharpe ratio and tail of every policy of an agent type, the learned one first.

    Policies whose results never vary, such as doing nothing, are left out.
    """
    table = []
    for policy in policies_in(evaluation, agent_type):
        values = episode_values(evaluation, agent_type, policy, measure)["value"].to_numpy()
        if values.size < 8 or np.ptp(values) == 0:
            continue
        estimate = bootstrap(values, _finite_sharpe, num_resamples=1000, seed=seed)
        table.append(Risk(policy, estimate, float(cvar(values)), float(values.min())))
    return table


def _finite_sharpe(values: Floats) -> Floats:
    """Sharpe ratio, with resamples that do not vary counted as zero."""
    ratio = sharpe(values)
    return np.where(np.isfinite(ratio), ratio, 0.0)

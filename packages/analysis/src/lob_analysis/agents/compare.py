"""Compares training runs: interquartile means over seeds, and how likely one beats another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from lob_analysis.agents.results import LEARNED, episode_values, headline, measure_of
from lob_analysis.errors import AnalysisError
from lob_analysis.runs.load import Run
from lob_analysis.statistics.comparisons import probability_of_improvement
from lob_analysis.statistics.estimates import Estimate, Floats, bootstrap, interquartile_mean


@dataclass(frozen=True)
class GroupResult:
    """One group of runs, such as the seeds of one algorithm.

    Attributes:
        name: of the group.
        num_runs: runs in it.
        iqm: interquartile mean over all episodes of all runs; the interval is stratified by run.
        mean: likewise.
        run_means: `[num_runs]` mean of each run.
    """

    name: str
    num_runs: int
    iqm: Estimate
    mean: Estimate
    run_means: Floats


@dataclass(frozen=True)
class Comparison:
    """Groups on one measure of one agent type.

    Attributes:
        agent_type: whose results.
        measure: which column of the evaluation table.
        groups: by name.
        improvement: for each ordered pair of names, the probability that a run of the first has
            a better mean than one of the second; of groups with two runs or more only, because
            one run does not tell how far seeds are apart.
    """

    agent_type: str
    measure: str
    groups: dict[str, GroupResult]
    improvement: dict[tuple[str, str], Estimate]


def group_runs(runs: Sequence[Run], key: str) -> dict[str, list[Run]]:
    """Runs by the value of a configuration entry such as `algo.name`, in order of appearance.

    Raises:
        AnalysisError: if a run has no such entry.
    """
    groups: dict[str, list[Run]] = {}
    for run in runs:
        value: Any = run.config
        for part in key.split("."):
            if not isinstance(value, dict) or part not in value:
                raise AnalysisError(f"{run.path}: its configuration has no {key!r}")
            value = value[part]
        groups.setdefault(str(value), []).append(run)
    return groups


def _samples(runs: Sequence[Run], agent_type: str, measure: str) -> list[Floats]:
    """Episode results of the learned policy, one array a run."""
    samples = []
    for run in runs:
        if run.evaluation is None:
            raise AnalysisError(f"{run.path}: has no evaluation to compare")
        if measure not in run.evaluation.columns:
            raise AnalysisError(f"{run.path}: its evaluation has no {measure!r}")
        values = episode_values(run.evaluation, agent_type, LEARNED, measure)
        if values.is_empty():
            raise AnalysisError(f"{run.path}: no learned {agent_type} in its evaluation")
        samples.append(values["value"].to_numpy())
    return samples


def compare_groups(
    groups: Mapping[str, Sequence[Run]],
    agent_type: str,
    measure: str | None = None,
    *,
    seed: int = 0,
) -> Comparison:
    """Compares groups of runs on one measure.

    Args:
        groups: runs by name; the runs of a group should differ in their seed only.
        agent_type: whose results.
        measure: column of the evaluation table; None takes the one that ranks the agent type.
        seed: of the bootstrap.

    Raises:
        AnalysisError: if a group is empty or a run lacks the results.
    """
    if not groups or not all(groups.values()):
        raise AnalysisError("every group needs at least one run")
    name = measure
    if name is None:
        evaluation = next(iter(groups.values()))[0].evaluation
        found = headline(evaluation, agent_type) if evaluation is not None else None
        if found is None:
            raise AnalysisError(f"the first run has no results of {agent_type!r}")
        name = found.name
    sign = measure_of(name).sign or 1
    results = {}
    for group, runs in groups.items():
        samples = _samples(runs, agent_type, name)
        results[group] = GroupResult(
            group,
            len(runs),
            bootstrap(samples, interquartile_mean, seed=seed),
            bootstrap(samples, seed=seed),
            np.array([sample.mean() for sample in samples]),
        )
    improvement = {
        (a, b): probability_of_improvement(
            sign * results[a].run_means, sign * results[b].run_means, seed=seed
        )
        for a in results
        for b in results
        if a != b and min(results[a].num_runs, results[b].num_runs) > 1
    }
    return Comparison(agent_type, name, results, improvement)


def comparison_table(comparison: Comparison) -> pl.DataFrame:
    """The comparison as a table: group, runs, iqm, low, high, mean, episodes."""
    return pl.DataFrame(
        [
            {
                "group": result.name,
                "runs": result.num_runs,
                "iqm": result.iqm.value,
                "low": result.iqm.low,
                "high": result.iqm.high,
                "mean": result.mean.value,
                "episodes": result.iqm.num_samples,
            }
            for result in comparison.groups.values()
        ]
    )

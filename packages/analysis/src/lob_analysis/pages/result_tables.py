"""Tables of results, comparisons and scores for a terminal."""

from __future__ import annotations

import polars as pl
from rich.table import Table

from lob_analysis.agents.compare import Comparison
from lob_analysis.agents.results import PolicyResult, measure_of
from lob_analysis.pages.markup import interval, number
from lob_analysis.pages.plots import capitalized, people_name
from lob_analysis.statistics.estimates import Estimate


def results_table(agent_type: str, rows: list[PolicyResult]) -> Table:
    """Results of one agent type for a terminal."""
    measure = rows[0].measure
    arrow = {1: "more is better", -1: "less is better", 0: ""}[measure.sign]
    table = Table(
        title=f"{capitalized(agent_type)}: {measure.label}, {measure.unit} ({arrow})",
        title_justify="left",
        title_style="bold",
    )
    table.add_column("policy")
    table.add_column("mean (95 % interval)", justify="right")
    table.add_column("learned minus this", justify="right")
    table.add_column("learned is")
    styles = {"better": "green", "worse": "red"}
    for row in rows:
        table.add_row(
            people_name(row.policy),
            _with_interval(row.mean),
            _with_interval(row.difference) if row.difference else "",
            row.verdict,
            style=styles.get(row.verdict),
        )
    return table


def _with_interval(estimate: Estimate) -> str:
    return f"{number(estimate.value)} ({interval(estimate)})"


def realism_view(scores: pl.DataFrame, title: str) -> Table:
    """All scores of a simulation for a terminal, red where they tell it from the real data."""
    count = int(scores["told_apart"].sum())
    table = Table(
        title=title,
        caption=f"* {count} of {len(scores)} scores tell the simulation from the real data: they "
        "lie beyond 95 % of those of real against real. Resampling adds distance, so intervals lie "
        "somewhat above small scores.",
        title_justify="left",
        title_style="bold",
        caption_justify="left",
    )
    for name in ("quantity", "distance"):
        table.add_column(name)
    for name in ("score (95 % interval)", "real against real, 95 % below"):
        table.add_column(name, justify="right")
    for row in scores.iter_rows(named=True):
        table.add_row(
            people_name(row["score"]),
            row["distance"],
            f"{number(row['value'])} ({number(row['low'])} to {number(row['high'])})",
            f"{'* ' if row['told_apart'] else ''}{number(row['floor_high'])}",
            style="red" if row["told_apart"] else "green",
        )
    return table


def comparison_view(comparison: Comparison, by: str) -> Table:
    """Groups of runs on one measure for a terminal."""
    measure = measure_of(comparison.measure)
    title = f"{capitalized(comparison.agent_type)}: {measure.label}, {measure.unit}"
    table = Table(title=title, title_justify="left", title_style="bold")
    table.add_column(by)
    for name in ("runs", "interquartile mean", "mean", "episodes"):
        table.add_column(name, justify="right")
    for group in comparison.groups.values():
        table.add_row(
            group.name,
            str(group.num_runs),
            _with_interval(group.iqm),
            _with_interval(group.mean),
            str(group.iqm.num_samples),
        )
    return table

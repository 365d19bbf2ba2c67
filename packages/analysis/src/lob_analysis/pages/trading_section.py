"""The part of a run report on how policies traded: money, markouts, participation, fills."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import cycle

import plotly.graph_objects as go
import polars as pl
from plotly.subplots import make_subplots

from lob_analysis.agents.execution import schedule, shortfall_path
from lob_analysis.agents.results import LEARNED, Measure, PolicyResult, compare_policies, measure_of
from lob_analysis.agents.trading import (
    CONDUCT,
    COSTS,
    MONEY,
    Markout,
    markout_curve,
    measures_with_values,
    played_by,
    trading_table,
)
from lob_analysis.pages.markup import (
    escape,
    interval,
    picture,
    section,
    share,
    table,
    with_interval,
)
from lob_analysis.pages.plots import (
    BLUE,
    GREEN,
    INK,
    PALETTE,
    Picture,
    capitalized,
    people_name,
    style,
)
from lob_analysis.runs.load import Run


def trading_section(run: Run) -> str:
    """Where the money came from, adverse selection, participation and fills by agent type."""
    if run.episodes is None:
        return ""
    parts = []
    for agent_type in run.episodes["agent_type"].unique(maintain_order=True):
        rows = trading_table(run, agent_type)
        if rows is None:
            continue
        pictures = []
        if "spread_pnl" in rows.columns:
            pictures.append(split_bars(rows, agent_type, MONEY, "pnl"))
        if "trading_cost" in rows.columns:
            pictures.append(split_bars(rows, agent_type, COSTS, "shortfall"))
            pictures.append(cost_paths(run.episodes, agent_type))
        curve = markout_curve(run.episodes, agent_type)
        if curve:
            pictures.append(markout_picture(curve, agent_type))
        title = f"<h3>{escape(capitalized(agent_type))}</h3>"
        parts.append(title + conduct_table(rows, agent_type) + "".join(map(picture, pictures)))
    num_episodes, num_windows = (run.episodes[x].n_unique() for x in ("episode", "window"))
    replayed = f", which replay {num_windows} windows" if num_windows < num_episodes else ""
    note = (
        f"<p class=note>From the {num_episodes} episodes that were recorded step by "
        f"step{replayed}, the same ones for every policy; 95 % bootstrap intervals over "
        f"{'windows' if replayed else 'episodes'}. Fill rate of quotes: shares traded as maker "
        "over those and what still rests at the end of each step.</p>"
        if num_episodes > 1
        else "<p class=note>From the one episode that was recorded: an illustration, not a "
        "result.</p>"
    )
    return section("How they traded", note + "".join(parts), "trading") if parts else ""


def conduct_table(rows: pl.DataFrame, agent_type: str) -> str:
    """Participation, fills, quotes and inventory: a row per measure, a column per policy."""
    found = {
        measure.name: {r.policy: r for r in compare_policies(rows, agent_type, measure)}
        for measure in measures_with_values(rows, CONDUCT)
    }
    policies = list(dict.fromkeys(policy for results in found.values() for policy in results))
    policies.sort(key=lambda policy: policy != LEARNED)
    cells = []
    for results in found.values():
        measure = next(iter(results.values())).measure
        unit = measure.unit.removeprefix("share ")
        label = f"{escape(measure.label)} <small>({escape(unit)})</small>"
        cells.append([label, *(_cell(results.get(policy)) for policy in policies)])
    return table(["", *(people_name(policy) for policy in policies)], cells) if cells else ""


def _cell(result: PolicyResult | None) -> str:
    if result is None:
        return ""
    is_share = result.measure.unit.startswith("share of")
    return share(result.mean) if is_share else with_interval(result.mean)


def split_bars(
    rows: pl.DataFrame, agent_type: str, parts: Sequence[Measure], total: str
) -> Picture:
    """Stacked parts of the PnL or the shortfall of an episode, by policy set.

    Args:
        rows: `trading_table` of the agent type.
        agent_type: whose.
        parts: measures that add up to the total.
        total: column of the total: `pnl` or `shortfall`.
    """
    figure = go.Figure()
    for measure, color in zip(parts, (GREEN, BLUE, "#8e5aa8", "#d9822b"), strict=False):
        if measure in measures_with_values(rows, parts):
            found = compare_policies(rows, agent_type, measure)
            figure.add_bar(
                x=[people_name(r.policy) for r in found], y=[r.mean.value for r in found],
                name=measure.label, marker={"color": color},
                customdata=[interval(r.mean) for r in found],
                hovertemplate="%{x}: %{y:.4g} (%{customdata})<extra>" + measure.label + "</extra>",
            )  # fmt: skip
    sums = compare_policies(rows, agent_type, measure_of(total))
    figure.add_scatter(
        x=[people_name(r.policy) for r in sums], y=[r.mean.value for r in sums], mode="markers",
        name="total, 95 % interval", marker={"symbol": "diamond", "size": 9, "color": INK},
        error_y={
            "type": "data", "symmetric": False, "color": INK, "thickness": 2,
            "array": [r.mean.high - r.mean.value for r in sums],
            "arrayminus": [r.mean.value - r.mean.low for r in sums],
        },
    )  # fmt: skip
    figure.update_layout(barmode="relative")
    figure.update_yaxes(title_text="ticks x shares, an episode")
    captions = {
        "pnl": "Spread capture is what trades made against the mid at the end of their step; "
        "inventory is what the position made as the mid moved. A market maker that lives off its "
        "spread earns green; one that lives off blue is betting on the direction.",
        "shortfall": "Lower is better. Green is what the fills cost against the mid at the end of "
        "the first step; blue is what the mid moved before, and what closing the rest of the task "
        "at the end cost. A policy that waits trades green for blue.",
    }
    titles = {"pnl": "where the money came from", "shortfall": "where the shortfall came from"}
    title = f"{capitalized(agent_type)}: {titles[total]}"
    return Picture(title, captions[total], style(figure), f"{total}-{agent_type}")


def cost_paths(episodes: pl.DataFrame, agent_type: str) -> Picture:
    """Shares executed and cost so far over an episode, a line per policy set.

    Args:
        episodes: `Run.episodes`.
        agent_type: whose.
    """
    rows = played_by(episodes, agent_type)
    paths = schedule(shortfall_path(rows))
    figure = make_subplots(rows=2, cols=1, shared_xaxes=True, vertical_spacing=0.08)
    for policy, color in zip(rows["policy"].unique(maintain_order=True), cycle(PALETTE)):
        steps = (
            paths.filter(pl.col("policy") == policy)
            .group_by("step", "episode", maintain_order=True)
            .agg(pl.col("executed", "cost").mean())
            .group_by("step", maintain_order=True)
            .agg(
                pl.col("executed", "cost").mean(),
                error=1.96 * pl.col("cost").std().fill_null(0.0) / pl.len().sqrt(),
            )
            .sort("step")
        )
        name, error = people_name(policy), steps["error"]
        if error.max():
            step, cost = steps["step"], steps["cost"]
            figure.add_scatter(
                x=[*step, *step.reverse()], y=[*(cost + error), *(cost - error).reverse()],
                fill="toself", fillcolor=color, opacity=0.15, line={"width": 0}, name=name,
                legendgroup=name, showlegend=False, hoverinfo="skip", mode="lines", row=2, col=1,
            )  # fmt: skip
        for row, column in enumerate(("executed", "cost"), start=1):
            figure.add_scatter(
                x=steps["step"], y=steps[column], name=name, legendgroup=name, mode="lines",
                line={"color": color, "width": 2, "shape": "hv" if row == 1 else "linear"},
                showlegend=row == 1, row=row, col=1,
            )  # fmt: skip
    figure.update_yaxes(title_text="executed (shares)", row=1, col=1)
    figure.update_yaxes(title_text="cost (ticks x shares)", row=2, col=1)
    figure.update_xaxes(title_text="step", row=2, col=1)
    caption = (
        "Above: how fast the order was worked; an even schedule is a straight line. Below: what "
        "the fills so far cost against the mid when trading began, mean and 95 % band; lower is "
        "better, and a line that bends up pays for haste or for a market that runs away. What is "
        "left at the end is closed at a price that is not in this picture."
    )
    title = f"{capitalized(agent_type)}: progress and cost"
    return Picture(title, caption, style(figure, height=460), f"cost-{agent_type}")


def markout_picture(curve: Sequence[Markout], agent_type: str) -> Picture:
    """What a traded share is worth some steps later, a line per policy set."""
    figure = go.Figure()
    policies = list(dict.fromkeys(point.policy for point in curve))
    for number_of, (policy, color) in enumerate(zip(policies, cycle(PALETTE))):
        points = [point for point in curve if point.policy == policy]
        shift = 0.12 * (number_of - (len(policies) - 1) / 2)
        figure.add_scatter(
            x=[point.horizon + shift for point in points], y=[p.gain.value for p in points],
            name=people_name(policy), mode="lines+markers",
            line={"color": color, "width": 2}, marker={"size": 7},
            error_y={
                "type": "data", "symmetric": False, "color": color, "thickness": 1.5,
                "array": [p.gain.high - p.gain.value for p in points],
                "arrayminus": [p.gain.value - p.gain.low for p in points],
            },
            customdata=[[p.horizon, p.size, interval(p.gain)] for p in points],
            hovertemplate="%{y:.4g} ticks (%{customdata[2]}) after %{customdata[0]} steps, "
            "%{customdata[1]:,.0f} shares<extra>" + people_name(policy) + "</extra>",
        )  # fmt: skip
    figure.add_hline(y=0, line={"color": INK, "width": 1})
    figure.update_xaxes(title_text="steps after the fill")
    figure.update_yaxes(title_text="ticks a share")
    caption = (
        "Adverse selection: what a traded share is worth against the mid some steps later, with "
        "95 % bootstrap intervals. A maker earns its half spread at 0; a line that falls is "
        "picked off by traders who know more, one that stays level is not. One that trades at "
        "market pays the half spread and starts below zero."
    )
    title = f"{capitalized(agent_type)}: markouts"
    return Picture(title, caption, style(figure), f"markout-{agent_type}")

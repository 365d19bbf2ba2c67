"""Interactive figures of a run, each with units, intervals and a caption that says what to see."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle
from typing import Final

import plotly.graph_objects as go
import polars as pl
from plotly.subplots import make_subplots

from lob_analysis.agents.results import LEARNED, PolicyResult

BLUE: Final = "#1f5fa8"
GRAY: Final = "#8a8f98"
GREEN: Final = "#1a7f52"
RED: Final = "#c0392b"
INK: Final = "#24292f"
GRID: Final = "#e6e8eb"
_PROPER: Final = {
    "avellaneda_stoikov": "Avellaneda-Stoikov",
    "AvSt": "Avellaneda-Stoikov",
    "twap": "TWAP",
    "vwap": "VWAP",
    "pov": "POV",
    "approx_kl": "KL divergence of an update",
}
PALETTE: Final = (BLUE, "#d9822b", GREEN, "#8e5aa8", "#b8860b", "#3a9ba8")


@dataclass(frozen=True)
class Picture:
    """A figure for people.

    Attributes:
        title: what is shown.
        caption: what to see in it.
        figure: the plotly figure, without a title of its own.
        key: short name, unique on a page.
    """

    title: str
    caption: str
    figure: go.Figure
    key: str


def style(figure: go.Figure, height: int = 340) -> go.Figure:
    """Gives a figure the look of the report: white, light grid, legend above, narrow margins."""
    figure.update_layout(
        template="none",  # a template would be copied into every figure of a page
        height=height,
        margin={"l": 8, "r": 12, "t": 56, "b": 8},
        font={"family": "system-ui, sans-serif", "size": 13, "color": INK},
        legend={"orientation": "h", "y": 1.0, "yanchor": "bottom", "x": 0, "xanchor": "left"},
        hovermode="closest",
        dragmode="zoom",
    )
    axis = {
        "gridcolor": GRID,
        "zerolinecolor": "#b8bdc4",
        "title_standoff": 12,
        "automargin": True,
        "exponentformat": "none",
        "separatethousands": True,
    }
    figure.update_xaxes(**axis)
    figure.update_yaxes(**axis)
    return figure


def people_name(name: str) -> str:
    """`market_maker` as `market maker`; proper names as they are written."""
    return _PROPER.get(name, name.replace("_", " "))


def capitalized(name: str) -> str:
    """`people_name` with a capital first letter and the rest as it is."""
    text = people_name(name)
    return text[:1].upper() + text[1:]


def agent_name(agent_type: str) -> str:
    """An agent type as a noun for a sentence."""
    return "execution agent" if agent_type == "execution" else people_name(agent_type)


def learning_curve(
    learning: pl.DataFrame, agent_type: str, metric: str, unit: str, goals: Mapping[str, float]
) -> Picture:
    """Progress of one metric over environment steps, with a moving average and baselines.

    Args:
        learning: long table of a run (`Run.learning`).
        agent_type: whose.
        metric: which.
        unit: of the metric.
        goals: baseline name to level, drawn as dashed lines.
    """
    rows = learning.filter(
        (pl.col("group") == "agents")
        & (pl.col("agent_type") == agent_type)
        & (pl.col("metric") == metric)
    )
    curve = (
        rows.group_by("update", maintain_order=True)
        .agg(
            pl.col("env_steps").first(),
            pl.col("value").mean().alias("value"),
            pl.col("value").min().alias("low"),
            pl.col("value").max().alias("high"),
            pl.col("seed").n_unique().alias("seeds"),
        )
        .sort("update")
    )
    window = max(1, len(curve) // 20)
    smooth = curve["value"].rolling_mean(window, min_samples=1)
    seeds = int(curve["seeds"].max() or 1)  # type: ignore[arg-type]
    x = curve["env_steps"]
    figure = go.Figure()
    if seeds > 1:
        figure.add_scatter(x=x, y=curve["high"], line={"width": 0}, showlegend=False)
        figure.add_scatter(
            x=x, y=curve["low"], line={"width": 0}, fill="tonexty",
            fillcolor="rgba(31,95,168,0.15)", name=f"range of {seeds} seeds",
        )  # fmt: skip
    figure.add_scatter(
        x=x, y=curve["value"], name="per update", mode="lines",
        line={"color": "rgba(31,95,168,0.35)", "width": 1},
    )  # fmt: skip
    figure.add_scatter(
        x=x, y=smooth, name=f"mean of {window} updates" if window > 1 else "learned",
        mode="lines", line={"color": BLUE, "width": 2.5},
    )  # fmt: skip
    for (name, level), dash in zip(goals.items(), cycle(("dash", "dot", "dashdot"))):
        figure.add_scatter(
            x=[x.min(), x.max()], y=[level, level], mode="lines", name=people_name(name),
            line={"color": GRAY, "dash": dash, "width": 1.5},
        )  # fmt: skip
    figure.update_xaxes(title_text="environment steps")
    figure.update_yaxes(title_text=f"{people_name(metric)} ({unit})" if unit else metric)
    caption = (
        "Each point averages the episodes that ended in one update of training. "
        "A curve that has stopped rising has learned what it can at these settings."
    )
    if goals:
        caption += " Dashed: what the baselines reached in the evaluation."
    if seeds > 1:
        caption += f" Shaded: lowest and highest of {seeds} training seeds."
    title = f"{capitalized(agent_type)}: {people_name(metric)} while learning"
    return Picture(title, caption, style(figure), f"learning-{agent_type}-{metric}")


def diagnostics(learning: pl.DataFrame, agent_type: str, metrics: Sequence[str]) -> Picture | None:
    """Small panels of the training metrics of one agent type; None if it has none of them."""
    rows = learning.filter((pl.col("group") == "agents") & (pl.col("agent_type") == agent_type))
    names = [name for name in metrics if name in set(rows["metric"])]
    if not names:
        return None
    figure = make_subplots(
        rows=len(names), cols=1, shared_xaxes=True, vertical_spacing=0.18 / len(names),
        subplot_titles=[people_name(name) for name in names],
    )  # fmt: skip
    for number, name in enumerate(names, start=1):
        curve = (
            rows.filter(pl.col("metric") == name)
            .group_by("update", maintain_order=True)
            .agg(pl.col("env_steps").first(), pl.col("value").mean())
        )
        figure.add_scatter(
            x=curve["env_steps"], y=curve["value"], mode="lines", showlegend=False,
            line={"color": BLUE, "width": 1.5}, name=people_name(name), row=number, col=1,
        )  # fmt: skip
    figure.update_xaxes(title_text="environment steps", row=len(names), col=1)
    style(figure, height=90 + 120 * len(names))
    figure.update_annotations(font_size=12, x=0, xanchor="left")
    caption = (
        "Healthy training: entropy falls slowly, explained variance rises towards 1, the clip "
        "fraction stays below about 0.3 and the KL divergence of an update near 0.01."
    )
    title = f"{capitalized(agent_type)}: training diagnostics"
    return Picture(title, caption, figure, f"diagnostics-{agent_type}")


def intervals(results: Sequence[PolicyResult]) -> Picture:
    """Mean of one measure under each policy set with its interval."""
    first = results[0]
    shown = list(reversed(results))
    colors = [BLUE if r.policy == LEARNED else GRAY for r in shown]
    figure = go.Figure(
        go.Scatter(
            x=[r.mean.value for r in shown],
            y=[people_name(r.policy) for r in shown],
            error_x={
                "type": "data", "symmetric": False, "thickness": 2, "width": 6, "color": INK,
                "array": [r.mean.high - r.mean.value for r in shown],
                "arrayminus": [r.mean.value - r.mean.low for r in shown],
            },
            mode="markers", marker={"size": 12, "color": colors},
            customdata=[[r.mean.low, r.mean.high, r.mean.num_samples] for r in shown],
            hovertemplate=(
                "%{y}: %{x:.4g}<br>95 % interval %{customdata[0]:.4g} to %{customdata[1]:.4g}"
                "<br>%{customdata[2]} episodes<extra></extra>"
            ),
        )
    )  # fmt: skip
    measure = first.measure
    better = {1: "Right is better", -1: "Left is better", 0: ""}[measure.sign]
    figure.update_xaxes(title_text=measure.unit or measure.label, zeroline=True)
    style(figure, height=110 + 46 * len(shown))
    figure.update_yaxes(range=[-0.6, len(shown) - 0.4])
    figure.update_layout(showlegend=False, margin_t=28)
    caption = (
        f"{better + ': mean' if better else 'Mean'} over {first.mean.num_samples} held-out "
        f"episodes with a {first.mean.level:.0%} bootstrap interval. All policies saw the same "
        "episodes, so judge by the paired difference in the table rather than by overlap."
    )
    title = f"{capitalized(first.agent_type)}: {measure.label}"
    return Picture(title, caption, figure, f"result-{first.agent_type}-{measure.name}")

"""Figures of a recorded episode: mid, quotes and fills above, inventories below."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import plotly.graph_objects as go
import polars as pl
from plotly.subplots import make_subplots

from lob_analysis.agents.results import LEARNED
from lob_analysis.pages.plots import INK, PALETTE, Picture, capitalized, people_name, style


def episode(rows: pl.DataFrame, policy: str, replaced: str = "") -> Picture:
    """The recorded episode of one policy: mid, quotes and fills above, inventory below.

    Args:
        rows: `Run.episodes` of that policy.
        policy: its name.
        replaced: agent type that it plays; empty if all play as learned.
    """
    figure = make_subplots(
        rows=2, cols=1, shared_xaxes=True, row_heights=[0.68, 0.32], vertical_spacing=0.05
    )
    market = rows.unique("step", maintain_order=True).sort("step")
    band: dict[str, Any] = {
        "mode": "lines",
        "line": {"width": 0, "shape": "hv"},
        "hoverinfo": "skip",
    }
    if {"best_bid", "best_ask"} <= set(rows.columns):
        figure.add_scatter(x=market["step"], y=market["best_ask"], showlegend=False, **band)
        figure.add_scatter(
            x=market["step"], y=market["best_bid"], name="best bid to ask", fill="tonexty",
            fillcolor="rgba(138,143,152,0.25)", **band,
        )  # fmt: skip
    add_mid(figure, rows)
    add_agents(figure, rows)
    figure.update_yaxes(title_text="price (ticks)", row=1, col=1)
    figure.update_yaxes(title_text="inventory (shares)", row=2, col=1)
    figure.update_xaxes(title_text="step", row=2, col=1)
    style(figure, height=560)
    figure.update_layout(legend={"y": -0.14, "yanchor": "top"}, margin_t=28)
    caption = (
        "Above: the mid inside the best quotes (gray), each agent's own quotes as thin lines, its "
        "buys as triangles up and sells as triangles down. Below: what it holds. Drag to zoom, "
        "double-click to reset, click a name to hide it."
    )
    title = policy_title(policy, replaced)
    return Picture(title, caption, figure, f"episode-{policy}-{replaced}")


def policy_title(policy: str, replaced: str) -> str:
    """Who plays in a recorded episode."""
    if replaced:
        return f"{capitalized(policy)} in place of the learned {people_name(replaced)}"
    if policy != LEARNED:
        return f"One episode, all agents as {people_name(policy)}"
    return "One episode, all agents as learned"


def add_mid(figure: go.Figure, rows: pl.DataFrame) -> None:
    """The mid over steps, in the upper panel."""
    market = rows.unique("step", maintain_order=True).sort("step")
    figure.add_scatter(
        x=market["step"], y=market["mid"], name="mid", mode="lines",
        line={"color": INK, "width": 1.6, "shape": "hv"},
    )  # fmt: skip


def add_agents(figure: go.Figure, rows: pl.DataFrame) -> None:
    """Quotes and fills of every agent in the upper panel, inventories in the lower one."""
    agents = rows.select("agent_type", "agent").unique(maintain_order=True).rows()
    for number, (agent_type, agent) in enumerate(agents):
        path = rows.filter((pl.col("agent_type") == agent_type) & (pl.col("agent") == agent)).sort(
            "step"
        )
        name = people_name(agent_type) + (f" {agent}" if _is_many(agents, agent_type) else "")
        _add_agent(figure, path, name, PALETTE[number % len(PALETTE)])


def _is_many(agents: Sequence[tuple[str, int]], agent_type: str) -> bool:
    return sum(name == agent_type for name, _ in agents) > 1


def _add_agent(figure: go.Figure, path: pl.DataFrame, name: str, color: str) -> None:
    columns = set(path.columns)
    for quote in ("bid_quote", "ask_quote"):
        if quote in columns:
            level = path.select(pl.when(pl.col(quote) > 0).then(pl.col(quote)))[quote]
            if level.is_not_null().any():
                figure.add_scatter(
                    x=path["step"], y=level, name=f"{name} quotes", legendgroup=f"{name} quotes",
                    showlegend=quote == "bid_quote" or path["bid_quote"].max() == 0,
                    line={"color": color, "width": 1, "shape": "hv"}, opacity=0.75,
                    connectgaps=False, mode="lines",
                )  # fmt: skip
    for column, price, symbol in (
        ("bought", "buy_price", "triangle-up"),
        ("sold", "sell_price", "triangle-down"),
    ):
        if column not in columns:
            continue
        fills = path.filter(pl.col(column) > 0)
        if fills.is_empty():
            continue
        figure.add_scatter(
            x=fills["step"], y=fills[price if price in columns else "mid"],
            mode="markers", name=f"{name} {column}",
            marker={
                "symbol": symbol, "size": 9, "color": color, "line": {"width": 1, "color": "white"},
            },
            customdata=fills[column],
            hovertemplate=f"{name} {column} %{{customdata}} at %{{y}}<extra></extra>",
        )  # fmt: skip
    if "inventory" in columns:
        figure.add_scatter(
            x=path["step"], y=path["inventory"], name=f"{name} inventory", showlegend=False,
            mode="lines",
            line={"color": color, "width": 2, "shape": "hv"}, row=2, col=1,
        )  # fmt: skip

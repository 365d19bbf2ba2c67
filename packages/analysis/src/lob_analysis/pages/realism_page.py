"""A page that shows a simulated market beside a real one."""

from __future__ import annotations

from typing import Final

import numpy as np
import plotly.graph_objects as go
import polars as pl
from plotly.subplots import make_subplots

from lob_analysis.market.distances import l1_edges
from lob_analysis.market.impact import response
from lob_analysis.market.quality import SECOND, intraday, quality_summary, with_measures
from lob_analysis.market.quantities import QUANTITIES
from lob_analysis.market.stylized import stylized_facts
from lob_analysis.pages.markup import escape, folded, number, picture, section, table
from lob_analysis.pages.plots import BLUE, GRAY, INK, RED, Picture, people_name, style
from lob_analysis.pages.report import page

_DISTANCES: Final = {
    "l1": ("L1 scores", "share of probability"),
    "wasserstein": ("Wasserstein-1 scores", "standard deviations"),
    "response": ("Impact scores", "mean gap between responses, spreads"),
}
"""Title and unit of each distance."""
_DAY: Final = (
    ("messages", "messages"),
    ("volume", "shares traded"),
    ("spread", "spread (ticks)"),
    ("touch_depth", "depth at the touch (shares)"),
    ("volatility", "volatility (ticks)"),
)
SHOWN = ("spread", "orderbook_imbalance", "log_inter_arrival_time", "limit_order_size")


def score_picture(scores: pl.DataFrame, distance: str) -> Picture:
    """Scores of one distance with intervals, beside the floor."""
    rows = scores.filter(pl.col("distance") == distance).reverse()
    names = [people_name(name) for name in rows["score"]]
    figure = go.Figure()
    figure.add_bar(
        y=names, x=rows["floor_high"], orientation="h", name="floor: real against real",
        marker={"color": "rgba(138,143,152,0.35)"},
    )  # fmt: skip
    figure.add_scatter(
        y=names, x=rows["value"], mode="markers", name="simulated against real",
        marker={"size": 9, "color": [RED if x else BLUE for x in rows["told_apart"]]},
    )  # fmt: skip
    lines = [(x, name) for row, name in zip(rows.iter_rows(named=True), names, strict=True)
             for x in (row["low"], row["high"], None)]  # fmt: skip
    figure.add_scatter(
        y=[name for _, name in lines], x=[x for x, _ in lines], mode="lines",
        line={"color": INK, "width": 2}, name="95 % interval", hoverinfo="skip",
    )  # fmt: skip
    title, unit = _DISTANCES[distance]
    figure.update_xaxes(title_text=f"distance ({unit})", rangemode="tozero")
    style(figure, height=130 + 26 * len(names))
    caption = (
        "0 is a perfect simulation. The gray bar ends where 95 % of comparisons of real data with "
        "itself end; a red point lies beyond it, so the simulation can be told from the market by "
        "that quantity alone. Intervals resample both markets, which adds distance, so they lie "
        "somewhat above small scores."
    )
    return Picture(title, caption, figure, f"scores-{distance}")


def histogram_picture(real: pl.DataFrame, sim: pl.DataFrame) -> Picture:
    """Distributions of a few quantities, real against simulated."""
    frames = with_measures(real), with_measures(sim)
    figure = make_subplots(
        rows=len(SHOWN), cols=1, vertical_spacing=0.09,
        subplot_titles=[f"{people_name(name)} ({QUANTITIES[name][1]})" for name in SHOWN],
    )  # fmt: skip
    for row, name in enumerate(SHOWN, start=1):
        quantity = QUANTITIES[name][0]
        values = [quantity(frame).drop_nulls()["value"].to_numpy() for frame in frames]
        edges = l1_edges(values[0])
        edges = np.concatenate([[min(edges[0], values[1].min())], edges, [values[1].max()]])
        edges = np.unique(np.clip(edges, *np.quantile(np.concatenate(values), [0.002, 0.998])))
        for sample, label, color in zip(values, ("real", "simulated"), (GRAY, BLUE), strict=True):
            share = np.histogram(sample, edges)[0] / sample.size
            figure.add_scatter(
                x=edges, y=np.append(share, share[-1:]), name=label, legendgroup=label,
                showlegend=row == 1, mode="lines", row=row, col=1,
                line={"color": color, "width": 2, "shape": "hv"},
            )  # fmt: skip
        figure.update_yaxes(title_text="share", row=row, col=1)
    style(figure, height=180 * len(SHOWN) + 60)
    figure.update_layout(legend_y=1.04)
    figure.update_annotations(font_size=12, x=0, xanchor="left")
    caption = (
        "Share of events in each bin. Bins are those of the L1 score, chosen on the real data; "
        "where the lines lie on each other the simulation is right."
    )
    return Picture("Distributions", caption, figure, "distributions")


def response_picture(real: pl.DataFrame, sim: pl.DataFrame) -> Picture:
    """Price response to the six kinds of event, in spreads."""
    figure = make_subplots(
        rows=3, cols=1, shared_xaxes=True, vertical_spacing=0.08,
        subplot_titles=("market orders", "limit orders", "cancellations"),
    )  # fmt: skip
    for events, label, color in ((real, "real", GRAY), (sim, "simulated", BLUE)):
        spread = float((events["ask_price"] - events["bid_price"]).to_numpy().mean())
        curves = response(events)
        for row, kind in enumerate(("market order", "limit order", "cancellation"), start=1):
            for moves, dash in ((False, "dot"), (True, "solid")):
                curve = curves.filter((pl.col("kind") == kind) & (pl.col("moves") == moves))
                name = f"{label}, {'moves' if moves else 'does not move'} the mid"
                figure.add_scatter(
                    x=curve["lag"], y=curve["response"] / spread, name=name, legendgroup=name,
                    showlegend=row == 1, row=row, col=1, mode="lines+markers",
                    error_y={"array": 1.96 * curve["error"] / spread, "thickness": 1, "width": 2},
                    line={"color": color, "dash": dash, "width": 2}, marker={"size": 5},
                )  # fmt: skip
            figure.update_yaxes(title_text="spreads", row=row, col=1)
    figure.update_xaxes(type="log", dtick=1)
    figure.update_xaxes(title_text="events after", row=3, col=1)
    style(figure, height=640)
    figure.update_layout(legend={"y": -0.1, "yanchor": "top"})
    figure.update_annotations(font_size=12, x=0, xanchor="left")
    caption = (
        "How far the mid moves in the direction of an event, in mean spreads of that market, with "
        "95 % intervals that count overlapping windows as independent. A "
        "simulation whose impact dies out or grows without end is unfit for training agents that "
        "trade large orders."
    )
    return Picture("Impact: price response to six kinds of event", caption, figure, "response")


def day_picture(real: pl.DataFrame, sim: pl.DataFrame) -> Picture:
    """Activity, spread, depth and volatility over the day in intervals of ten minutes."""
    figure = make_subplots(
        rows=len(_DAY), cols=1, shared_xaxes=True, vertical_spacing=0.06,
        subplot_titles=[title for _, title in _DAY],
    )  # fmt: skip
    for events, label, color in ((real, "real", GRAY), (sim, "simulated", BLUE)):
        shape = intraday(events)
        hours = shape["time_ns"] / (3600 * SECOND)
        for row, (column, _) in enumerate(_DAY, start=1):
            figure.add_scatter(
                x=hours, y=shape[column], name=label, legendgroup=label, showlegend=row == 1,
                mode="lines+markers", marker={"size": 4}, row=row, col=1,
                line={"color": color, "width": 2},
            )  # fmt: skip
    figure.update_yaxes(rangemode="tozero")
    figure.update_xaxes(title_text="time of day (hours)", row=len(_DAY), col=1)
    style(figure, height=150 * len(_DAY) + 60)
    figure.update_layout(legend_y=1.04)
    figure.update_annotations(font_size=12, x=0, xanchor="left")
    caption = (
        "Intervals of ten minutes. Real markets are busiest and most volatile after the open and "
        "before the close, and their spread narrows over the morning. A model with constant rates "
        "draws flat lines. The first and the last interval may be incomplete."
    )
    return Picture("Shape of the day", caption, figure, "day")


def score_table(scores: pl.DataFrame) -> str:
    """All scores as HTML."""
    rows = []
    for row in scores.iter_rows(named=True):
        kind, word = ("bad", "told apart") if row["told_apart"] else ("good", "within the floor")
        rows.append(
            [
                escape(people_name(row["score"])),
                escape({"l1": "L1", "wasserstein": "W1", "response": "gap"}[row["distance"]]),
                f"{number(row['value'])} <small>({number(row['low'])} to {number(row['high'])})"
                "</small>",
                f"{number(row['floor'])} <small>(up to {number(row['floor_high'])})</small>",
                f"<span class='{kind}'>{word}</span>",
            ]
        )
    head = ["Quantity", "Distance", "Simulated against real", "Real against real", "Verdict"]
    return table(head, rows, numeric=2)


def render_realism(real: pl.DataFrame, sim: pl.DataFrame, scores: pl.DataFrame, title: str) -> str:
    """The whole page.

    Args:
        real: event table of real data.
        sim: event table of simulated data.
        scores: their `realism_scores`.
        title: of the page.
    """
    told = int(scores["told_apart"].sum())
    facts = stylized_facts(real).join(
        stylized_facts(sim), on="fact", suffix="_sim", maintain_order="left"
    )
    fact_rows = [
        [escape(row["fact"]), _with_error(row, ""), _with_error(row, "_sim"), row["expected"]]
        for row in facts.iter_rows(named=True)
    ]
    quality = zip(quality_summary(real).items(), quality_summary(sim).values(), strict=True)
    quality_rows = [[escape(people_name(k)), number(a), number(b)] for (k, a), b in quality]
    body = (
        f"<header><h1>{escape(title)}</h1><p class=lead>{told} of {scores.height} scores tell the "
        f"simulation ({sim.height:,} events) from the real data ({real.height:,} events).</p>"
        "</header><main>"
        + section(
            "Scores",
            "".join(picture(score_picture(scores, name)) for name in _DISTANCES)
            + folded("All scores", score_table(scores)),
            "scores",
        )
        + section("Distributions", picture(histogram_picture(real, sim)), "distributions")
        + section("Impact", _absent(real, sim) + picture(response_picture(real, sim)), "impact")
        + section("The day", picture(day_picture(real, sim)), "day")
        + section(
            "Stylized facts",
            table(["Fact", "Real", "Simulated", "Real markets show"], fact_rows),
            "facts",
        )
        + section(
            "Market quality", table(["Measure", "Real", "Simulated"], quality_rows), "quality"
        )
        + "</main>"
    )
    return page(title, body)


def _absent(real: pl.DataFrame, sim: pl.DataFrame) -> str:
    """A notice about kinds of event that the simulated market never had."""
    kinds = [set(response(x).select("kind", "moves").rows()) for x in (real, sim)]
    names = [
        f"{kind} that {'moves' if moves else 'does not move'} the mid"
        for kind, moves in sorted(kinds[0] - kinds[1])
    ]
    text = f"The simulated market has no {', no '.join(names)}."
    return f"<p class=notice>{text}</p>" if names else ""


def _with_error(row: dict[str, float | None], suffix: str) -> str:
    value, error = row[f"value{suffix}"], row[f"error{suffix}"]
    if value is None:
        return "too short"
    return number(value) + (f" <small>± {number(error)}</small>" if error else "")

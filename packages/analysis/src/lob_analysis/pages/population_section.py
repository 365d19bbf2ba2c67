"""The part of a run report about populations: self-play, population-based training, PSRO."""

from __future__ import annotations

from itertools import cycle
from typing import Final

import numpy as np
import plotly.graph_objects as go
import polars as pl
from plotly.subplots import make_subplots

from lob_analysis.pages.cross_play import cross_play_part
from lob_analysis.pages.markup import escape, folded, number, picture, section, table
from lob_analysis.pages.plots import (
    BLUE,
    GRAY,
    GREEN,
    INK,
    PALETTE,
    Picture,
    agent_name,
    people_name,
    style,
)
from lob_analysis.runs.load import Run
from lob_analysis.statistics.comparisons import wilson

_WINS: Final = [[0, "#c0392b"], [0.5, "#ffffff"], [1, "#1a7f52"]]


def population_section(run: Run) -> str:
    """What tables of populations and their cross-play say; empty for plain training."""
    parts = []
    if "win_rates" in run.populations:
        rates = run.populations["win_rates"]
        num_matches = run.config.get("selfplay", {}).get("num_matches")
        parts += [picture(item) for item in win_pictures(rates, num_matches)]
        parts.append(last_round(rates, num_matches))
    if "lineage" in run.populations:
        parts.append(picture(lineage_picture(run.populations["lineage"])))
    if "psro" in run.populations:
        parts += [picture(gap_picture(run.populations["psro"]))]
        parts.append(mixture_table(run.populations["psro"]))
    if "population" in run.studies:
        parts.append(cross_play_part(run.studies["population"]))
    return section("The population", "".join(parts), "population")


def win_pictures(rates: pl.DataFrame, num_matches: int | None = None) -> list[Picture]:
    """Win rate of the newest policy of each learner against every snapshot it met.

    Args:
        rates: rows of `win_rates.parquet`.
        num_matches: matches behind each rate; None draws the last round without intervals.
    """
    pictures = []
    for (learner, opponent), part in rates.group_by("learner", "opponent", maintain_order=True):
        name, other = agent_name(str(learner)), agent_name(str(opponent))
        last = part.filter(pl.col("round") == pl.col("round").max())
        figure = make_subplots(
            rows=1, cols=2, shared_yaxes=True, column_widths=[0.6, 0.4], horizontal_spacing=0.04
        )
        figure.add_trace(_wins_by_round(part, num_matches), row=1, col=1)
        figure.add_trace(_wins_of_round(last, num_matches), row=1, col=2)
        figure.add_vline(x=0.5, line={"color": GRAY, "dash": "dot", "width": 1.5}, row=1, col=2)
        style(figure, height=380).update_layout(
            margin_t=64, showlegend=False, plot_bgcolor="#eef0f2"
        )
        figure.update_xaxes(zeroline=False, showgrid=False, ticks="")
        figure.update_yaxes(zeroline=False, showgrid=False)
        step = -(-int(part["round"].n_unique()) // 10)
        figure.update_xaxes(title_text="round", title_standoff=None, dtick=step, row=1, col=1)
        figure.update_xaxes(
            title_text=f"wins in round {last['round'][0]}", range=[-0.04, 1.04], tickformat=".0%",
            tickvals=[0, 0.5, 1], row=1, col=2,
        )  # fmt: skip
        figure.update_yaxes(title_text="snapshot of round", dtick=step, row=1, col=1)
        caption = (
            f"Share of matches that the newest {name} wins against snapshots of the {other}. "
            "Green along the lower rows: old opponents stay beaten. Red that returns there: "
            "learning goes in circles. Right: the last round"
        )
        if num_matches:
            caption += (
                f" with 95 % Wilson intervals of {num_matches} matches; where one contains one "
                "half, neither is shown to be better"
            )
        title = f"Win rate of the {name} against each {other}"
        pictures.append(Picture(title, f"{caption}.", figure, f"wins-{learner}-{opponent}"))
    return pictures


def _wins_by_round(rates: pl.DataFrame, num_matches: int | None) -> go.Heatmap:
    """Win rates of all rounds, snapshots upwards."""
    wide = rates.pivot("round", index="born", values="win_rate", aggregate_function="mean")
    wide = wide.sort("born")
    rounds = [name for name in wide.columns if name != "born"]
    shares = wide.select(rounds).rows()
    return go.Heatmap(
        x=[int(name) for name in rounds], y=wide["born"], z=shares, zmin=0, zmax=1,
        colorscale=_WINS, xgap=1, ygap=1,
        colorbar={
            "orientation": "h", "thickness": 8, "len": 0.5, "x": 0, "xanchor": "left", "y": 1.02,
            "yanchor": "bottom", "ticklabelposition": "outside top", "tickformat": ".0%",
            "tickvals": [0, 0.5, 1], "title": {"text": "wins", "side": "top"},
        },
        customdata=[[_wins(share, num_matches) for share in line] for line in shares],
        hovertemplate="round %{x} against the snapshot of round %{y}: %{customdata}"
        "<extra></extra>",
    )  # fmt: skip


def _wins_of_round(rates: pl.DataFrame, num_matches: int | None) -> go.Scatter:
    """Win rates of one round against each snapshot, with intervals if the matches are known."""
    shares = rates["win_rate"].to_list()
    ends = [wilson(share, num_matches) for share in shares] if num_matches else []
    return go.Scatter(
        x=shares, y=rates["born"], mode="markers", marker={"size": 8, "color": BLUE},
        error_x={
            "type": "data", "symmetric": False, "thickness": 1.5, "width": 4, "color": INK,
            "array": [high - share for share, (_, high) in zip(shares, ends, strict=True)],
            "arrayminus": [share - low for share, (low, _) in zip(shares, ends, strict=True)],
        } if ends else None,
        customdata=[_wins(share, num_matches) for share in shares],
        hovertemplate="against the snapshot of round %{y}: %{customdata}<extra></extra>",
    )  # fmt: skip


def _wins(share: float | None, num_matches: int | None) -> str:
    """A win rate, with its Wilson interval if the matches are known."""
    if share is None or not num_matches:
        return "" if share is None else f"{share:.0%}"
    low, high = wilson(share, num_matches)
    return f"{share:.0%} ({low:.0%} to {high:.0%})"


def last_round(rates: pl.DataFrame, num_matches: int | None) -> str:
    """Win rates of the last round with Wilson intervals where the matches are known."""
    rows = [
        [
            *(escape(people_name(row[key])) for key in ("learner", "opponent")),
            str(row["born"]),
            _wins(row["win_rate"], num_matches),
        ]
        for row in rates.filter(pl.col("round") == pl.col("round").max()).iter_rows(named=True)
    ]
    head = ["Newest", "Against", "Snapshot of round", "Wins (95 % interval)"]
    return folded("The last round in numbers", table(head, rows, numeric=2))


def founders(lineage: pl.DataFrame) -> list[int]:
    """Founders that still have descendants after each generation.

    Args:
        lineage: columns generation, member, parent (the member that it continues).
    """
    counts = []
    ancestor: dict[int, int] | None = None
    for _, part in lineage.sort("generation", "member").group_by("generation", maintain_order=True):
        parents = dict(part.select("member", "parent").iter_rows())
        before = ancestor or {member: member for member in parents}
        ancestor = {member: before[parent] for member, parent in parents.items()}
        counts.append(len(set(ancestor.values())))
    return counts


def lineage_picture(lineage: pl.DataFrame) -> Picture:
    """Scores of a population over generations, and how many founders survive."""
    scores = (
        lineage.group_by("generation")
        .agg(
            pl.col("score").max().alias("best"),
            pl.col("score").median().alias("median"),
            pl.col("score").min().alias("worst"),
        )
        .sort("generation")
    )
    figure = make_subplots(rows=2, cols=1, shared_xaxes=True, row_heights=[0.68, 0.32])
    for name, color in zip(("best", "median", "worst"), (GREEN, BLUE, "#8a8f98"), strict=True):
        figure.add_scatter(
            x=scores["generation"], y=scores[name], name=name, mode="lines+markers",
            line={"color": color, "width": 2}, row=1, col=1,
        )  # fmt: skip
    figure.add_scatter(
        x=scores["generation"], y=founders(lineage), name="founders with descendants",
        mode="lines", line={"color": PALETTE[1], "width": 2, "shape": "hv"}, row=2, col=1,
    )  # fmt: skip
    figure.update_yaxes(title_text="score (reward)", row=1, col=1)
    figure.update_yaxes(title_text="founders", rangemode="tozero", row=2, col=1)
    figure.update_xaxes(title_text="generation", row=2, col=1)
    caption = (
        "Above: scores of the members. Below: how many of the first members have descendants left. "
        "One founder early on means that the population stopped searching; scores that still rise "
        "with several mean that it has not."
    )
    return Picture("Scores and survival", caption, style(figure, height=460), "lineage")


def gap_picture(psro: pl.DataFrame) -> Picture:
    """What the best responses of each iteration gained."""
    figure = go.Figure()
    figure.add_scatter(
        x=psro["iteration"], y=psro["gap"], name="all types (gap)", mode="lines+markers",
        line={"color": BLUE, "width": 2.5},
    )  # fmt: skip
    gains = psro["gains"].struct.unnest()
    for name, color in zip(gains.columns, cycle(PALETTE[1:])):
        figure.add_scatter(
            x=psro["iteration"], y=gains[name], name=people_name(name), mode="lines+markers",
            line={"color": color, "width": 1.5, "dash": "dot"},
        )  # fmt: skip
    figure.update_xaxes(title_text="iteration", dtick=-(-len(psro) // 10))
    figure.update_yaxes(title_text="gain (reward)", rangemode="tozero")
    caption = (
        "What each iteration's best responses gain against the mixture of all policies before "
        "them: a lower bound on its NashConv. It should fall; at zero nothing better was found."
    )
    return Picture("Gain of best responses", caption, style(figure), "psro-gap")


def mixture_table(psro: pl.DataFrame) -> str:
    """The mixture of the last iteration: which policies survive."""
    last = psro.sort("iteration").row(-1, named=True)
    rows = []
    for agent_type, weights in last["mixture"].items():
        kept = [(i, w) for i, w in enumerate(weights) if w > 0.005]
        texts = ", ".join(f"{i}: {w:.0%}" for i, w in kept)
        entropy = float(np.exp(-sum(w * np.log(w) for _, w in kept)))
        rows.append(
            [escape(people_name(agent_type)), str(len(weights)), number(entropy), escape(texts)]
        )
    head = ["Agents", "Policies", "Effective number", "Policy by iteration: weight"]
    return "<h3>The last mixture</h3>" + table(head, rows)

"""Pictures of the policies of a run against each other: who beats whom, and who survives."""

from __future__ import annotations

from typing import Any

import numpy as np
import plotly.graph_objects as go

from lob_analysis.pages.game_section import game_part
from lob_analysis.pages.markup import escape, number, picture, table
from lob_analysis.pages.plots import Picture, agent_name, capitalized, people_name, style
from lob_analysis.pages.study_tables import share_text, with_interval

_SCALE = [[0, "#c0392b"], [0.5, "#ffffff"], [1, "#1a7f52"]]


def cross_play_part(study: dict[str, Any]) -> str:
    """What `population.json` says, as a part of the section on populations."""
    facts = [
        *(
            [f"Later policies beat earlier ones in {study['progress']:.0%} of pairs."]
            if study["progress"] is not None
            else []
        ),
        *(
            f"The payoffs of the {escape(agent_name(role))} have effective rank "
            f"{number(entry['effective_rank'])}."
            for role, entry in study["roles"].items()
        ),
    ]
    if study["cyclic_share"] is not None:
        facts.append(
            f"Cyclic share of who beats whom: {with_interval(study['cyclic_share'])}; noise alone "
            f"gives {number(study['cyclic_share_of_noise'])}."
        )
    note = (
        f"<p class=note>Policies kept while the run trained, each against each in the same "
        f"{study['num_episodes']} episodes. {' '.join(facts)}</p>"
    )
    pictures = [contest_picture(study)]
    for role, entry in study["roles"].items():
        if np.ndim(entry["payoffs"]) == 2:
            pictures.append(payoff_picture(study, role))
    game = game_part(study) if study.get("game") else ""
    shown = "".join(map(picture, pictures))
    return f"<h3>Cross-play</h3>{note}{shown}{survivors(study)}{game}"


def _heatmap(
    values: Any,
    x: list[str],
    y: list[str],
    middle: float,
    unit: str,
    hover: str,
    errors: Any,
    text: list[list[str]] | None = None,
) -> go.Figure:
    """Numbers in a grid, with a line of text beneath each, colors on both sides of a middle."""
    limit = float(np.abs(np.asarray(values) - middle).max()) or 1.0
    figure = go.Figure(
        go.Heatmap(
            z=values, x=x, y=y, colorscale=_SCALE, zmin=middle - limit, zmax=middle + limit,
            customdata=errors, text=text, texttemplate="%{z:.3g}" + ("<br>%{text}" if text else ""),
            hovertemplate=hover, xgap=2, ygap=2,
            colorbar={"title": unit, "thickness": 12},
        )
    )  # fmt: skip
    style(figure, height=150 + (46 if text else 36) * len(y)).update_layout(margin_t=28)
    figure.update_xaxes(type="category")
    figure.update_yaxes(type="category", autorange="reversed", title_standoff=4)
    return figure


def contest_picture(study: dict[str, Any]) -> Picture:
    """Which policy set beats which."""
    labels, unit = study["labels"], people_name(study["measure"])
    hover = f"%{{y}} against %{{x}}: %{{z:.4g}} ({unit})"
    between = half_widths = None
    if "contest_low" in study:  # studies written by earlier versions lack it
        low, high = (np.asarray(study[name]) for name in ("contest_low", "contest_high"))
        between = np.stack([low, high], axis=-1).tolist()
        half_widths = [
            [f"± {half:.2g}" if half else "" for half in row] for row in (high - low) / 2
        ]
        hover += "<br>95 % interval %{customdata[0]:.4g} to %{customdata[1]:.4g}"
    hover += "<extra></extra>"
    figure = _heatmap(study["contest"], labels, labels, 0.0, "margin", hover, between, half_widths)
    figure.update_xaxes(title_text="against")
    caption = (
        f"What the types of a row earn among those of a column, less the reverse ({unit}): green "
        "beats. "
    )
    caption += (
        "Members of a population are equally old: rows that are green throughout are the best."
        if study["progress"] is None
        else "Green below the diagonal and red above: later policies beat earlier ones. Green "
        "and red in turns: learning goes in circles."
    )
    if between is not None:
        caption += (
            " Beneath each margin half the width of its 95 % bootstrap interval over episodes; "
            "where that is more than the margin, neither is shown to beat the other."
        )
    return Picture("Who beats whom", caption, figure, "contest")


def payoff_picture(study: dict[str, Any], role: str) -> Picture:
    """What one agent type earns with each of its policies against each of the other's."""
    entry = study["roles"][role]
    axis = list(study["roles"]).index(role)
    other = next(name for name in study["roles"] if name != role)
    payoffs, errors = (np.asarray(entry[key]) for key in ("payoffs", "errors"))
    if axis == 1:
        payoffs, errors = payoffs.T, errors.T
    labels, unit = study["labels"], people_name(study["measure"])
    hover = (
        f"{people_name(role)} %{{y}}, {people_name(other)} %{{x}}: %{{z:.4g}} "
        "± %{customdata:.2g}<extra></extra>"
    )
    middle = float(payoffs.mean())
    figure = _heatmap(payoffs.tolist(), labels, labels, middle, unit, hover, errors)
    figure.update_xaxes(title_text=f"policy of the {agent_name(other)}")
    figure.update_yaxes(title_text=agent_name(role))
    caption = (
        f"Mean result ({unit}); the pointer shows its standard error. Rows that differ: the "
        f"{agent_name(role)} has learned. Columns that differ: the other type matters to it."
    )
    title = f"{capitalized(role)}: result against each policy of the {agent_name(other)}"
    return Picture(title, caption, figure, f"payoffs-{role}")


def survivors(study: dict[str, Any]) -> str:
    """Share of each policy after replicator dynamics, and how far it is from the last one."""
    rows = []
    for index, label in enumerate(study["labels"]):
        cells = [f"<b>{escape(label)}</b>"]
        for entry in study["roles"].values():
            cells.append(share_text(entry["survival"][index]))
            cells.append(share_text(entry["distances"][index][-1]))
        rows.append(cells)
    head = ["Policy"]
    for role in study["roles"]:
        head += [f"{capitalized(role)}: share in the end", "acts unlike the last"]
    note = (
        "<p class=note>Share in the end: of replicator dynamics that start from even shares, the "
        "policies that survive. Acts unlike the last: in how many situations it acts "
        "differently.</p>"
    )
    return table(head, rows) + note

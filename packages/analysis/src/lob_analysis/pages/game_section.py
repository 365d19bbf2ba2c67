"""What game theory says about the policies of a run, for a report and for a terminal."""

from __future__ import annotations

from itertools import product
from typing import Any, Final

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots
from rich.table import Table

from lob_analysis.pages.markup import escape, number, picture, table
from lob_analysis.pages.plots import (
    BLUE,
    PALETTE,
    Picture,
    agent_name,
    capitalized,
    people_name,
    style,
)
from lob_analysis.pages.study_tables import share_text, with_interval

_RANKS: Final = [[0, "#ffffff"], [1, BLUE]]
_SHOWN: Final = 0.01
"""Weights of a mixture below it are not named."""
_TOP: Final = 5


def game_facts(study: dict[str, Any]) -> list[tuple[str, str]]:
    """Pairs of what is told and what the game of a population study says about it.

    Args:
        study: what `population.json` holds.
    """
    game, unit = study["game"], people_name(study["measure"])
    kinds = len(game["equilibria"])
    first = "; ".join(
        f"{people_name(role)} {_mixture(mixture, study['labels'])}"
        for role, mixture in zip(study["roles"], game["equilibria"][0], strict=True)
    )
    title = "Nash equilibrium" if game["is_exact"] else "Near a Nash equilibrium"
    efficient = np.asarray(game["is_efficient"])
    leader = (study["leader"],) * efficient.ndim
    facts = [
        (f"{title}{f' (first of {kinds})' if kinds > 1 else ''}", first),
        (f"NashConv there, within the table ({unit})", with_interval(game["nash_gap"])),
        (
            f"NashConv of {study['labels'][study['leader']]}, within the table ({unit})",
            with_interval(game["leader_gap"]),
        ),
    ]
    if game["history_gap"] is not None:
        facts.append(
            (
                f"Gap of the joint history to a coarse correlated equilibrium ({unit})",
                with_interval(game["history_gap"]),
            )
        )
    on_front = "is on it" if efficient[leader] else "is not on it"
    anarchy = game["anarchy"]
    told = f"not defined: {game['no_anarchy']}" if anarchy is None else number(anarchy)
    return [
        *facts,
        (
            f"Total {unit} of {study['labels'][study['leader']]}, and of the best coarse "
            "correlated equilibrium",
            f"{number(game['leader_welfare'])}, {number(game['best_welfare'])}",
        ),
        ("Price of anarchy", told),
        (
            f"Total {unit} lost to the worst equilibrium, against the best profile",
            number(game["welfare_loss"]),
        ),
        (
            "Pareto front",
            f"{int(efficient.sum())} of {efficient.size} profiles; "
            f"{study['labels'][study['leader']]} {on_front}",
        ),
        (f"Alpha-rank (alpha {number(game['alpha'])}), most time at", _top(study)),
    ]


def _mixture(weights: list[float], labels: list[str]) -> str:
    kept = [(w, label) for w, label in zip(weights, labels, strict=True) if w >= _SHOWN]
    return ", ".join(f"{label} ({w:.0%})" for w, label in sorted(kept, key=lambda x: -x[0]))


def _top(study: dict[str, Any]) -> str:
    ranks = np.asarray(study["game"]["alpha_rank"])
    order = np.argsort(-ranks, axis=None, kind="stable")[:_TOP]
    texts = []
    for flat in order:
        place = np.unravel_index(flat, ranks.shape)
        if ranks[place] >= _SHOWN:
            names = " / ".join(study["labels"][i] for i in place)
            texts.append(f"{names} ({share_text(float(ranks[place]))})")
    return ", ".join(texts)


def game_view(study: dict[str, Any]) -> Table:
    """The game of a population study for a terminal."""
    shown = Table(
        title=f"The game among these policies ({', '.join(map(people_name, study['roles']))})",
        title_justify="left",
        title_style="bold",
        show_header=False,
    )
    for fact in game_facts(study):
        shown.add_row(*fact)
    return shown


def game_part(study: dict[str, Any]) -> str:
    """The game of a population study, as a part of the section on populations."""
    rows = [[escape(name), escape(value)] for name, value in game_facts(study)]
    note = (
        "<p class=note>Each policy is a strategy, each agent type a player, and mean results are "
        "the payoffs. All of it holds among these policies only; a search for better ones is what "
        "<code>lob-analysis exploit</code> does. Gaps are biased upwards by "
        "noise, because a best reply is the largest of several noisy means; intervals are over "
        "episodes.</p>"
    )
    facts = table(["Of the game", "Among these policies"], rows, numeric=2)
    pictures = [survival_picture(study)]
    if np.ndim(study["game"]["alpha_rank"]) == 2:
        pictures.insert(0, rank_picture(study))
    if len(study["labels"]) > 2:
        pictures.append(contest_triangle(study))
    shown = "".join(map(picture, pictures))
    return f"<h3>The game among them</h3>{note}{facts}{shown}"


def rank_picture(study: dict[str, Any]) -> Picture:
    """Alpha-rank of every profile of two roles, with the Pareto front."""
    game, labels = study["game"], study["labels"]
    rows, columns = map(agent_name, study["roles"])
    marks = np.where(np.asarray(game["is_efficient"]), "◆", "")
    ranks = 100 * np.asarray(game["alpha_rank"])
    figure = go.Figure(
        go.Heatmap(
            z=ranks, x=labels, y=labels, colorscale=_RANKS, zmin=0, text=marks,
            texttemplate="%{text}", xgap=2, ygap=2,
            colorbar={"title": "% of time", "thickness": 12},
            hovertemplate=f"{rows} %{{y}}, {columns} %{{x}}: %{{z:.3g}} % of time<extra></extra>",
        )
    )  # fmt: skip
    style(figure, height=170 + 36 * len(labels)).update_layout(margin_t=28)
    figure.update_xaxes(type="category", title_text=f"policy of the {columns}")
    figure.update_yaxes(type="category", autorange="reversed", title_text=rows, title_standoff=4)
    caption = (
        "Share of time that an evolving pair of populations spends at each pair of policies "
        "(alpha-rank). Dark in one corner: the last policies are where evolution stays. Several "
        "dark cells: it wanders among them. Diamonds are on the Pareto front: nothing is better "
        "for one type without being worse for the other."
    )
    return Picture("Where evolution stays", caption, figure, "alpha-rank")


def survival_picture(study: dict[str, Any]) -> Picture:
    """Shares of policies over time in replicator dynamics, a panel for every role."""
    roles = study["roles"]
    figure = make_subplots(
        rows=len(roles), cols=1, shared_xaxes=True, vertical_spacing=0.12,
        subplot_titles=[capitalized(role) for role in roles],
    )  # fmt: skip
    for (row, entry), (index, label) in product(
        enumerate(roles.values(), start=1), enumerate(study["labels"])
    ):
        path = 100 * np.asarray(entry["survival_path"])[:, index]
        figure.add_scatter(
            x=np.linspace(0.0, study["survival_time"], len(path)), y=path,
            name=label, legendgroup=label, showlegend=row == 1, mode="lines",
            line={"color": PALETTE[index % len(PALETTE)], "width": 2,
                  "dash": ("solid", "dot")[index // len(PALETTE) % 2]},
            hovertemplate=f"{label}: %{{y:.3g}} %<extra></extra>", row=row, col=1,
        )  # fmt: skip
    style(figure, height=120 + 170 * len(roles))
    figure.update_layout(margin_t=72, legend_y=1.08)
    figure.update_yaxes(title_text="share (%)", range=[0, 101])
    figure.update_xaxes(title_text="time (replicator dynamics, from even shares)", row=len(roles))
    figure.update_annotations(font_size=12, x=0, xanchor="left")
    caption = (
        "Policies that earn more than the average of their type grow. A line that rises to 100 %: "
        "one policy takes over. Lines that keep crossing: none is best against what the others "
        "have become."
    )
    return Picture("Who survives", caption, figure, "survival")


def contest_triangle(study: dict[str, Any]) -> Picture:
    """Replicator dynamics among three policy sets by who beats whom: first, middle and last."""
    from lob_analysis.pages.simplex import simplex_picture  # needs JAX, reports do without

    size = len(study["labels"])
    chosen = [0, size // 2, size - 1]
    contest = np.asarray(study["contest"])[np.ix_(chosen, chosen)]
    scaled = contest / (float(np.abs(contest).max()) or 1.0)
    made = simplex_picture(scaled, [study["labels"][i] for i in chosen])
    caption = f"Payoffs: by how much one set of policies beats another. {made.caption}"
    return Picture("Three of them in one population", caption, made.figure, "contest-triangle")

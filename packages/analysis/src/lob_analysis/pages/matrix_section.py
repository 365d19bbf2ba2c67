"""The part of a run report that shows every combination of learned and rule-based policies."""

from __future__ import annotations

import plotly.graph_objects as go
import polars as pl

from lob_analysis.agents.results import LEARNED, PolicyResult, compare_policies, headline
from lob_analysis.pages.markup import escape, number, picture, section, table, with_interval
from lob_analysis.pages.plots import (
    BLUE,
    GRAY,
    INK,
    Picture,
    agent_name,
    capitalized,
    people_name,
    style,
)
from lob_analysis.runs.load import Run


def matrix_results(matrix: pl.DataFrame) -> dict[str, list[PolicyResult]]:
    """Results of each agent type by combination; all learned is called `learned`.

    Args:
        matrix: rows of `matrix.parquet`.

    Returns:
        By agent type, on the measure that ranks it: a result for each combination, with the
        paired difference "all learned minus this combination".
    """
    is_learned = (pl.col("policy") == LEARNED).all().over("combination")
    labeled = matrix.with_columns(
        policy=pl.when(is_learned).then(pl.lit(LEARNED)).otherwise("combination")
    )
    found = {}
    for agent_type in labeled["agent_type"].unique(maintain_order=True):
        measure = headline(labeled, agent_type)
        if measure is not None:
            found[agent_type] = compare_policies(labeled, agent_type, measure)
    return found


def matrix_section(run: Run) -> str:
    """Who does how well against whom; nothing for runs with one agent type."""
    matrix = run.matrix
    if matrix is None or matrix["agent_type"].n_unique() < 2:
        return ""
    players = _players(matrix)
    results = {name: rows for name, rows in matrix_results(matrix).items() if rows}
    if not results:
        return ""
    labels = list(dict.fromkeys(row.policy for rows in results.values() for row in rows))
    by_place = {(name, row.policy): row for name, rows in results.items() for row in rows}
    cells = [
        [
            *(escape(people_name(players[label].get(name, ""))) for name in results),
            *(_cell(by_place.get((name, label))) for name in results),
        ]
        for label in labels
    ]
    head = [capitalized(name) for name in results]
    for name, rows in results.items():
        measure = rows[0].measure
        head.append(f"{capitalized(name)}: {measure.label}, {measure.unit}")
    num_episodes = next(iter(results.values()))[0].mean.num_samples
    note = (
        f"<p class=note>Every combination of learned policies and first baselines in the same "
        f"{num_episodes} episodes. Each number in brackets is a 95 % interval of the mean; beneath "
        "it, how much better or worse the type does than if all play as learned, episode by "
        "episode. Read down a type's column: it shows what that type owes to its own policy and "
        "what to who else is in the market.</p>"
    )
    pictures = "".join(picture(matrix_picture(rows, players)) for rows in results.values())
    body = note + table(head, cells, numeric=len(results)) + pictures
    return section("Who plays against whom", body, "matrix")


def _players(matrix: pl.DataFrame) -> dict[str, dict[str, str]]:
    """By combination (`learned` if all are), which policy plays each agent type."""
    players: dict[str, dict[str, str]] = {}
    rows = matrix.select("combination", "agent_type", "policy").unique(maintain_order=True).rows()
    for combination, agent_type, policy in rows:
        players.setdefault(combination, {})[agent_type] = policy
    return {
        LEARNED if set(seats.values()) == {LEARNED} else label: seats
        for label, seats in players.items()
    }


def _cell(row: PolicyResult | None) -> str:
    if row is None:
        return ""
    text = with_interval(row.mean)
    if row.difference is None:
        return text
    low, high = 0.0 - row.difference.high, 0.0 - row.difference.low
    gain = 0.0 - row.difference.value
    better = row.measure.sign * gain
    kind = "" if low <= 0 <= high else "good" if better > 0 else "bad"
    moved = f"{gain:+.4g} <small>({number(low)} to {number(high)})</small>"
    return f"{text}<div class='{kind}'>{moved}</div>"


def matrix_picture(rows: list[PolicyResult], players: dict[str, dict[str, str]]) -> Picture:
    """One agent type's result in every combination with intervals."""
    first = rows[0]
    shown = list(reversed(rows))
    names = ["<br>".join(map(people_name, players[r.policy].values())) for r in shown]
    seats = ", then that of the ".join(map(agent_name, players[first.policy]))
    is_own = [players[r.policy].get(first.agent_type) == LEARNED for r in shown]
    figure = go.Figure(
        go.Scatter(
            x=[r.mean.value for r in shown], y=names, mode="markers",
            marker={"size": 12, "color": [BLUE if own else GRAY for own in is_own]},
            error_x={
                "type": "data", "symmetric": False, "thickness": 2, "width": 6, "color": INK,
                "array": [r.mean.high - r.mean.value for r in shown],
                "arrayminus": [r.mean.value - r.mean.low for r in shown],
            },
            hovertemplate="%{x:.4g}<extra></extra>",
        )
    )  # fmt: skip
    measure = first.measure
    figure.update_xaxes(title_text=measure.unit or measure.label, zeroline=True)
    style(figure, height=110 + 52 * len(shown))
    figure.update_yaxes(range=[-0.6, len(shown) - 0.4])
    figure.update_layout(showlegend=False, margin_t=28)
    better = {1: "right is better", -1: "left is better", 0: ""}[measure.sign]
    name = agent_name(first.agent_type)
    caption = (
        f"Mean with 95 % bootstrap interval{', ' + better if better else ''}. Labels name the "
        f"policy of the {seats}. Blue: the {name} "
        "plays as learned; gray: a baseline plays it. Points of one color that lie apart show how "
        "much it depends on the others."
    )
    title = f"{capitalized(first.agent_type)}: {measure.label} by combination"
    return Picture(title, caption, figure, f"matrix-{first.agent_type}")

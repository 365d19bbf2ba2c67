"""The parts of a run report that show studies: deviations, attacks, transfer."""

from __future__ import annotations

from typing import Any, Final

import plotly.graph_objects as go

from lob_analysis.pages.markup import escape, folded, number, picture, section, table
from lob_analysis.pages.plots import (
    BLUE,
    GRAY,
    INK,
    PALETTE,
    Picture,
    agent_name,
    people_name,
    style,
)
from lob_analysis.pages.study_tables import interval, optional, percent, with_interval
from lob_analysis.runs.load import Run

MOST_POINTS: Final = 4
"""Policy sets that a figure of points with intervals holds; more make a map of colors."""
_SCALE: Final = [[0, "#1a7f52"], [0.5, "#ffffff"], [1, "#c0392b"]]


def exploitability_section(run: Run) -> str:
    """What deviations gain against the learned and the untrained policies."""
    study = run.studies.get("exploitability")
    if study is None:
        return ""
    rows, tried = [], []
    for profile, result in study["profiles"].items():
        for role, entry in result["roles"].items():
            best = entry["deviations"][0]
            chosen = best["name"] if best["gain"] > 0 else "nothing found"
            rows.append(
                [escape(profile), escape(people_name(role)), escape(chosen),
                 with_interval(entry["gain"])]
            )  # fmt: skip
            cells = [[escape(d["name"]), number(d["gain"])] for d in entry["deviations"]]
            title = f"<h4>{escape(profile)}: {escape(people_name(role))}</h4>"
            tried.append(title + table(["Deviation", "Gain where it was chosen"], cells))
        total = with_interval(result["nash_conv"])
        rows.append([f"<b>{escape(profile)}</b>", "<b>all (NashConv)</b>", "", f"<b>{total}</b>"])
    unit = escape(people_name(study["measure"]))
    note = (
        f"<p class=note>What one agent type gains ({unit}) by playing something else while the "
        "others stay as they are: the best of constant actions, rule-based baselines and a best "
        f"response trained for {study['num_updates']} updates. It is chosen on the validation "
        f"split and judged on {study['num_episodes']} test episodes. A lower bound: a better "
        "deviation may exist. Zero within the interval means that none was found, not that there "
        "is none.</p>"
    )
    body = (
        note
        + picture(gain_bars(study))
        + table(["Policies", "Who deviates", "To", "Gain (95 % interval)"], rows, numeric=3)
        + folded("All deviations that were tried", "".join(tried))
    )
    return section("How much could be gained against these policies", body, "exploitability")


def gain_bars(study: dict[str, Any]) -> Picture:
    """NashConv of each profile with its interval."""
    names = list(study["profiles"])
    totals = [study["profiles"][name]["nash_conv"] for name in names]
    figure = go.Figure(
        go.Bar(
            x=[total["value"] for total in totals],
            y=names,
            orientation="h",
            marker={"color": [BLUE if name == "learned" else GRAY for name in names]},
            error_x={
                "type": "data", "symmetric": False, "color": INK,
                "array": [total["high"] - total["value"] for total in totals],
                "arrayminus": [total["value"] - total["low"] for total in totals],
            },
            hovertemplate="%{y}: %{x:.4g}<extra></extra>",
        )
    )  # fmt: skip
    figure.update_xaxes(title_text=f"gain of all types together ({people_name(study['measure'])})")
    style(figure, height=120 + 50 * len(names))
    figure.update_layout(margin_t=28)
    caption = (
        "Shorter is closer to an equilibrium, as far as the search can tell. Training should make "
        "the blue bar shorter than the gray one."
    )
    return Picture("NashConv, a lower bound", caption, figure, "nash-conv")


def robustness_section(run: Run) -> str:
    """What attacks and stress cost."""
    study = run.studies.get("robustness")
    if study is None or not study["rows"]:
        return ""
    victims = list(dict.fromkeys(row["agent_type"] for row in study["rows"]))
    head = [
        "Policies", "Scenario", "Clean PnL", "Lost (95 % interval)", "Worst 5 % before", "after",
        "Inventory x", "Spread +", "Depth %", "Recovery", "Attacker PnL", "Lost per cost",
    ]  # fmt: skip
    parts = []
    for victim in victims:
        rows = [row for row in study["rows"] if row["agent_type"] == victim]
        cells = []
        for row in rows:
            low, high = row["damage"]["low"], row["damage"]["high"]
            kind = "bad" if low > 0 else "good" if high < 0 else ""
            cells.append(
                [
                    escape(row["policy"]),
                    escape(people_name(row["scenario"])),
                    number(row["clean"]),
                    f"<span class='{kind}'>{with_interval(row['damage'])}</span>",
                    number(row["worst_clean"]),
                    number(row["worst_attacked"]),
                    optional(row["inventory_ratio"]),
                    number(row["spread_change"]["value"]),
                    percent(row["depth_change"]),
                    number(row["recovery_steps"]),
                    optional(row["attacker_pnl"]),
                    optional(row["damage_per_cost"]),
                ]
            )
        parts.append(picture(attack_picture(rows, victim)) + table(head, cells, numeric=2))
    left_out = "".join(
        f"<p class=notice>Left out: {escape(people_name(name))}. {escape(reason)}</p>"
        for name, reason in study["left_out"].items()
    )
    note = (
        f"<p class=note>Each cell plays the same {study['num_episodes']} episodes with and without "
        "the attack; PnL in ticks x shares, spread in ticks, recovery in steps until half of the "
        "largest shift of the mid is gone. Lost per cost: what all victims lose for each unit that "
        "the attack costs the attacker. The worst 5 % are means of the worst episodes (CVaR).</p>"
    )
    return section("Attacks and stress", note + left_out + "".join(parts), "robustness")


def attack_picture(rows: list[dict[str, Any]], victim: str) -> Picture:
    """Loss of one victim by scenario: points with intervals, or a map of many policies.

    Args:
        rows: of `robustness.json`, those of the victim.
        victim: its agent type.
    """
    policies = list(dict.fromkeys(row["policy"] for row in rows))
    scenarios = list(dict.fromkeys(row["scenario"] for row in rows))
    lost = {(row["policy"], row["scenario"]): row["damage"] for row in rows}
    few = len(policies) <= MOST_POINTS
    figure = (_attack_points if few else _attack_map)(policies, scenarios, lost)
    figure.update_layout(margin_t=28 if len(policies) == 1 or not few else 56)
    caption = "PnL lost to each attack, ticks x shares, with its 95 % interval"
    caption += (
        ": right of zero the attack hurts the victim, left of it it helps."
        if few
        else " in the table and under the pointer: red hurts the victim, green helps it."
    )
    if len(policies) > 1:
        caption += " Policies are those as learned and those trained on under an attack."
    caption += " Where an interval contains zero, the attack may well cost nothing."
    name = agent_name(victim)
    return Picture(f"What the {name} loses", caption, figure, f"attacks-{victim}")


def _attack_points(
    policies: list[str], scenarios: list[str], lost: dict[tuple[str, str], dict[str, Any]]
) -> go.Figure:
    """A row for each scenario, in it a point with its interval for each policy set."""
    figure = go.Figure()
    for index, (policy, color) in enumerate(zip(policies, PALETTE, strict=False)):
        shift = (index - (len(policies) - 1) / 2) * 0.6 / MOST_POINTS
        found = [
            (row, lost[policy, name])
            for row, name in enumerate(scenarios)
            if (policy, name) in lost
        ]
        figure.add_scatter(
            x=[damage["value"] for _, damage in found],
            y=[row + shift for row, _ in found],
            name=policy, mode="markers", marker={"size": 9, "color": color},
            error_x={
                "type": "data", "symmetric": False, "thickness": 1.5, "width": 4, "color": color,
                "array": [damage["high"] - damage["value"] for _, damage in found],
                "arrayminus": [damage["value"] - damage["low"] for _, damage in found],
            },
            customdata=[[people_name(scenarios[row]), interval(damage)] for row, damage in found],
            hovertemplate=f"{escape(policy)}, %{{customdata[0]}}: %{{x:.4g}} (%{{customdata[1]}})"
            "<extra></extra>",
        )  # fmt: skip
    figure.update_xaxes(title_text="ticks x shares lost")
    style(figure, height=130 + (20 + 16 * len(policies)) * len(scenarios))
    figure.update_yaxes(
        tickvals=list(range(len(scenarios))), ticktext=[people_name(name) for name in scenarios],
        range=[len(scenarios) - 0.5, -0.5], zeroline=False,
    )  # fmt: skip
    return figure.update_layout(showlegend=len(policies) > 1)


def _attack_map(
    policies: list[str], scenarios: list[str], lost: dict[tuple[str, str], dict[str, Any]]
) -> go.Figure:
    """A cell for each scenario and policy set."""
    cells = [[lost.get((policy, name)) for policy in policies] for name in scenarios]
    values = [[cell and cell["value"] for cell in line] for line in cells]
    between = [[interval(cell) if cell else "" for cell in line] for line in cells]
    limit = max((abs(damage["value"]) for damage in lost.values()), default=0.0) or 1.0
    figure = go.Figure(
        go.Heatmap(
            x=policies, y=[people_name(name) for name in scenarios], z=values, zmin=-limit,
            zmax=limit, colorscale=_SCALE, xgap=2, ygap=2, texttemplate="%{z:.3g}",
            customdata=between,
            hovertemplate="%{x}, %{y}: %{z:.4g} (%{customdata})<extra></extra>",
            colorbar={"title": "ticks x<br>shares lost", "thickness": 12},
        )
    )  # fmt: skip
    style(figure, height=130 + 34 * len(scenarios))
    return figure.update_yaxes(autorange="reversed")


def transfer_section(run: Run) -> str:
    """The policies where they were not trained."""
    study = run.studies.get("transfer")
    if study is None or not study["markets"]:
        return ""
    parts = []
    for market in study["markets"]:
        cells = []
        for row in market["results"]:
            edges = [
                with_interval(row[key]) if row[key] else "" for key in ("home_edge", "away_edge")
            ]
            kind = "bad" if row["drop"]["low"] > 0 else ""
            cells.append(
                [
                    escape(people_name(row["agent_type"])),
                    escape(people_name(row["baseline"] or "")),
                    with_interval(row["home"]),
                    with_interval(row["away"]),
                    *edges,
                    f"<span class='{kind}'>{with_interval(row['drop'])}</span>",
                ]
            )
        head = [
            "Agents",
            "Edge over",
            "PnL at home",
            "PnL away",
            "Edge at home",
            "Edge away",
            "Drop",
        ]
        title = f"<h3>{escape(', '.join(market['overrides']))}</h3>"
        parts.append(title + table(head, cells, numeric=2))
    note = (
        "<p class=note>The same policies on held-out episodes of the market of training (home) "
        "and of another one (away), ticks x shares. PnL does not compare between markets; the edge "
        "over the same rule-based baseline does better. Drop: edge at home minus edge away.</p>"
    )
    return section("Transfer to other markets", note + "".join(parts), "transfer")

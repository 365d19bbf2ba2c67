"""Tables of studies for a terminal."""

from __future__ import annotations

from typing import Any

import numpy as np
from rich.table import Table

from lob_analysis.pages.markup import number
from lob_analysis.pages.plots import people_name


def with_interval(estimate: dict[str, Any]) -> str:
    """An estimate of a study file as `value (low to high)`."""
    return f"{number(estimate['value'])} ({interval(estimate)})"


def interval(estimate: dict[str, Any]) -> str:
    """The interval of an estimate of a study file as `low to high`."""
    return f"{number(estimate['low'])} to {number(estimate['high'])}"


def exploitability_view(found: dict[str, Any]) -> Table:
    """What deviations gain against each profile."""
    table = Table(
        title=f"Gain by deviating, {people_name(found['measure'])}, a lower bound",
        title_justify="left",
        title_style="bold",
    )
    for name in ("policies", "who deviates", "to"):
        table.add_column(name, overflow="fold")
    table.add_column("gain (95 % interval)", justify="right")
    for profile, result in found["profiles"].items():
        for role, entry in result["roles"].items():
            best = entry["deviations"][0]
            chosen = best["name"] if best["gain"] > 0 else "nothing found"
            table.add_row(profile, people_name(role), chosen, with_interval(entry["gain"]))
        total = with_interval(result["nash_conv"])
        table.add_row(profile, "all (NashConv)", "", total, style="bold", end_section=True)
    return table


def attack_view(found: dict[str, Any]) -> Table:
    """What attacks and stress cost each victim; the report of the run has all columns."""
    table = Table(
        title="PnL lost to attacks and stress, ticks x shares",
        title_justify="left",
        title_style="bold",
    )
    for name in ("policies", "scenario", "victim"):
        table.add_column(name, overflow="fold")
    for name in ("clean PnL", "lost (95 % interval)", "attacker PnL", "lost per cost"):
        table.add_column(name, justify="right")
    for row in found["rows"]:
        table.add_row(
            row["policy"],
            people_name(row["scenario"]),
            people_name(row["agent_type"]),
            number(row["clean"]),
            with_interval(row["damage"]),
            optional(row["attacker_pnl"]),
            optional(row["damage_per_cost"]),
        )
    return table


def transfer_view(market: dict[str, Any]) -> Table:
    """The policies at home and in one other market."""
    table = Table(
        title=f"PnL at home and away ({', '.join(market['overrides'])}), ticks x shares",
        title_justify="left",
        title_style="bold",
    )
    for name in ("agents", "edge over"):
        table.add_column(name, overflow="fold")
    for name in ("home", "away", "edge at home", "edge away", "drop (95 % interval)"):
        table.add_column(name, justify="right")
    for row in market["results"]:
        edges = [
            number(row[key]["value"]) if row[key] else "" for key in ("home_edge", "away_edge")
        ]
        table.add_row(
            people_name(row["agent_type"]),
            people_name(row["baseline"] or ""),
            number(row["home"]["value"]),
            number(row["away"]["value"]),
            *edges,
            with_interval(row["drop"]),
        )
    return table


def population_view(found: dict[str, Any]) -> Table:
    """What each policy of a run earns on average, whom it beats, and its share at the end."""
    share = found["cyclic_share"]
    cyclic = "" if share is None else f", cyclic share {with_interval(share)}"
    noise = f" (of noise alone {number(found['cyclic_share_of_noise'])})" if share else ""
    ranks = ", ".join(
        f"{people_name(role)} {number(entry['effective_rank'])}"
        for role, entry in found["roles"].items()
    )
    later = ""
    if found["progress"] is not None:
        later = f"later policies beat earlier ones in {found['progress']:.0%} of pairs; "
    table = Table(
        title=f"Cross-play, {people_name(found['measure'])}{cyclic}{noise}",
        caption=f"effective rank of payoffs: {ranks}; {later}share: of replicator dynamics in "
        "the end",
        title_justify="left",
        title_style="bold",
        caption_justify="left",
    )
    table.add_column("policies")
    table.add_column("beats", justify="right")
    for role in found["roles"]:
        for name in ("mean", "acts unlike the last", "share"):
            table.add_column(f"{people_name(role)}: {name}", justify="right")
    for index, label in enumerate(found["labels"]):
        wins = sum(margin > 0 for margin in found["contest"][index])
        cells = [f"{wins} of {len(found['labels']) - 1}"]
        for axis, entry in enumerate(found["roles"].values()):
            payoffs = np.asarray(entry["payoffs"]).take(index, axis=axis)
            cells.append(number(float(payoffs.mean())))
            cells.append(share_text(entry["distances"][index][-1]))
            cells.append(share_text(entry["survival"][index]))
        table.add_row(label, *cells)
    return table


def share_text(value: float) -> str:
    """A share in [0, 1] as a percentage for people: what is next to nothing says so."""
    return "< 0.1 %" if 0 < value < 0.001 else f"{100 * value:.3g} %"


def optional(value: float | None) -> str:
    """A number, or nothing where there is none."""
    return "" if value is None else number(value)


def percent(value: float | None) -> str:
    """A share as a percentage, or nothing where there is none."""
    return "" if value is None else number(100 * value)

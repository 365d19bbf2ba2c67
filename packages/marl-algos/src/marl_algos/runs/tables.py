"""Results of an evaluation as a table for people."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.table import Table

from marl_algos.runs.records import LEARNED

_SHOWN = {
    "episode_return": "return",
    "pnl": "PnL",
    "shortfall_bps": "shortfall, bps",
    "unexecuted": "unexecuted",
    "closing_cost": "closing cost",
}
"""Quantities in the table and their headings; those a type does not have are left out."""
_JUDGED = "pnl"
_PLAIN_WIDTH = 140
"""Characters in a line where there is no terminal."""


def print_results(summary: dict[str, Any], console: Console | None = None) -> None:
    """Prints one table for each agent type.

    Args:
        summary: contents of `evaluation.json`.
        console: where to; None is standard output.
    """
    if console is None:
        console = Console()
        if not console.is_terminal:
            console = Console(width=_PLAIN_WIDTH)
    for name, entry in summary["agents"].items():
        metrics = [m for m in _SHOWN if m in entry["policies"][LEARNED]]
        table = Table(
            title=f"{name}: {summary['num_episodes']} held-out episodes "
            f"on {summary['num_clusters']} stretches of order flow ({summary['split']})",
            caption="means per agent and episode, 95 % bootstrap intervals; PnL, shortfall and "
            "costs in ticks x shares",
        )
        table.add_column("policy")
        for metric in metrics:
            table.add_column(_SHOWN[metric], justify="right")
        table.add_column("PnL, learned - policy", justify="right")
        table.add_column("verdict")
        for policy, values in entry["policies"].items():
            cells = [_cell(values[metric], metric == _JUDGED) for metric in metrics]
            difference = entry["differences"].get(policy)
            if difference is None:
                table.add_row(policy, *cells, "", "", style="bold")
            else:
                paired = difference[_JUDGED]
                table.add_row(policy, *cells, _cell(paired, True), verdict(paired))
        console.print(table)


def verdict(difference: dict[str, float]) -> str:
    """What an interval of learned minus baseline PnL says."""
    if difference["low"] > 0.0:
        return "learned is better"
    if difference["high"] < 0.0:
        return "learned is worse"
    return "no difference shown"


def _cell(value: dict[str, float], with_interval: bool) -> str:
    mean = _number(value["mean"])
    if not with_interval:
        return mean
    return f"{mean} ({_number(value['low'])} to {_number(value['high'])})"


def _number(value: float) -> str:
    """Four significant digits, or all before the point; thousands apart."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"

"""Small pieces of HTML that reports are made of."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence

import plotly.io

from lob_analysis.pages.plots import Picture
from lob_analysis.statistics.estimates import Estimate


def escape(value: object) -> str:
    """Text that is safe inside HTML."""
    return html.escape(str(value))


def number(value: float) -> str:
    """A number at a precision that a person reads: four significant digits, thousands apart."""
    if value != value or value in (float("inf"), float("-inf")):
        return "n/a" if value != value else ("∞" if value > 0 else "-∞")
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value + 0.0:.4g}"


def interval(estimate: Estimate) -> str:
    """`low to high`."""
    return f"{number(estimate.low)} to {number(estimate.high)}"


def share(estimate: Estimate) -> str:
    """A share as a percentage, with its interval in small print."""
    low, high = f"{100 * estimate.low:.3g}", f"{100 * estimate.high:.3g}"
    return f"{100 * estimate.value:.3g} % <small>({low} to {high})</small>"


def with_interval(estimate: Estimate) -> str:
    """A number with its interval in small print."""
    return f"{number(estimate.value)} <small>({interval(estimate)})</small>"


def table(head: Sequence[str], rows: Iterable[Sequence[str]], numeric: int = 1) -> str:
    """An HTML table that scrolls sideways on a narrow screen.

    Args:
        head: column titles, escaped here.
        rows: cells as HTML.
        numeric: first column that is aligned as a number.
    """
    titles = "".join(
        f"<th{' class=n' if i >= numeric else ''}>{escape(x)}</th>" for i, x in enumerate(head)
    )
    body = "".join(
        "<tr>"
        + "".join(f"<td{' class=n' if i >= numeric else ''}>{x}</td>" for i, x in enumerate(row))
        + "</tr>"
        for row in rows
    )
    inside = f"<thead><tr>{titles}</tr></thead><tbody>{body}</tbody>"
    return f"<div class=wide><table>{inside}</table></div>"


def picture(item: Picture) -> str:
    """A figure with its title and caption; the script of plotly must already be on the page."""
    plot = plotly.io.to_html(
        item.figure,
        full_html=False,
        include_plotlyjs=False,
        div_id=f"plot-{item.key}",
        config={
            "responsive": True,
            "displaylogo": False,
            "modeBarButtonsToRemove": ["select2d", "lasso2d", "autoScale2d"],
        },
    )
    return (
        f"<figure><h3>{escape(item.title)}</h3>{plot}"
        f"<figcaption>{escape(item.caption)}</figcaption></figure>"
    )


def folded(title: str, body: str) -> str:
    """A part that opens on a click."""
    return f"<details><summary>{escape(title)}</summary>{body}</details>"


def section(title: str, body: str, key: str) -> str:
    """A titled part of the page; nothing if the body is empty."""
    return f"<section id={key}><h2>{escape(title)}</h2>{body}</section>" if body else ""

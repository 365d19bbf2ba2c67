"""Book viewer: depth over time with mid, quotes, fills and inventory, to zoom and to scrub."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt
import polars as pl
from plotly.subplots import make_subplots

from lob_analysis.pages.episode_plots import add_agents, add_mid, policy_title
from lob_analysis.pages.plots import Picture, style

MAX_ROWS: Final = 240
"""Prices that are drawn; those farthest from the mid are left out where there are more."""
_SCALES: Final = {
    1: [[0, "#eef4fb"], [0.5, "#8ab4e0"], [1, "#1f5fa8"]],
    -1: [[0, "#fdf1e4"], [0.5, "#eeb27a"], [1, "#c45f12"]],
}
_SIDES: Final = {1: "bid", -1: "ask"}
_WINDOWS: Final = 24
"""Places of the scrubber."""
_SHARE: Final = 0.25
"""Share of the episode that the scrubber shows at a time."""

Floats = npt.NDArray[np.float64]


def depth_grid(book: pl.DataFrame, side: int) -> tuple[list[int], list[int], Floats]:
    """Size at every price and step of one side.

    Args:
        book: rows of one policy of `book.parquet`.
        side: 1 for bids, -1 for asks.

    Returns:
        Steps `[S]`, prices `[P]` (ticks, ascending, without gaps) and sizes `[P, S]` in shares,
        NaN where nothing rests.
    """
    rows = book.filter((pl.col("side") == side) & (pl.col("size") > 0))
    steps = sorted(book["step"].unique().to_list())
    if rows.is_empty():
        return steps, [], np.empty((0, len(steps)))
    prices = rows["price"].to_numpy()
    low, high = int(prices.min()), int(prices.max())
    best = rows.filter(pl.col("level") == 1)["price"].to_numpy()
    if high - low + 1 > MAX_ROWS:
        middle = int(np.median(best))
        low, high = max(low, middle - MAX_ROWS // 2), min(high, middle + MAX_ROWS // 2 - 1)
    column = np.searchsorted(steps, rows["step"].to_numpy())
    inside = (prices >= low) & (prices <= high)
    grid = np.full((high - low + 1, len(steps)), np.nan)
    grid[prices[inside] - low, column[inside]] = rows["size"].to_numpy()[inside]
    return steps, list(range(low, high + 1)), grid


def book_view(book: pl.DataFrame, rows: pl.DataFrame, policy: str, replaced: str = "") -> Picture:
    """The book of the recorded episode of one policy, and what agents did in it.

    Args:
        book: rows of `book.parquet` of that policy.
        rows: rows of `Run.episodes` of that policy.
        policy: its name.
        replaced: agent type that it plays; empty if all play as learned.
    """
    figure = make_subplots(
        rows=2, cols=1, shared_xaxes=True, row_heights=[0.74, 0.26], vertical_spacing=0.04
    )
    for side, label in _SIDES.items():
        steps, prices, sizes = depth_grid(book, side)
        if not prices:
            continue
        figure.add_heatmap(
            x=steps, y=prices, z=np.log10(sizes), customdata=sizes, colorscale=_SCALES[side],
            showscale=False, name=f"{label} depth", showlegend=False,
            hovertemplate=f"{label} %{{y}}: %{{customdata:,.0f}} shares at step %{{x}}"
            "<extra></extra>", row=1, col=1,
        )  # fmt: skip
    add_mid(figure, rows)
    add_agents(figure, rows)
    figure.update_yaxes(title_text="price (ticks)", row=1, col=1)
    figure.update_yaxes(title_text="inventory (shares)", row=2, col=1)
    figure.update_xaxes(title_text="step", row=2, col=1)
    style(figure, height=640)
    figure.update_layout(sliders=[_scrubber(rows)])
    caption = (
        "Above: shares resting at each price, bids blue and asks orange, darker where more rest "
        "(logarithmic); the mid, the agents' quotes as thin lines, buys as triangles up and sells "
        "as triangles down. Below: what they hold. Watch what the depth does before and after a "
        "fill. Drag in the picture to zoom, double-click to reset; the slider moves a window of a "
        "quarter of the episode."
    )
    title = f"The book: {policy_title(policy, replaced)}"
    return Picture(title, caption, figure, f"book-{policy}-{replaced}")


def _scrubber(rows: pl.DataFrame) -> dict[str, Any]:
    """A slider that shows the whole episode, or a window of it that moves."""
    first, last = rows.select(pl.col("step").min(), pl.col("step").max().alias("last")).row(0)
    width = max(1.0, _SHARE * (last - first))
    starts = np.linspace(first, max(first, last - width), _WINDOWS)

    def move(label: str, low: float, high: float) -> dict[str, Any]:
        ranges = {"xaxis.range": [low, high], "xaxis2.range": [low, high]}
        return {"label": label, "method": "relayout", "args": [ranges]}

    steps = [move("all", first - 0.5, last + 0.5)]
    steps += [move(f"{start:.0f}", start - 0.5, start + width + 0.5) for start in starts]
    return {
        "active": 0,
        "steps": steps,
        "currentvalue": {"prefix": "window from step: ", "font": {"size": 12}},
        "pad": {"t": 46},
        "font": {"size": 9},
        "minorticklen": 0,
        "ticklen": 0,
    }

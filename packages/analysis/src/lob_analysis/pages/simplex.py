"""Pictures of dynamics among three strategies, in the triangle of their mixtures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
import plotly.graph_objects as go
from marl_algos.meta_games import Floats

from lob_analysis.equilibrium.dynamics import replicator
from lob_analysis.equilibrium.nash import support_enumeration
from lob_analysis.pages.plots import BLUE, GRAY, INK, RED, Picture, style

CORNERS: Final = np.array([[0.0, 0.0], [1.0, 0.0], [0.5, np.sqrt(3.0) / 2.0]])
"""Where the pure strategies lie, `[3, 2]`."""


def to_plane(mixtures: npt.ArrayLike) -> Floats:
    """Points of the triangle, `[..., 2]`, of mixtures `[..., 3]`."""
    return np.asarray(np.asarray(mixtures, np.float64) @ CORNERS)


def starts_in_triangle(num_rows: int = 5) -> Floats:
    """Mixtures spread evenly over the inside of the triangle, `[n, 3]`."""
    points = [
        (i, j, num_rows + 2 - i - j)
        for i in range(1, num_rows + 1)
        for j in range(1, num_rows + 2 - i)
    ]
    return np.array(points, np.float64) / (num_rows + 2)


def simplex_picture(
    payoff: npt.ArrayLike,
    labels: Sequence[str],
    *,
    time: float = 12.0,
    starts: npt.ArrayLike | None = None,
) -> Picture:
    """Replicator dynamics of a symmetric game of three strategies.

    Args:
        payoff: `[3, 3]`, what the row strategy gets against the column strategy.
        labels: names of the strategies.
        time: length of the paths.
        starts: `[n, 3]` mixtures that paths begin at; None spreads them over the triangle.

    Raises:
        ValueError: if there are not three strategies.
    """
    table = np.asarray(payoff, np.float64)
    if table.shape != (3, 3) or len(labels) != 3:
        raise ValueError(f"payoff has shape {table.shape}, labels {list(labels)}; 3 are needed")
    begin = starts_in_triangle() if starts is None else np.asarray(starts, np.float64)
    paths = to_plane(replicator(table, begin, time=time, num_steps=400))
    figure = go.Figure()
    edge = np.vstack([CORNERS, CORNERS[:1]])
    figure.add_scatter(
        x=edge[:, 0], y=edge[:, 1], mode="lines", line={"color": INK}, showlegend=False,
        hoverinfo="skip",
    )  # fmt: skip
    for number in range(paths.shape[1]):
        path = paths[:, number]
        figure.add_scatter(
            x=path[:, 0], y=path[:, 1], mode="lines", line={"color": BLUE, "width": 1.2},
            name="path", legendgroup="path", showlegend=number == 0, hoverinfo="skip",
        )  # fmt: skip
    for name, points, symbol, color in (
        ("start", paths[0], "circle-open", GRAY),
        ("end", paths[-1], "circle", BLUE),
    ):
        figure.add_scatter(
            x=points[:, 0], y=points[:, 1], mode="markers", name=name, hoverinfo="skip",
            marker={"symbol": symbol, "size": 6, "color": color},
        )  # fmt: skip
    resting = [x for x, y in support_enumeration([table, table.T]) if np.allclose(x, y)]
    if resting:
        where = to_plane(resting)
        figure.add_scatter(
            x=where[:, 0], y=where[:, 1], mode="markers", name="symmetric equilibrium",
            marker={"symbol": "star", "size": 13, "color": RED},
            text=[", ".join(f"{share:.3f}" for share in mixture) for mixture in resting],
            hovertemplate="%{text}<extra></extra>",
        )  # fmt: skip
    for label, (x, y), anchor in zip(labels, CORNERS, ("top", "top", "bottom"), strict=True):
        figure.add_annotation(x=x, y=y, text=label, showarrow=False, yanchor=anchor, yshift=0)
    style(figure, height=460)
    figure.update_xaxes(visible=False, range=[-0.12, 1.12])
    figure.update_yaxes(visible=False, scaleanchor="x", range=[-0.12, 1.0])
    caption = (
        "Each corner is a population that plays one strategy only, each point a mixture. Paths "
        "follow replicator dynamics: shares of strategies that earn more than average grow. Paths "
        "that close around a star mean that play goes round in circles; paths that end in it mean "
        "that it is stable."
    )
    return Picture("Replicator dynamics", caption, figure, "simplex")

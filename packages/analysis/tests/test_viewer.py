"""The book viewer: a grid of depth, and a slider that moves a window over the episode."""

import numpy as np
import polars as pl
import pytest
from lob_analysis.pages.viewer import MAX_ROWS, book_view, depth_grid
from lob_analysis.runs.load import load_run


def book(rows):
    return pl.DataFrame(
        rows, schema=["policy", "step", "side", "level", "price", "size"], orient="row"
    )


def test_depth_grid__puts_sizes_at_their_price_and_step():
    rows = [("p", 0, 1, 1, 100, 5), ("p", 0, 1, 2, 98, 7), ("p", 3, 1, 1, 99, 2)]
    steps, prices, sizes = depth_grid(book([*rows, ("p", 3, -1, 1, 101, 9)]), 1)
    assert steps == [0, 3]
    assert prices == [98, 99, 100]
    nothing = np.nan
    assert sizes == pytest.approx(np.array([[7, nothing], [nothing, 2], [5, nothing]]), nan_ok=True)


def test_depth_grid__a_far_order_does_not_blow_up_the_picture():
    rows = [("p", step, 1, 1, 1000, 5) for step in range(3)]
    _, prices, sizes = depth_grid(book([*rows, ("p", 0, 1, 2, 3, 1)]), 1)
    assert len(prices) <= MAX_ROWS
    assert prices[-1] == 1000
    assert np.nansum(sizes) == 15


def test_depth_grid__of_an_empty_side_is_empty():
    _, prices, sizes = depth_grid(book([("p", 0, 1, 1, 100, 5)]), -1)
    assert prices == []
    assert sizes.shape == (0, 1)


def test_book_view__slider_shows_all_and_then_windows_within_the_episode(run_folder):
    run = load_run(run_folder)
    rows = run.episodes.filter(policy="learned", replaced="")
    figure = book_view(run.book.filter(policy="learned"), rows, "learned").figure
    kinds = [trace.type for trace in figure.data]
    assert kinds.count("heatmap") == 2
    (slider,) = figure.layout.sliders
    ranges = [step.args[0]["xaxis.range"] for step in slider.steps]
    last = rows["step"].max()
    assert ranges[0] == [-0.5, last + 0.5]
    assert all(-0.5 <= low < high <= last + 0.5 for low, high in ranges)
    assert len({low for low, _ in ranges[1:]}) == len(ranges) - 1

"""Pictures in the triangle of mixtures."""

import numpy as np
import pytest
from lob_analysis.pages.simplex import (
    CORNERS,
    simplex_picture,
    starts_in_triangle,
    to_plane,
)

RPS = np.array([[0.0, -1, 1], [1, 0, -1], [-1, 1, 0]])


def test_plane__pure_strategies_are_corners_of_an_equilateral_triangle():
    assert to_plane(np.eye(3)).tolist() == CORNERS.tolist()
    sides = [np.linalg.norm(CORNERS[i] - CORNERS[i - 1]) for i in range(3)]
    assert sides == pytest.approx([1.0] * 3)
    starts = starts_in_triangle(5)
    assert len(np.unique(starts, axis=0)) == 15
    assert (starts > 0).all()
    assert starts.sum(axis=1) == pytest.approx(np.ones(15))


def test_picture__cycles_stay_at_their_distance_and_dominance_ends_in_a_corner():
    cycling = simplex_picture(RPS, ["rock", "paper", "scissors"], starts=[[0.5, 0.3, 0.2]])
    by_name = {trace.name: trace for trace in cycling.figure.data}
    star = np.array([by_name["symmetric equilibrium"].x, by_name["symmetric equilibrium"].y])
    assert star[:, 0] == pytest.approx(to_plane([1 / 3] * 3))
    path = np.stack([by_name["path"].x, by_name["path"].y], axis=1)
    assert np.linalg.norm(path - star.T, axis=1).min() > 0.1
    dominated = np.array([[3.0, 3, 3], [1, 1, 1], [0, 0, 0]])
    ending = simplex_picture(dominated, ["a", "b", "c"], time=40.0).figure
    ends = next(trace for trace in ending.data if trace.name == "end")
    assert np.abs(np.stack([ends.x, ends.y], axis=1) - CORNERS[0]).max() < 1e-3
    with pytest.raises(ValueError, match="3 are needed"):
        simplex_picture(RPS[:2, :2], ["a", "b"])

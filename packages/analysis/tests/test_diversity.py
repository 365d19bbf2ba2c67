import numpy as np
import pytest
from lob_analysis.populations.diversity import (
    behavioral_distance,
    cyclic_share,
    distance_matrix,
    effective_rank,
)

RPS = np.array([[0.0, -1, 1], [1, 0, -1], [-1, 1, 0]])


def test_effective_rank__closed_forms():
    assert effective_rank(np.eye(5)) == pytest.approx(5)
    assert effective_rank(np.outer([1, 2, 3], [4, 5])) == pytest.approx(1)
    assert effective_rank(RPS) == pytest.approx(2)
    assert effective_rank(np.zeros((3, 3))) == 0
    shares = np.array([3 / 4, 1 / 4])
    assert effective_rank(np.diag([3.0, 1])) == pytest.approx(np.exp(-(shares @ np.log(shares))))
    with pytest.raises(ValueError, match="finite matrix"):
        effective_rank([np.nan])


def test_behavioral_distance__bounds_and_a_worked_example():
    left, right = [[1.0, 0], [1, 0]], [[0.0, 1], [1, 0]]
    assert behavioral_distance(left, left) == 0
    assert behavioral_distance(left, right) == 0.5
    # JS divergence of (1, 0) and (1/2, 1/2) in bits: 1.5 - 0.75 log2(3).
    half = behavioral_distance([[1.0, 0]], [[0.5, 0.5]])
    assert half == pytest.approx(np.sqrt(1.5 - 0.75 * np.log2(3)))
    with pytest.raises(ValueError, match="shapes"):
        behavioral_distance([[1.0]], [[0.5, 0.5]])
    with pytest.raises(ValueError, match="distribution over actions"):
        behavioral_distance([[0.5, 0.6]], [[0.5, 0.5]])


def test_distance_matrix__is_a_metric_on_samples():
    policies = np.random.default_rng(0).dirichlet([1, 1, 1], size=(4, 6))
    table = distance_matrix(policies)
    np.testing.assert_array_equal(table, table.T)
    assert (np.diag(table) == 0).all()
    for i in range(4):
        for j in range(4):
            assert (table[i, j] <= table[i] + table[j] + 1e-12).all()


def test_cyclic_share__ladder_cycle_and_their_sum():
    ladder = np.subtract.outer([2.0, 1, 0], [2.0, 1, 0])
    assert cyclic_share(ladder) == pytest.approx(0)
    assert cyclic_share(RPS) == 1
    assert cyclic_share(np.zeros((2, 2))) == 0
    mixed = cyclic_share(ladder + RPS)
    assert mixed == pytest.approx(np.sum(RPS**2) / np.sum((ladder + RPS) ** 2))
    with pytest.raises(ValueError, match="antisymmetric"):
        cyclic_share(np.eye(2))

"""Simulated against real order flow: LOB-Bench style scores beside a real-versus-real floor.

The quantities are those of `quantities` and the price responses of `impact`; distances, intervals
and the floor are those of `distances`.

References:
    Nagy et al. (2025), LOB-Bench: benchmarking generative AI for finance, ICML (arXiv 2502.09172),
    for the quantities and the two distances; blocks and floor are additions.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import polars as pl

from lob_analysis.market.distances import NUM_BLOCKS, Score, make_blocks, score
from lob_analysis.market.impact import impact_scores
from lob_analysis.market.quality import with_measures
from lob_analysis.market.quantities import CONDITIONAL, QUANTITIES, Quantity


def realism_scores(
    real: pl.DataFrame,
    sim: pl.DataFrame,
    *,
    quantities: Mapping[str, tuple[Quantity, str]] = QUANTITIES,
    num_blocks: int = NUM_BLOCKS,
    num_conditions: int = 10,
    seed: int = 0,
) -> pl.DataFrame:
    """All scores of a simulation in one table.

    Args:
        real: event table of real data.
        sim: event table of simulated data.
        quantities: unconditional quantities.
        num_blocks: blocks of time.
        num_conditions: quantile bins of a condition.
        seed: of the resampling.

    Returns:
        Columns score, unit, kind (`unconditional`, `conditional` or `impact`), distance (`l1`,
        `wasserstein`, or `response`: the gap between price responses in spreads), value, low,
        high, floor, floor_high and told_apart. Quantities of which either table has fewer values
        than blocks (no order ids, a short recording) are left out.
    """
    measured = with_measures(real), with_measures(sim)
    samples: list[tuple[str, str, str, pl.DataFrame, pl.DataFrame, int]] = []
    for name, (quantity, unit) in quantities.items():
        left, right = (quantity(frame).drop_nulls() for frame in measured)
        samples.append((name, unit, "unconditional", left, right, 1))
    for name, (value, condition) in CONDITIONAL.items():
        left, right = (
            frame.select(
                "time_ns",
                value=value.cast(pl.Float64),
                condition=condition.cast(pl.Float64),
            ).drop_nulls()
            for frame in measured
        )
        samples.append((name, "", "conditional", left, right, num_conditions))
    rows = []
    for name, unit, kind, left, right, conditions in samples:
        if min(left.height, right.height) < num_blocks:
            continue
        for distance in ("l1", "wasserstein"):
            blocks = make_blocks(
                left,
                right,
                is_l1=distance == "l1",
                num_blocks=num_blocks,
                num_conditions=conditions,
            )
            rows.append(_row(name, unit, kind, distance, score(blocks, seed=seed)))
    for name, found in impact_scores(real, sim, num_blocks=num_blocks, seed=seed).items():
        rows.append(_row(name, "spreads", "impact", "response", found))
    return pl.DataFrame(rows)


def _row(name: str, unit: str, kind: str, distance: str, found: Score) -> dict[str, Any]:
    return {
        "score": name,
        "unit": unit,
        "kind": kind,
        "distance": distance,
        "value": found.value,
        "low": found.low,
        "high": found.high,
        "floor": found.floor,
        "floor_high": found.floor_high,
        "told_apart": found.is_told_apart,
    }

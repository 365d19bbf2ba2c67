"""How policies traded in the recorded episodes: a row per episode, ready for comparison.

The table has the key columns of `evaluation.parquet`, so that `results.compare_policies` takes it:
every measure comes with an interval and with a paired difference under common random numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import polars as pl

from lob_analysis.agents.execution import participation, shortfall_path
from lob_analysis.agents.market_making import (
    EPISODE,
    inventory_summary,
    markouts,
    pnl_summary,
    quoting_summary,
)
from lob_analysis.agents.results import LEARNED, Measure
from lob_analysis.runs.load import Run
from lob_analysis.statistics.estimates import Estimate
from lob_analysis.statistics.resampling import ratio_of_sums

MONEY: Final = (
    Measure("spread_pnl", "spread capture", "ticks x shares", 1),
    Measure("inventory_pnl", "inventory", "ticks x shares", 0),
    Measure("fee_pnl", "fees", "ticks x shares", 0),
    Measure("closing_pnl", "closing", "ticks x shares", 0),
)
"""Parts of the PnL; they add up to it."""
COSTS: Final = (
    Measure("trading_cost", "fills", "ticks x shares", -1),
    Measure("rest_cost", "first step and closing the rest", "ticks x shares", -1),
    Measure("fee_cost", "fees", "ticks x shares", -1),
)
"""Parts of the implementation shortfall; they add up to it."""
CONDUCT: Final = (
    Measure("participation", "Participation", "share of volume", 0),
    Measure("max_participation", "Largest participation of a step", "share of volume", 0),
    Measure("fill_steps", "Steps with a fill", "share of steps", 0),
    Measure("quote_fill_rate", "Fill rate of quotes", "share of quoted shares", 0),
    Measure("two_sided_share", "Quotes on both sides", "share of steps", 0),
    Measure("quoted_spread", "Quoted spread", "ticks", 0),
    Measure("at_touch_share", "Quotes at or inside the touch", "share of quotes", 0),
    Measure("mean_abs", "Mean absolute inventory", "shares", 0),
    Measure("max_abs", "Largest absolute inventory", "shares", 0),
    Measure("flat_share", "Steps without a position", "share of steps", 0),
    Measure("crossings", "Changes of side", "an episode", 0),
)
HORIZONS: Final = (0, 1, 2, 5, 10, 20)
"""Steps after a fill at which it is valued again."""

_PRICED = ("mid", "bought", "sold", "buy_price", "sell_price")
_QUOTED = ("best_bid", "best_ask", "bid_quote", "ask_quote", "bid_quote_size", "ask_quote_size",
           "bought", "sold", "maker_size")  # fmt: skip
_SUMMARIES: Final[tuple[tuple[Callable[[pl.DataFrame], pl.DataFrame], tuple[str, ...]], ...]] = (
    (participation, ("bought", "sold", "volume")),
    (quoting_summary, _QUOTED),
    (inventory_summary, ("inventory",)),
)


def played_by(episodes: pl.DataFrame, agent_type: str) -> pl.DataFrame:
    """Rows of an agent type where it plays as learned with all others, or is the one replaced."""
    return episodes.filter(
        (pl.col("agent_type") == agent_type) & pl.col("replaced").is_in(["", agent_type])
    ).sort(pl.col("policy") != LEARNED, maintain_order=True)


def trading_table(run: Run, agent_type: str) -> pl.DataFrame | None:
    """Measures of each recorded episode of an agent type under every policy set.

    Args:
        run: the run.
        agent_type: whose.

    Returns:
        The key columns of an evaluation, `window`, and of `CONDUCT`, `MONEY` and `COSTS` those
        that the recorded columns allow; None without recorded episodes of the type. `MONEY` and
        `COSTS` need results of the same episodes, to know what closing and fees cost.
    """
    if run.episodes is None:
        return None
    rows = played_by(run.episodes, agent_type)
    if rows.is_empty():
        return None
    table = rows.group_by(*EPISODE, maintain_order=True).agg(pl.col("window").first())
    parts = [make(rows) for make, needs in _SUMMARIES if set(needs) <= set(rows.columns)]
    money = _money(run, rows)
    for part in [*parts, *([] if money is None else [money])]:
        table = table.join(part, on=list(EPISODE), how="left", maintain_order="left")
    keys = pl.lit(0).alias("seed"), pl.lit(_split(run)).alias("split")
    return table.drop("replaced").with_columns(*keys)


def _split(run: Run) -> str:
    return "recorded" if run.evaluation is None else str(run.evaluation["split"][0])


def _money(run: Run, rows: pl.DataFrame) -> pl.DataFrame | None:
    """Parts of PnL or shortfall; None if the results are of other episodes."""
    costs = _costs(run, rows)
    if costs is None or not {"worth", "inventory", *_PRICED} <= set(rows.columns):
        return None
    if "shortfall" not in costs.columns or costs["shortfall"].is_null().all():
        return pnl_summary(rows, costs)
    traded = (
        shortfall_path(rows)
        .group_by(*EPISODE, maintain_order=True)
        .agg(trading_cost=pl.col("cost").last())
        .join(costs, on=list(EPISODE), maintain_order="left")
    )
    rest = pl.col("shortfall") - pl.col("trading_cost") - pl.col("fees")
    return traded.select(
        *EPISODE, "trading_cost", "shortfall", rest_cost=rest, fee_cost=pl.col("fees")
    )


def _costs(run: Run, rows: pl.DataFrame) -> pl.DataFrame | None:
    """Closing costs, fees and shortfall of the recorded episodes: those of the first learner.

    None if there are none, or their inventories at the end are not those of the record.
    """
    evaluation = run.evaluation
    if evaluation is None or not {"closing_cost", "inventory_end"} <= set(evaluation.columns):
        return None
    ends = rows.group_by(*EPISODE, maintain_order=True).agg(pl.col("inventory").last())
    first = evaluation.filter(pl.col("seed") == pl.col("seed").min())
    if "fees" not in first.columns:
        first = first.with_columns(fees=pl.lit(0.0))
    wanted = ["closing_cost", "fees", "inventory_end"]
    wanted += ["shortfall"] if "shortfall" in first.columns else []
    keys = ["policy", "agent_type", "agent", "episode"]
    costs = ends.join(first.select(*keys, *wanted), on=keys, how="left", maintain_order="left")
    matches = (costs["inventory"] == costs["inventory_end"]).fill_null(value=False).all()
    return costs if matches else None


def measures_with_values(table: pl.DataFrame, measures: Sequence[Measure]) -> list[Measure]:
    """Those measures that the table has, and that are not zero throughout."""
    return [
        measure
        for measure in measures
        if measure.name in table.columns
        and table[measure.name].is_not_null().any()
        and (table[measure.name].fill_null(0) != 0).any()
    ]


@dataclass(frozen=True)
class Markout:
    """What a share that a policy traded was worth some steps later.

    Attributes:
        policy: under which policy set.
        horizon: steps after the fill.
        gain: ticks a share; negative where the market ran away after the fill.
        size: shares behind it.
    """

    policy: str
    horizon: int
    gain: Estimate
    size: float


def markout_curve(
    episodes: pl.DataFrame, agent_type: str, horizons: Sequence[int] = HORIZONS
) -> list[Markout]:
    """Adverse selection of an agent type by policy set and horizon, over all recorded episodes.

    Only fills that can be valued at every horizon count, so that points of a curve compare.

    Args:
        episodes: `Run.episodes`.
        agent_type: whose.
        horizons: steps after the fill; those as long as the episode are left out.

    Returns:
        The learned policies first; none for a policy that never traded, and none at all without
        the prices of fills.
    """
    rows = played_by(episodes, agent_type)
    if rows.is_empty() or not set(_PRICED) <= set(rows.columns):
        return []
    num_steps = rows["step"].n_unique()
    shown = [horizon for horizon in horizons if 2 * horizon < num_steps]
    last = pl.col("step").max().over(*EPISODE) - max(shown)
    early = [pl.when(pl.col("step") <= last).then(name).otherwise(0) for name in ("bought", "sold")]
    table = markouts(rows.with_columns(early), shown).join(
        rows.select(*EPISODE, "window").unique(), on=list(EPISODE), maintain_order="left"
    )
    found = []
    table = table.sort(pl.col("policy") != LEARNED, maintain_order=True)
    for (policy, horizon), part in table.group_by("policy", "horizon", maintain_order=True):
        size = part["size"].to_numpy()
        if size.sum() == 0:
            continue
        value = (part["markout"].fill_null(0.0) * part["size"]).to_numpy()
        gain = ratio_of_sums(value, size, part["window"].to_numpy())
        found.append(Markout(str(policy), int(horizon), gain, float(size.sum())))
    return found

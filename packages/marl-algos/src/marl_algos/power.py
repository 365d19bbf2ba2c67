"""How sure a difference between policies is, over seeds and episodes, and what it would take.

`python -m marl_algos.power RUN_FOLDER ...` prints, for every agent type and baseline, the mean
difference with an interval over training seeds and stretches of order flow together, the smallest
edge that such an experiment shows four times in five, and how many seeds would show the edge found.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt
import polars as pl
from rich.console import Console
from rich.table import Table
from scipy import stats

from marl_algos.runs.checkpoint import CheckpointError
from marl_algos.runs.commands import exit_code
from marl_algos.runs.records import LEARNED

Floats: TypeAlias = npt.NDArray[np.float64]

POWER: Final = 0.8
"""Probability with which an experiment is to show an edge that exists."""
LEVEL: Final = 0.95
_MOST_SEEDS: Final = 1000
_WIDTH: Final = 160


@dataclasses.dataclass(frozen=True)
class Effect:
    """A mean difference between two policies, and where its uncertainty comes from.

    The model is `d[s, w] = mean + seed_s + window_w + rest_sw` with independent random parts:
    another training seed and another stretch of order flow would each have given another result.

    Attributes:
        mean: over seeds and windows.
        seeds: `S`, training runs.
        windows: `W`, stretches of order flow that all of them played.
        seed_variance: of the seed part; 0 with one seed, whose result then stands for itself only.
        window_variance: of the window part.
        rest_variance: of the rest.
    """

    mean: float
    seeds: int
    windows: int
    seed_variance: float
    window_variance: float
    rest_variance: float

    def error(self, seeds: int | None = None, windows: int | None = None) -> float:
        """Standard error of the mean in an experiment of that size; None takes this one's."""
        return float(np.sqrt(sum(self._parts(seeds or self.seeds, windows or self.windows))))

    def freedom(self, seeds: int | None = None, windows: int | None = None) -> float:
        """Degrees of freedom of that error (Satterthwaite's approximation)."""
        seeds, windows = seeds or self.seeds, windows or self.windows
        parts = self._parts(seeds, windows)
        counts = (max(seeds - 1, 1), windows - 1, max((seeds - 1) * (windows - 1), 1))
        below = sum(part**2 / count for part, count in zip(parts, counts, strict=True))
        return float(sum(parts) ** 2 / below) if below > 0.0 else float(windows - 1)

    def interval(self) -> tuple[float, float]:
        """Interval of the mean at `LEVEL`, by Student's t."""
        half = stats.t.ppf((1.0 + LEVEL) / 2.0, self.freedom()) * self.error()
        return self.mean - half, self.mean + half

    def detectable(self, seeds: int | None = None, windows: int | None = None) -> float:
        """The smallest true difference that an experiment of that size shows with `POWER`."""
        freedom = self.freedom(seeds, windows)
        quantiles = stats.t.ppf((1.0 + LEVEL) / 2.0, freedom) + stats.t.ppf(POWER, freedom)
        return float(quantiles * self.error(seeds, windows))

    def seeds_needed(self, edge: float) -> int | None:
        """Seeds that show a true difference of `edge` with `POWER` on as many windows.

        None if no number does: then it takes more order flow.
        """
        for seeds in range(2, _MOST_SEEDS + 1):
            if self.detectable(seeds) <= abs(edge):
                return seeds
        return None

    def _parts(self, seeds: int, windows: int) -> tuple[float, float, float]:
        return (
            self.seed_variance / seeds,
            self.window_variance / windows,
            self.rest_variance / (seeds * windows),
        )


def effect(differences: Floats) -> Effect:
    """Mean and variance components of differences `[S, W]` over seeds and windows.

    Raises:
        ValueError: if there are fewer than two windows.

    References:
        Searle, Casella, McCulloch (1992), "Variance components", section 4.3 (two-way crossed
        random effects, estimated by equating mean squares); negative estimates become zero.
    """
    seeds, windows = differences.shape
    if windows < 2:
        raise ValueError(f"there is {windows} stretch of order flow; it takes two or more")
    mean = float(differences.mean())
    by_seed, by_window = differences.mean(axis=1), differences.mean(axis=0)
    if seeds == 1:
        return Effect(mean, 1, windows, 0.0, float(by_window.var(ddof=1)), 0.0)
    rest = differences - by_seed[:, None] - by_window[None] + mean
    square_rest = float((rest**2).sum() / ((seeds - 1) * (windows - 1)))
    square_seed = float(windows * by_seed.var(ddof=1))
    square_window = float(seeds * by_window.var(ddof=1))
    return Effect(
        mean,
        seeds,
        windows,
        max((square_seed - square_rest) / windows, 0.0),
        max((square_window - square_rest) / seeds, 0.0),
        square_rest,
    )


def paired_differences(table: pl.DataFrame, agent_type: str, policy: str, metric: str) -> Floats:
    """Learned minus baseline `[S, W]`, means over the episodes of a window and agents of a type.

    Args:
        table: contents of `evaluation.parquet`.
        agent_type: the type.
        policy: the baseline.
        metric: column of the result.
    """
    of_type = table.filter(pl.col("agent_type") == agent_type)
    places = ["seed", "window"]

    def means(name: str) -> pl.DataFrame:
        of_policy = of_type.filter(pl.col("policy") == name)
        return of_policy.group_by(places).agg(pl.col(metric).cast(pl.Float64).mean()).sort(places)

    learned, other = means(LEARNED), means(policy)
    difference = learned[metric].to_numpy() - other[metric].to_numpy()
    paired: Floats = difference.reshape(learned["seed"].n_unique(), -1)
    return paired


def run_effects(folder: Path, metric: str = "pnl") -> list[tuple[str, str, Effect]]:
    """Effects of a run by agent type and baseline.

    Args:
        folder: the run folder.
        metric: the result that is compared.

    Raises:
        CheckpointError: if the folder holds no evaluation, or one of an earlier version.
    """
    path = folder / "evaluation.parquet"
    if not path.is_file():
        raise CheckpointError(f"{path} does not exist; name the folder of a finished run")
    table = pl.read_parquet(path)
    if not {"window", metric} <= set(table.columns):
        raise CheckpointError(f"{path} lacks a column; evaluate the run again")
    pairs = table.select("agent_type", "policy").unique().sort("agent_type", "policy").rows()
    return [
        (name, policy, effect(paired_differences(table, name, policy, metric)))
        for name, policy in pairs
        if not policy.startswith(LEARNED)
    ]


def print_effects(folder: Path, console: Console | None = None) -> None:
    """Prints the table of a run.

    Raises:
        CheckpointError: as `run_effects`.
    """
    effects = run_effects(folder)
    if console is None:
        console = Console()
        if not console.is_terminal:
            console = Console(width=_WIDTH)
    first = effects[0][2]
    table = Table(
        title=f"{folder.name}: {first.seeds} seeds on {first.windows} stretches of order flow",
        caption="PnL, learned - policy, ticks x shares an episode; intervals over seeds and "
        f"stretches together. Detectable: the edge shown with probability {POWER}.",
    )
    for heading in ("agents", "policy", "difference", "95 % interval", "seeds apart by"):
        table.add_column(heading, justify="left" if heading in ("agents", "policy") else "right")
    for heading in ("detectable", "seeds to show it", "verdict"):
        table.add_column(heading, justify="left" if heading == "verdict" else "right")
    for name, policy, found in effects:
        table.add_row(name, policy, *_cells(found))
    console.print(table)


def _cells(found: Effect) -> list[str]:
    low, high = found.interval()
    verdict = "no difference shown"
    if low > 0.0 or high < 0.0:
        verdict = "learned is better" if low > 0.0 else "learned is worse"
    needed = found.seeds_needed(found.mean) if found.seeds > 1 else None
    return [
        f"{found.mean:,.4g}",
        f"[{low:,.4g}, {high:,.4g}]",
        f"{np.sqrt(found.seed_variance):,.3g}" if found.seeds > 1 else "one seed",
        f"{found.detectable():,.3g}",
        "more order flow" if needed is None else str(needed),
        verdict,
    ]


def main(arguments: Sequence[str] | None = None) -> int:
    """`python -m marl_algos.power RUN_FOLDER ...`; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m marl_algos.power",
        description="What the evaluation of several seeds shows, and what more would decide.",
    )
    parser.add_argument("runs", type=Path, nargs="+", help="folders of runs, e.g. runs/NAME")
    folders = parser.parse_args(arguments).runs

    def work() -> None:
        for folder in folders:
            print_effects(folder)

    return exit_code(work)


if __name__ == "__main__":
    sys.exit(main())

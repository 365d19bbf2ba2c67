"""Policies in markets that they were not trained in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from lob_analysis.play.lab import open_lab
from lob_analysis.runs.load import load_run
from lob_analysis.studies.files import TRANSFER, write_study
from lob_analysis.transfer import other_market, transfer_results


def transfer(
    run: Path, overrides: Sequence[str], *, num_episodes: int = 128, seed: int = 0
) -> dict[str, Any]:
    """The policies of a run in another market; adds to what `transfer.json` already holds.

    Of a run with several seeds the first learner is taken.

    Args:
        run: the run folder.
        overrides: what differs, as `lob_analysis.transfer.other_market` takes it.
        num_episodes: episodes of every policy in each market.
        seed: of the episodes.

    Returns:
        What was written.

    Raises:
        AnalysisError: if the run cannot be played again or the other market cannot be built.
    """
    lab = open_lab(run)
    away = other_market(lab, overrides)
    results = transfer_results(lab, lab.policies[0], away, num_episodes=num_episodes, seed=seed)
    made = {
        "overrides": list(overrides),
        "data": away.description,
        "num_episodes": num_episodes,
        "seed": seed,
        "results": [asdict(result) for result in results],
    }
    known = load_run(run).studies.get("transfer", {}).get("markets", [])
    others = [market for market in known if market["overrides"] != made["overrides"]]
    return write_study(lab, TRANSFER, {"markets": [*others, made]})

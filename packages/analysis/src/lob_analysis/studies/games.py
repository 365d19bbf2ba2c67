"""The games that the policies of a run play: what could be gained, and who beats whom."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from lob_analysis.equilibrium.deviations import (
    DeviationSearch,
    Exploitability,
    judging_episodes,
    search_budget,
)
from lob_analysis.equilibrium.solution import Solution
from lob_analysis.errors import RunError
from lob_analysis.play.lab import open_lab
from lob_analysis.play.simulate import RETURN
from lob_analysis.populations.study import SURVIVAL_TIME, study_population
from lob_analysis.studies.files import EXPLOITABILITY, POPULATION, write_study


def exploit(
    run: Path,
    *,
    num_updates: int | None = None,
    num_episodes: int | None = None,
    measure: str = RETURN,
    seed: int = 0,
) -> dict[str, Any]:
    """NashConv of the learned policies and of those they started from, as lower bounds.

    Of a run with several seeds the first learner is taken.

    Args:
        run: the run folder.
        num_updates: budget of each best response; None takes `search_budget`.
        num_episodes: episodes of every candidate, on each of two splits; None takes
            `judging_episodes`.
        measure: result of an episode in which gains are counted.
        seed: of search and episodes.

    Returns:
        What was written to `exploitability.json`.

    Raises:
        RunError: if the run cannot be played again.
    """
    lab = open_lab(run)
    profiles = {"learned": lab.policies[0], "untrained": lab.untrained}
    num_updates = num_updates or search_budget(lab.learner, len(profiles))
    num_episodes = num_episodes or judging_episodes(len(profiles) * len(lab.learner.types))
    search = DeviationSearch(
        lab,
        num_updates=num_updates,
        num_episodes=num_episodes,
        measure=measure,
        seed=seed,
        num_profiles=len(profiles),
    )
    found = {name: search.against(agents) for name, agents in profiles.items()}
    return write_study(
        lab,
        EXPLOITABILITY,
        {
            "measure": measure,
            "num_updates": num_updates,
            "num_episodes": num_episodes,
            "seed": seed,
            "profiles": {name: _exploitability(result) for name, result in found.items()},
        },
    )


def _exploitability(found: Exploitability) -> dict[str, Any]:
    roles = {
        role: {
            "gain": asdict(found.gain(role)),
            "deviations": [{"name": d.name, "gain": d.gain} for d in tried],
        }
        for role, tried in found.deviations.items()
    }
    return {"nash_conv": asdict(found.nash_conv), "roles": roles}


def population(
    run: Path, *, limit: int = 8, num_episodes: int = 64, seed: int = 0
) -> dict[str, Any]:
    """Cross-play of the policies of a run over its course, and who survives.

    Args:
        run: the folder of training, self-play, population-based training or PSRO.
        limit: policies at most.
        num_episodes: episodes of a profile.
        seed: of the episodes.

    Returns:
        What was written to `population.json`.

    Raises:
        AnalysisError: if the run cannot be played again or has kept fewer than two policy sets.
    """
    lab = open_lab(run)
    try:
        found = study_population(lab, limit=limit, num_episodes=num_episodes, seed=seed)
    except ValueError as error:
        raise RunError(run, str(error)) from error
    table = found.table
    errors = dict(zip(table.roles, table.errors, strict=True))
    by_role = {
        role: {
            "payoffs": payoffs.tolist(),
            "errors": errors[role].tolist(),
            "effective_rank": found.effective_rank[role],
            "distances": found.distances[role].tolist(),
            "survival": found.survival[role][-1].tolist(),
            "survival_path": found.survival[role].tolist(),
        }
        for role, payoffs in zip(table.roles, table.game, strict=True)
    }
    return write_study(
        lab,
        POPULATION,
        {
            "measure": table.measure,
            "num_episodes": num_episodes,
            "seed": seed,
            "labels": found.snapshots.labels,
            "contest": found.contest.tolist(),
            "contest_low": found.contest_bounds[0].tolist(),
            "contest_high": found.contest_bounds[1].tolist(),
            "cyclic_share": None if found.cyclic is None else asdict(found.cyclic),
            "cyclic_share_of_noise": found.noise_share,
            "progress": found.progress,
            "roles": by_role,
            "leader": found.snapshots.leader,
            "survival_time": SURVIVAL_TIME,
            "game": None if found.solution is None else _solution(found.solution),
        },
    )


def _solution(found: Solution) -> dict[str, Any]:
    return {
        **asdict(found),
        "equilibria": [[mixture.tolist() for mixture in each] for each in found.equilibria],
        "alpha_rank": found.alpha_rank.tolist(),
        "is_efficient": found.is_efficient.tolist(),
    }

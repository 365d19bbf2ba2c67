"""Studies of a run that play its policies again; each writes one JSON file into the run folder.

A study file holds `schema`, the facts of how it was made, and its results; `load_run` reads it and
the report has a section for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final, TypeAlias

import jax
from marl_algos.markets.data import Split
from marl_algos.runs.logging import to_plain, write_json

from lob_analysis.equilibrium.deviations import (
    DeviationSearch,
    Exploitability,
    judging_episodes,
    search_budget,
)
from lob_analysis.equilibrium.solution import Solution
from lob_analysis.errors import AnalysisError, RunError
from lob_analysis.play.lab import Lab, open_lab
from lob_analysis.play.simulate import RETURN
from lob_analysis.populations.study import SURVIVAL_TIME, study_population
from lob_analysis.robustness.adversary import LEARNED_ADVERSARY, AdversaryTrainer
from lob_analysis.robustness.matrix import MEASURE, Hardener, attack_matrix
from lob_analysis.robustness.scenarios import CLEAN, SCENARIOS, Scenario, make_scenario
from lob_analysis.runs.load import SCHEMA, load_run
from lob_analysis.transfer import other_market, transfer_results

Array: TypeAlias = jax.Array

EXPLOITABILITY: Final = "exploitability.json"
ROBUSTNESS: Final = "robustness.json"
TRANSFER: Final = "transfer.json"
POPULATION: Final = "population.json"
AS_LEARNED: Final = "as learned"
"""Name of the policies of a run before any further training."""
EVERYTHING: Final = "all"
"""Stands for all scenarios that are tried."""
_ATTACK_SALT: Final = 0x617474
"""Keeps the episodes apart from those of other evaluations."""


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
    return _write(
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


def attack(
    run: Path,
    *,
    names: Sequence[str] | None = None,
    hardened: Sequence[str] = (),
    adversary_updates: int = 50,
    budget: float = 500.0,
    num_updates: int = 30,
    num_episodes: int = 128,
    seed: int = 0,
) -> dict[str, Any]:
    """The train x test attack matrix of a run: policies against manipulators and stress.

    Of a run with several seeds the first learner is taken. Scenarios that its market does not
    allow are left out, with the reason in `left_out`. Every row of the matrix meets a learned
    adversary of its own, trained against just these policies.

    Args:
        run: the run folder.
        names: scenarios to try, of `SCENARIOS`; None tries all.
        hardened: scenarios in which the policies are also trained on, each a row of the matrix;
            `LEARNED_ADVERSARY` is one of them, `EVERYTHING` stands for all that are tried.
        adversary_updates: updates of an adversary that learns to hurt the policies; 0 has none.
        budget: what that adversary may lose for nothing, ticks times shares.
        num_updates: updates of each hardened policy set.
        num_episodes: episodes of a cell.
        seed: of everything random.

    Returns:
        What was written to `robustness.json`.

    Raises:
        AnalysisError: if the run cannot be played again or a name is unknown.
    """
    names = tuple(dict.fromkeys(SCENARIOS if names is None else names))
    if EVERYTHING in hardened:
        hardened = (*names, *([LEARNED_ADVERSARY] if adversary_updates else []))
    allowed = (*SCENARIOS, LEARNED_ADVERSARY, EVERYTHING)
    unknown = sorted({*names} - {*SCENARIOS} | {*hardened} - {*allowed})
    if unknown:
        raise AnalysisError(f"scenarios {unknown} are unknown; allowed: {', '.join(SCENARIOS)}")
    if LEARNED_ADVERSARY in hardened and not adversary_updates:
        raise AnalysisError(f"training on in {LEARNED_ADVERSARY!r} needs an adversary that learns")
    lab = open_lab(run)
    key = jax.random.fold_in(jax.random.key(lab.config.seed), _ATTACK_SALT + seed)
    left_out: dict[str, str] = {}
    scenarios = _possible(lab, names, "test", left_out)
    policies = {AS_LEARNED: lab.policies[0]}
    trainer = None
    if adversary_updates:
        trainer = AdversaryTrainer(lab, budget=budget, num_updates=adversary_updates)
    hardener = Hardener(lab, num_updates)
    for training in _possible(lab, hardened, "train", left_out):
        policies[f"trained on {training.name}"] = hardener.harden(
            lab.policies[0], training.env, training.params
        )
    if trainer is not None and LEARNED_ADVERSARY in hardened:
        first = trainer.against(lab.policies[0], key)
        policies[f"trained on {LEARNED_ADVERSARY}"] = hardener.harden(
            lab.policies[0], *first.as_opponent(lab.market.params["train"])
        )
    clean = make_scenario(lab, CLEAN)
    adversaries = {
        name: trainer.against(victims, key)
        for name, victims in policies.items()
        if trainer is not None
    }
    rows = attack_matrix(
        lab.learner, policies, clean, scenarios, key,
        num_episodes=num_episodes, adversaries=adversaries,
    )  # fmt: skip
    return _write(
        lab,
        ROBUSTNESS,
        {
            "measure": MEASURE,
            "num_episodes": num_episodes,
            "num_updates": num_updates,
            "adversary_updates": adversary_updates,
            "budget": budget,
            "seed": seed,
            "left_out": left_out,
            "rows": [asdict(row) for row in rows],
        },
    )


def _possible(
    lab: Lab, names: Sequence[str], split: Split, left_out: dict[str, str]
) -> list[Scenario]:
    """Scenarios that the market of a run allows; reasons of the others go to `left_out`."""
    found = []
    for name in names:
        if name == LEARNED_ADVERSARY:
            continue
        try:
            found.append(make_scenario(lab, name, split))
        except AnalysisError as error:
            left_out[name] = str(error)
    return found


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
    return _write(
        lab,
        POPULATION,
        {
            "measure": table.measure,
            "num_episodes": num_episodes,
            "seed": seed,
            "labels": found.snapshots.labels,
            "contest": found.contest.tolist(),
            "cyclic_share": None if found.cyclic is None else asdict(found.cyclic),
            "cyclic_share_of_noise": found.noise_share,
            "progress": found.progress,
            "roles": by_role,
            "leader": found.snapshots.leader,
            "survival_time": SURVIVAL_TIME,
            "game": None if found.solution is None else _solution(found.solution),
        },
    )


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
    return _write(lab, TRANSFER, {"markets": [*others, made]})


def _solution(found: Solution) -> dict[str, Any]:
    return {
        **asdict(found),
        "equilibria": [[mixture.tolist() for mixture in each] for each in found.equilibria],
        "alpha_rank": found.alpha_rank.tolist(),
        "is_efficient": found.is_efficient.tolist(),
    }


def _exploitability(found: Exploitability) -> dict[str, Any]:
    roles = {
        role: {
            "gain": asdict(found.gain(role)),
            "deviations": [{"name": d.name, "gain": d.gain} for d in tried],
        }
        for role, tried in found.deviations.items()
    }
    return {"nash_conv": asdict(found.nash_conv), "roles": roles}


def _write(lab: Lab, name: str, content: dict[str, Any]) -> dict[str, Any]:
    facts = {"schema": SCHEMA, "update": lab.update, "is_finished": lab.is_finished}
    made: dict[str, Any] = to_plain({**facts, **content})
    write_json(lab.path / name, made)
    return made

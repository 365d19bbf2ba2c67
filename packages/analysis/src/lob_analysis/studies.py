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
from marl_algos.logging import to_plain, write_json

from lob_analysis.equilibrium.exploitability import DeviationSearch, Exploitability
from lob_analysis.errors import AnalysisError
from lob_analysis.lab import Lab, open_lab
from lob_analysis.load import SCHEMA, load_run
from lob_analysis.robustness.adversary import train_adversary
from lob_analysis.robustness.matrix import (
    MEASURE,
    PairResult,
    attack_matrix,
    compare_pair,
    harden,
)
from lob_analysis.robustness.scenarios import ATTACKS, CLEAN, STRESSES, Scenario, make_scenario
from lob_analysis.simulate import KEEP_INVENTORY, RETURN, Player
from lob_analysis.transfer import other_market, transfer_results

Array: TypeAlias = jax.Array

EXPLOITABILITY: Final = "exploitability.json"
ROBUSTNESS: Final = "robustness.json"
TRANSFER: Final = "transfer.json"
_ATTACK_SALT: Final = 0x617474
"""Keeps the episodes apart from those of other evaluations."""


def exploit(
    run: Path,
    *,
    num_updates: int = 30,
    num_episodes: int = 128,
    measure: str = RETURN,
    seed: int = 0,
) -> dict[str, Any]:
    """NashConv of the learned policies and of those they started from, as lower bounds.

    Of a run with several seeds the first learner is taken.

    Args:
        run: the run folder.
        num_updates: budget of each best response.
        num_episodes: episodes of every candidate, on each of two splits.
        measure: result of an episode in which gains are counted.
        seed: of search and episodes.

    Returns:
        What was written to `exploitability.json`.

    Raises:
        RunError: if the run cannot be played again.
    """
    lab = open_lab(run)
    search = DeviationSearch(
        lab, num_updates=num_updates, num_episodes=num_episodes, measure=measure, seed=seed
    )
    profiles = {"learned": lab.policies[0], "untrained": lab.untrained}
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
    allow are left out, with the reason in `left_out`.

    Args:
        run: the run folder.
        names: scenarios to try, of `ATTACKS` and `STRESSES`; None tries all.
        hardened: scenarios in which the policies are also trained on, each a row of the matrix.
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
    lab = open_lab(run)
    names = (*ATTACKS, *STRESSES) if names is None else names
    unknown = sorted({*names, *hardened} - {*ATTACKS, *STRESSES})
    if unknown:
        raise AnalysisError(f"scenarios {unknown} are unknown; allowed: {[*ATTACKS, *STRESSES]}")
    key = jax.random.fold_in(jax.random.key(lab.config.seed), _ATTACK_SALT + seed)
    scenarios, left_out = [], {}
    for name in names:
        try:
            scenarios.append(make_scenario(lab, name))
        except AnalysisError as error:
            left_out[name] = str(error)
    policies = {"as learned": lab.policies[0]}
    for name in hardened:
        training = make_scenario(lab, name, "train")
        policies[f"trained on {name}"] = harden(lab, policies["as learned"], training, num_updates)
    clean = make_scenario(lab, CLEAN)
    rows = attack_matrix(lab.learner, policies, clean, scenarios, key, num_episodes=num_episodes)
    if adversary_updates:
        rows += _adversary_rows(lab, clean, adversary_updates, budget, key, num_episodes)
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


def _adversary_rows(
    lab: Lab, clean: Scenario, num_updates: int, budget: float, key: Array, num_episodes: int
) -> list[PairResult]:
    """What an adversary that was trained against the policies as learned does to them."""
    victims = lab.policies[0]
    adversary = train_adversary(lab, victims, budget=budget, num_updates=num_updates, key=key)
    without = Player(lab.market.env, lab.learner, num_episodes, keep=KEEP_INVENTORY).play(
        victims, clean.params, key
    )
    attacked = adversary.play(victims, clean.params, key, num_episodes)
    return compare_pair("as learned", "learned_adversary", without, attacked)


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
    made: dict[str, Any] = to_plain({"schema": SCHEMA, "update": lab.update, **content})
    write_json(lab.path / name, made)
    return made

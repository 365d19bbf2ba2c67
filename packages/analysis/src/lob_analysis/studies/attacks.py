"""How policies hold up under attacks and stress."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import jax
from marl_algos.markets.data import Split

from lob_analysis.errors import AnalysisError
from lob_analysis.play.lab import Lab, open_lab
from lob_analysis.robustness.adversary import LEARNED_ADVERSARY, AdversaryTrainer
from lob_analysis.robustness.matrix import MEASURE, Hardener, attack_matrix
from lob_analysis.robustness.scenarios import CLEAN, SCENARIOS, Scenario, make_scenario
from lob_analysis.studies.files import ROBUSTNESS, write_study

AS_LEARNED: Final = "as learned"
"""Name of the policies of a run before any further training."""
EVERYTHING: Final = "all"
"""Stands for all scenarios that are tried."""
_SALT: Final = 0x617474
"""Keeps the episodes apart from those of other evaluations."""


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
    key = jax.random.fold_in(jax.random.key(lab.config.seed), _SALT + seed)
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
    return write_study(
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

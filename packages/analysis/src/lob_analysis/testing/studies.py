"""Made-up studies and populations in a run folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from lob_analysis.runs.load import SCHEMA
from lob_analysis.testing.runs import POLICIES


def write_studies(folder: Path) -> None:
    """Adds made-up studies to a run folder: deviations, attacks, transfer and cross-play."""

    def estimate(value: float) -> dict[str, Any]:
        low, high = value - 2.0, value + 2.0
        return {"value": value, "low": low, "high": high, "num_samples": 64, "level": 0.95}

    def deviating(gain: float) -> dict[str, Any]:
        tried = [{"name": "best response", "gain": gain}, {"name": "do_nothing", "gain": -5.0}]
        return {"gain": estimate(gain), "deviations": tried}

    profiles = {
        name: {
            "nash_conv": estimate(2 * gain),
            "roles": {agent_type: deviating(gain) for agent_type in POLICIES},
        }
        for name, gain in (("learned", 3.0), ("untrained", 40.0))
    }
    rows = [
        {
            "policy": policy,
            "scenario": scenario,
            "agent_type": agent_type,
            "clean": 14.0,
            "damage": estimate(damage),
            "worst_clean": -60.0,
            "worst_attacked": -60.0 - damage,
            "inventory_ratio": 1.2,
            "spread_change": estimate(0.1),
            "depth_change": -0.05,
            "recovery_steps": 4.5,
            "attacker_pnl": None if scenario == "fees" else -8.0,
            "attacker_cost": None if scenario == "fees" else 11.0,
            "damage_per_cost": None if scenario == "fees" else damage / 11.0,
        }
        for agent_type in POLICIES
        for policy in ("as learned", "trained on spoofing")
        for scenario, damage in (("spoofing", 6.0), ("fees", 9.0))
    ]
    result = {
        "agent_type": "market_maker",
        "baseline": "avellaneda_stoikov",
        **{name: estimate(12.0) for name in ("home", "away", "home_edge", "away_edge", "drop")},
    }
    market = {
        "overrides": ["data.kind=lobster"],
        "data": {"kind": "lobster"},
        "num_episodes": 64,
        "seed": 0,
        "results": [result],
    }
    studies: dict[str, dict[str, Any]] = {
        "exploitability": {
            "measure": "episode_return",
            "num_updates": 30,
            "num_episodes": 64,
            "profiles": profiles,
        },
        "robustness": {"num_episodes": 64, "left_out": {}, "rows": rows},
        "transfer": {"markets": [market]},
        "population": _cross_play(["update 10", "update 20", "update 30"]),
    }
    for name, study in studies.items():
        (folder / f"{name}.json").write_text(json.dumps({"schema": SCHEMA, **study}))


def _cross_play(labels: list[str]) -> dict[str, Any]:
    """Policies of which each later one beats the earlier ones by its lead."""
    number = np.arange(float(len(labels)))
    lead = np.subtract.outer(number, number)
    last = [0.0] * (len(labels) - 1) + [1.0]
    role = {
        "payoffs": (10 + lead).tolist(),
        "errors": np.full(lead.shape, 0.5).tolist(),
        "effective_rank": 1.0,
        "distances": (np.abs(lead) / len(labels)).tolist(),
        "survival": last,
        "survival_path": np.linspace([1 / len(labels)] * len(labels), last, 5).tolist(),
    }
    gap = {"value": 1.0, "low": 0.0, "high": 2.0, "num_samples": 64, "level": 0.95}
    game = {
        "equilibria": [[last] * len(POLICIES)],
        "is_exact": True,
        "nash_gap": {**gap, "value": 0.0},
        "leader_gap": {**gap, "value": 0.0},
        "history_gap": gap,
        "best_welfare": 24.0,
        "leader_welfare": 20.0,
        "welfare_loss": 4.0,
        "anarchy": 1.2,
        "no_anarchy": "",
        "alpha": 10.0,
        "alpha_rank": np.outer(last, last).tolist(),
        "is_efficient": (np.add.outer(number, number) >= len(labels) - 1).tolist(),
    }
    return {
        "measure": "episode_return",
        "num_episodes": 64,
        "labels": labels,
        "contest": (2 * lead).tolist(),
        "contest_low": (2 * lead - 0.5).tolist(),
        "contest_high": (2 * lead + 0.5).tolist(),
        "cyclic_share": {"value": 0.1, "low": 0.0, "high": 0.2, "num_samples": 64, "level": 0.95},
        "cyclic_share_of_noise": 1 / 3,
        "progress": 1.0,
        "roles": dict.fromkeys(POLICIES, role),
        "leader": len(labels) - 1,
        "survival_time": 50.0,
        "game": game,
    }


def write_populations(folder: Path, *, num_steps: int = 6, seed: int = 0) -> None:
    """Adds made-up tables of self-play, PBT and PSRO to a run folder."""
    random = np.random.default_rng(seed)
    wins = [
        {
            "round": number,
            "learner": learner,
            "opponent": opponent,
            "slot": born - 1,
            "born": born,
            "win_rate": 0.5 + 0.4 * (number - born) / num_steps,
            "return_mean": float(number),
            "weight": 1 / number,
        }
        for number in range(1, num_steps + 1)
        for learner, opponent in (tuple(POLICIES), tuple(POLICIES)[::-1])
        for born in range(1, number + 1)
    ]
    lineage = [
        {
            "generation": generation,
            "member": member,
            "parent": min(member, 4 - min(generation, 3)),
            "score": float(generation + random.normal(0, 0.3)),
        }
        for generation in range(1, num_steps + 1)
        for member in range(4)
    ]
    psro = [
        {
            "iteration": number,
            "gap": 10.0 / number,
            "gains": dict.fromkeys(POLICIES, 5.0 / number),
            "values": dict.fromkeys(POLICIES, 0.0),
            "mixture": {name: [1 / number] * number for name in POLICIES},
        }
        for number in range(1, num_steps + 1)
    ]
    for name, rows in (("win_rates", wins), ("lineage", lineage), ("psro", psro)):
        pl.DataFrame(rows).write_parquet(folder / f"{name}.parquet")

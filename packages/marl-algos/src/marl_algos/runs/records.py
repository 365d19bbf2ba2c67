"""What an evaluation leaves behind, as tables: results, recorded episodes, books."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt
import polars as pl

Results: TypeAlias = dict[str, dict[str, npt.NDArray[Any]]]
"""Results of episodes by agent type and quantity, `[E, A]`."""

LEARNED: Final = "learned"


@dataclasses.dataclass(frozen=True)
class Played:
    """What came of playing episodes.

    Attributes:
        results: final results by agent type.
        clusters: `[E]` int, episodes of equal number play the same recorded window.
        record: `market`, `agents` and `actions` of the first `R` episodes, leaves `[S, R, ...]`,
            and `book` of the first one, leaves `[S, ...]`.
    """

    results: Results
    clusters: npt.NDArray[np.int64]
    record: dict[str, Any]


Plays: TypeAlias = Mapping[tuple[str, str], list[Played]]
"""By agent type and policy that played it, one for each learner."""


def results_table(plays: Plays, split: str) -> pl.DataFrame:
    """A row for each policy, agent type, agent, episode and learner.

    Args:
        plays: what was played; of each only the type in question is shown.
        split: what was played on.
    """
    parts = []
    for (name, policy), by_seed in plays.items():
        for seed, played in enumerate(by_seed):
            parts.append(
                _rows(played, name, seed).select(
                    pl.lit(policy).alias("policy"),
                    pl.lit(name).alias("agent_type"),
                    pl.lit(split).alias("split"),
                    pl.all(),
                )
            )
    return pl.concat(parts, how="diagonal_relaxed")


def matrix_table(
    combinations: Mapping[str, tuple[Mapping[str, str], list[Played]]], split: str
) -> pl.DataFrame:
    """A row for each combination of policies, agent type, agent, episode and learner.

    Args:
        combinations: by label: which policy plays each type, and what came of it.
        split: what was played on.
    """
    parts = []
    for label, (policies, by_seed) in combinations.items():
        for seed, played in enumerate(by_seed):
            for name, policy in policies.items():
                parts.append(
                    _rows(played, name, seed).select(
                        pl.lit(label).alias("combination"),
                        pl.lit(name).alias("agent_type"),
                        pl.lit(policy).alias("policy"),
                        pl.lit(split).alias("split"),
                        pl.all(),
                    )
                )
    return pl.concat(parts, how="diagonal_relaxed")


def _rows(played: Played, name: str, seed: int) -> pl.DataFrame:
    """Results of one agent type: a row for each episode and agent."""
    results = played.results[name]
    num_episodes, num_agents = next(iter(results.values())).shape
    episode, agent = np.divmod(np.arange(num_episodes * num_agents), num_agents)
    return pl.DataFrame(
        {
            "agent": agent,
            "episode": episode,
            "seed": np.full(len(agent), seed),
            "window": played.clusters[episode],
            **{key: value.reshape(-1) for key, value in results.items()},
        }
    )


def recorded(plays: Plays) -> list[tuple[str, str, Played]]:
    """What every policy played, as with the first learner.

    Returns:
        Label of the policy, the agent type that a baseline played (empty for learned policies),
        and what came of it. A baseline of several types has the type in its label from the second
        on.
    """
    found = []
    labels: set[str] = set()
    for (replaced, policy), by_seed in plays.items():
        if policy.startswith(LEARNED):
            label, replaced = policy, ""
        else:
            label = f"{policy}:{replaced}" if policy in labels else policy
        if label not in labels:
            labels.add(label)
            found.append((label, replaced, by_seed[0]))
    return found


def episodes_table(plays: Plays) -> pl.DataFrame:
    """The first episodes of every policy: a row for each episode, agent and step."""
    parts = []
    for label, replaced, played in recorded(plays):
        record = played.record
        time = _time_of(record)
        for name, agents in record["agents"].items():
            num_steps, num_episodes, num_agents = next(iter(agents.values())).shape
            episode, agent, step = (
                index.reshape(-1) for index in np.indices((num_episodes, num_agents, num_steps))
            )
            columns = {
                "episode": episode,
                "window": played.clusters[episode],
                "step": step,
                "time": time[step, episode],
                "agent": agent,
            }
            columns |= {
                key: value[step, episode]
                for key, value in record["market"].items()
                if key not in ("step", "time_s", "time_ns")
            }
            columns |= {key: value[step, episode, agent] for key, value in agents.items()}
            if name in record["actions"]:  # rule-based types take none
                actions = record["actions"][name][step, episode, agent]
                columns |= _action_columns(actions)
            parts.append(
                pl.DataFrame(columns).select(
                    pl.lit(label).alias("policy"),
                    pl.lit(replaced).alias("replaced"),
                    pl.lit(name).alias("agent_type"),
                    pl.all(),
                )
            )
    return pl.concat(parts, how="diagonal_relaxed")


def book_table(plays: Plays) -> pl.DataFrame:
    """The book of the first episode of every policy: a row for each step, side and level.

    Columns: `policy`, `step`, `time` (seconds), `side` (1 bid, -1 ask), `level` (from 1, the
    best), `price` (ticks), `size` (shares). Levels that do not exist have no row.
    """
    parts = []
    for label, _, played in recorded(plays):
        record = played.record
        time = _time_of(record)[:, 0]
        for side, levels in ((1, record["book"]["bids"]), (-1, record["book"]["asks"])):
            step, level = np.nonzero(levels["size"] > 0)
            parts.append(
                pl.DataFrame(
                    {
                        "step": step,
                        "time": time[step],
                        "side": np.full(len(step), side, np.int8),
                        "level": level + 1,
                        "price": levels["price"][step, level],
                        "size": levels["size"][step, level],
                    }
                ).select(pl.lit(label).alias("policy"), pl.all())
            )
    return pl.concat(parts)


def _time_of(record: dict[str, Any]) -> npt.NDArray[np.float64]:
    """Seconds since midnight, `[S, R]`."""
    market = record["market"]
    seconds = market["time_s"].astype(np.float64) + market["time_ns"] * 1e-9
    return np.asarray(seconds, np.float64)


def _action_columns(actions: npt.NDArray[Any]) -> dict[str, npt.NDArray[Any]]:
    """`action` for `[rows]` scalar actions, else `action_0`, `action_1`, ... of `[rows, D]`."""
    if actions.ndim == 1:
        return {"action": actions}
    return {f"action_{i}": actions[:, i] for i in range(actions.shape[1])}

"""A small made-up run folder.

The numbers are drawn from a random walk with a market maker and an execution agent on top. They
follow the layout of a real run (`lob_analysis.runs.load`) but describe no real market.
"""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl
import yaml  # type: ignore[import-untyped]

from lob_analysis.runs.load import SCHEMA

RECORDED: Final = 4
"""Episodes of which every step is recorded."""
POLICIES: Final = {
    "market_maker": {"learned": 14.0, "avellaneda_stoikov": 8.0, "do_nothing": 0.0},
    "execution": {"learned": -620.0, "twap": -900.0, "do_nothing": -3100.0},
}
"""Mean PnL by agent type and policy set, ticks times shares."""


def write_run(
    path: Path | str,
    *,
    num_updates: int = 40,
    num_episodes: int = 48,
    num_steps: int = 64,
    status: str = "finished",
    schema: int = SCHEMA,
    seed: int = 0,
) -> Path:
    """Writes a run folder with every file a report reads.

    Args:
        path: folder to create.
        num_updates: lines of `metrics.jsonl`.
        num_episodes: evaluation episodes a policy.
        num_steps: steps of the recorded episodes.
        status: what `meta.json` says.
        schema: layout version that `meta.json` says.
        seed: of every number in it.

    Returns:
        The folder.
    """
    folder = Path(path)
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(seed)
    config = {
        "seed": seed,
        "device": "cpu",
        "num_seeds": 1,
        "run": {"name": folder.name, "root": "runs"},
        "algo": {"name": "ippo", "learning_rate": 2.5e-4, "clip_eps": 0.2},
        "env": {"num_steps": num_steps, "messages_per_step": 100},
        "data": {"kind": "embedded"},
        "selfplay": {"num_matches": 64},
    }
    meta = {
        "schema": schema,
        "status": status,
        "commit": "0123abc",
        "versions": {"python": "3.11.9", "jax": "0.10.2", "marl_algos": "0.1.0"},
        "seed": seed,
        "device": "cpu",
        "data": {"kind": "embedded", "hash": None},
        "started": "2030-01-02T09:00:00+00:00",
        "finished": "2030-01-02T09:02:10+00:00" if status == "finished" else None,
        "env_steps": num_updates * 8192,
        "wall_seconds": 130.0,
        "compile_seconds": 41.0,
    }
    lines = [json.dumps(_metrics(random, update, num_updates)) for update in range(num_updates)]
    (folder / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    (folder / "meta.json").write_text(json.dumps(meta))
    (folder / "metrics.jsonl").write_text("".join(line + "\n" for line in lines))
    episodes = _episodes(seed, num_steps, min(RECORDED, num_episodes))
    evaluation = _as_recorded(_evaluation(random, num_episodes), episodes)
    evaluation.write_parquet(folder / "evaluation.parquet")
    _matrix(evaluation).write_parquet(folder / "matrix.parquet")
    (folder / "evaluation.json").write_text(json.dumps(_summary(evaluation, num_episodes)))
    episodes.write_parquet(folder / "episodes.parquet")
    _book(episodes, seed).write_parquet(folder / "book.parquet")
    if folder.parent.name == "runs":
        (folder.parent / "latest").write_text(folder.name + "\n")
    return folder


def _metrics(random: np.random.Generator, update: int, num_updates: int) -> dict[str, Any]:
    progress = 1 - np.exp(-4 * update / max(num_updates, 1))
    agents = {}
    for agent_type, policies in POLICIES.items():
        start, end = policies["do_nothing"], policies["learned"]
        scale = abs(end - start) * 0.08
        agents[agent_type] = {
            "policy_loss": float(-0.02 * random.random()),
            "value_loss": float(0.5 * (1 - progress) + 0.05 + 0.02 * random.random()),
            "entropy": float(2.3 - 1.2 * progress + 0.03 * random.standard_normal()),
            "approx_kl": float(0.01 * random.random()),
            "clip_fraction": float(0.2 * random.random()),
            "explained_variance": float(0.8 * progress + 0.05 * random.random()),
            "reward_mean": float((start + (end - start) * progress) / 64),
            "episode_return": float(
                start + (end - start) * progress + scale * random.standard_normal()
            ),
        }
    return {
        "update": update,
        "env_steps": (update + 1) * 8192,
        "seconds": 3.2 * (update + 1),
        "steps_per_second": float(2560 + 60 * random.standard_normal()),
        "agents": agents,
        "market": {"spread": float(2.5 + 0.1 * random.standard_normal())},
        "counters": {"dropped_orders": 0, "unknown_ids": 0, "invalid": 3 if update == 7 else 0},
    }


def _evaluation(random: np.random.Generator, num_episodes: int) -> pl.DataFrame:
    frames = []
    for agent_type, policies in POLICIES.items():
        shared = random.standard_normal(num_episodes)
        for policy, center in policies.items():
            spread = 0.0 if center == 0 else 0.35 * abs(policies["learned"])
            own = random.standard_normal(num_episodes)
            pnl = center + spread * (0.8 * shared + 0.6 * own)
            columns: dict[str, Any] = {
                "policy": [policy] * num_episodes,
                "agent_type": [agent_type] * num_episodes,
                "agent": np.zeros(num_episodes, np.int32),
                "episode": np.arange(num_episodes, dtype=np.int32),
                "seed": np.zeros(num_episodes, np.int32),
                "split": ["test"] * num_episodes,
                "window": np.arange(num_episodes, dtype=np.int32),
                "episode_return": pnl / 10,
                "pnl": pnl,
                "closing_cost": np.abs(own) * (policy != "do_nothing"),
                "inventory_end": np.rint(12 * own * (center != 0)),
                "traded_volume": np.rint(300.0 + 20 * own) * (policy != "do_nothing"),
                "maker_volume": np.rint(200.0 + 20 * own) * (policy != "do_nothing"),
            }
            if agent_type == "execution":
                filled = (
                    np.zeros(num_episodes) if policy == "do_nothing" else 570 + np.rint(9 * own)
                )
                filled = np.clip(filled, 0, 600)
                columns |= {
                    "shortfall": -pnl,
                    "shortfall_ticks": -pnl / 600,
                    "shortfall_bps": -pnl / 600,
                    "filled": filled,
                    "unexecuted": 600 - filled,
                    "task_side": np.where(shared > 0, 1, -1),
                }
            frames.append(pl.DataFrame(columns))
    return pl.concat(frames, how="diagonal_relaxed")


def _summary(evaluation: pl.DataFrame, num_episodes: int) -> dict[str, Any]:
    means = evaluation.group_by("agent_type", "policy").agg(pl.col("pnl").mean()).sort("policy")
    agents: dict[str, Any] = {}
    for agent_type, policy, value in means.iter_rows():
        agents.setdefault(agent_type, {})[policy] = {"pnl": {"mean": value}}
    return {"num_episodes": num_episodes, "split": "test", "agents": agents}


def _as_recorded(evaluation: pl.DataFrame, episodes: pl.DataFrame) -> pl.DataFrame:
    """The results with the inventories at the end that the recorded episodes show."""
    keys = ["policy", "agent_type", "agent", "episode"]
    is_own = (pl.col("replaced") == "") | (pl.col("replaced") == pl.col("agent_type"))
    name = pl.col("policy").str.split(":").list.first()
    ends = (
        episodes.filter(is_own & (pl.col("step") == pl.col("step").max()))
        .with_columns(policy=name)
        .select(*keys, pl.col("inventory").cast(pl.Float64).alias("inventory_end"))
    )
    return evaluation.update(ends, on=keys, how="left")


def _matrix(evaluation: pl.DataFrame) -> pl.DataFrame:
    """Every combination; a type's results do not depend on who plays the other."""
    maker, execution = POLICIES
    baselines = {maker: "avellaneda_stoikov", execution: "twap"}
    parts = []
    for seats in itertools.product(*(("learned", baselines[name]) for name in POLICIES)):
        policies = dict(zip(POLICIES, seats, strict=True))
        label = ",".join(f"{name}={policy}" for name, policy in policies.items())
        for name, policy in policies.items():
            rows = evaluation.filter(agent_type=name, policy=policy)
            parts.append(rows.with_columns(combination=pl.lit(label)))
    return pl.concat(parts)


def _episodes(seed: int, num_steps: int, num_episodes: int) -> pl.DataFrame:
    """The same markets under each policy, quotes and fills drawn for the picture."""
    frames = []
    for policy, replaced in (
        ("learned", ""),
        ("avellaneda_stoikov", "market_maker"),
        ("twap", "execution"),
        ("do_nothing", "execution"),
        ("do_nothing:market_maker", "market_maker"),
    ):
        for episode in range(num_episodes):
            random = np.random.default_rng([seed, episode])
            mid = 20_000.0 + np.cumsum(random.integers(-2, 3, num_steps))
            half = 0.5 + random.integers(1, 3, num_steps)
            market = {
                "policy": [policy] * num_steps,
                "replaced": [replaced] * num_steps,
                "episode": np.full(num_steps, episode),
                "window": np.full(num_steps, episode),
                "step": np.arange(num_steps, dtype=np.int32),
                "time": 34_200.0 + 0.5 * np.arange(num_steps),
                "mid": mid,
                "best_bid": mid - half,
                "best_ask": mid + half,
                "volume": random.integers(40, 80, num_steps),
            }
            idle = policy.startswith("do_nothing")
            acts = not (idle and replaced == "market_maker")
            maker_buys = 10 * (random.random(num_steps) < 0.2) * acts
            maker_sells = 10 * (random.random(num_steps) < 0.2) * acts
            frames.append(_agent(market, "market_maker", mid, half, maker_buys, maker_sells, acts))
            acts = not (idle and replaced == "execution")
            sold = 10 * (np.arange(num_steps) % (1 if policy == "twap" else 2) == 0) * acts
            frames.append(_agent(market, "execution", mid, half, 0 * sold, sold, acts))
    return pl.concat(frames)


def _book(episodes: pl.DataFrame, seed: int, num_levels: int = 8) -> pl.DataFrame:
    """Some depth behind the best quotes of the first episode."""
    random = np.random.default_rng(seed)
    frames = []
    for policy, side in itertools.product(("learned", "twap"), (1, -1)):
        market = episodes.filter(policy=policy, episode=0).unique("step").sort("step")
        quote = "best_bid" if side == 1 else "best_ask"
        best = np.round(market[quote].to_numpy()).astype(np.int64)
        level = np.arange(1, num_levels + 1)
        price = best[:, None] - side * (level - 1)
        frames.append(
            pl.DataFrame(
                {
                    "policy": [policy] * price.size,
                    "step": np.repeat(market["step"].to_numpy(), num_levels),
                    "time": np.repeat(market["time"].to_numpy(), num_levels),
                    "side": np.full(price.size, side, np.int8),
                    "level": np.tile(level, len(best)),
                    "price": price.ravel(),
                    "size": random.geometric(0.01, price.size),
                }
            )
        )
    return pl.concat(frames)


def _agent(
    market: dict[str, Any],
    agent_type: str,
    mid: np.ndarray[Any, Any],
    half: np.ndarray[Any, Any],
    bought: np.ndarray[Any, Any],
    sold: np.ndarray[Any, Any],
    acts: bool,
) -> pl.DataFrame:
    """Rows of one agent whose fills happen half a spread from the mid, in its favor if a maker."""
    gain = half if agent_type == "market_maker" else -half
    inventory = np.cumsum(bought - sold)
    relative = mid - mid[0]
    cash = np.cumsum(bought * (gain - relative) + sold * (relative + gain))
    quote = np.where(acts, 1.0, 0.0)
    return pl.DataFrame(
        market
        | {
            "agent_type": [agent_type] * len(mid),
            "agent": np.zeros(len(mid), np.int32),
            "bid_quote": quote * (mid - half) * (agent_type == "market_maker"),
            "ask_quote": quote * (mid + half),
            "bid_quote_size": 10 * quote * (agent_type == "market_maker"),
            "ask_quote_size": 10 * quote,
            "maker_size": (bought + sold) * (agent_type == "market_maker"),
            "bought": bought.astype(np.int32),
            "sold": sold.astype(np.int32),
            "buy_price": np.where(bought > 0, mid - gain, 0.0),
            "sell_price": np.where(sold > 0, mid + gain, 0.0),
            "inventory": inventory.astype(np.int32),
            "cash": cash,
            "worth": cash + inventory * relative,
            "action": np.zeros(len(mid), np.int32),
        }
    )

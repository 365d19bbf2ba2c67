"""Learned policies against rule-based ones, on held-out episodes, under common random numbers.

Every policy plays the same episodes: windows, tasks, background draws and the order in which
agents act depend on keys that are equal for all. When a baseline plays one agent type, the others
stay as learned, so a difference is that type's own.
"""

from __future__ import annotations

import dataclasses
from typing import Any, Final, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt
import polars as pl
from marl_envs import EnvParams, MarketEnv

from marl_algos.baselines import Contest, contest_params, make_contests
from marl_algos.data import Market, Split
from marl_algos.rollout import flatten_obs, legal_actions
from marl_algos.statistics import Bootstrap
from marl_algos.types import Learner, split_by_type

Array: TypeAlias = jax.Array
Results: TypeAlias = dict[str, dict[str, npt.NDArray[Any]]]
"""Results of episodes by agent type and quantity, `[E, A]`."""

LEARNED: Final = "learned"
CHOICE_METRIC: Final = "pnl"
"""What the constant action of a baseline is chosen by, on the validation split."""


@dataclasses.dataclass(frozen=True)
class Played:
    """What came of playing episodes.

    Attributes:
        results: final results by agent type.
        clusters: `[E]` int, episodes of equal number play the same recorded window.
        record: `market`, `agents` and `actions` of the first episode, leaves `[S, ...]`.
    """

    results: Results
    clusters: npt.NDArray[np.int64]
    record: dict[str, Any]


class Evaluator:
    """Plays episodes of a market; every policy is compiled once.

    Attributes:
        learner: the learner whose policies are played.
        market: the market with its splits.
        num_episodes: `E`.
        contests: baselines to compare with.
    """

    def __init__(self, learner: Learner, market: Market, num_episodes: int, seed: int) -> None:
        self.learner = learner
        self.market = market
        self.num_episodes = num_episodes
        self.contests = make_contests(market.env)
        self._key = jax.random.fold_in(jax.random.key(seed), 1)
        self._programs: dict[MarketEnv, Any] = {}
        self._params: dict[tuple[MarketEnv, Split], EnvParams] = {}

    def _params_of(self, contest: Contest, split: Split) -> EnvParams:
        """Parameters of a contest, made once."""
        place = (contest.env, split)
        if place not in self._params:
            params = self.market.params
            self._params[place] = contest_params(contest, params[split], params["train"])
        return self._params[place]

    def play(
        self,
        agents: dict[str, Any],
        split: Split,
        *,
        contest: Contest | None = None,
        choice: int = 0,
        sampled: bool = False,
    ) -> Played:
        """Plays `num_episodes` episodes of a split.

        Args:
            agents: what each type has learned.
            split: which background; each split has its own keys.
            contest: baseline that plays one type; None lets the learned policies play all.
            choice: its constant action.
            sampled: learned actions are sampled instead of greedy.
        """
        env = self.market.env if contest is None else contest.env
        fixed = {}
        if contest is None:
            params = self.market.params[split]
        else:
            params = self._params_of(contest, split)
            fixed = {contest.agent_type: contest.action(choice)}
        if env not in self._programs:
            self._programs[env] = jax.jit(lambda *arguments: self._episodes(env, *arguments))
        key = jax.random.fold_in(self._key, ("validation", "test", "train").index(split))
        results, clusters, record = jax.device_get(
            self._programs[env](agents, params, fixed, key, jnp.asarray(sampled))
        )
        _, numbers = np.unique(clusters, return_inverse=True)
        return Played(results, numbers.astype(np.int64), record)

    def _episodes(
        self,
        env: MarketEnv,
        agents: dict[str, Any],
        params: EnvParams,
        fixed: dict[str, Array],
        key: Array,
        sampled: Array,
    ) -> tuple[Results, Array, dict[str, Any]]:
        """Traced: all episodes side by side, step by step."""
        num_episodes = self.num_episodes
        keys = jax.vmap(lambda e: jax.random.fold_in(key, e))(jnp.arange(num_episodes))
        key_policy = jax.random.fold_in(key, num_episodes)

        def keys_of_step(step: Array) -> Array:
            return jax.vmap(jax.random.fold_in, in_axes=(0, None))(keys, step)

        obs, state = jax.vmap(env.reset_env, in_axes=(0, None))(keys_of_step(jnp.int32(0)), params)
        window = getattr(state.background, "window", jnp.arange(num_episodes))
        carry = self.learner.initial_carry(num_episodes)

        def step(now: Any, index: Array) -> tuple[Any, Any]:
            obs, state, carry, _ = now
            moves = self.learner.play(
                agents,
                split_by_type(jax.random.fold_in(key_policy, index), env.groups),
                flatten_obs(env, obs),
                carry,
                jnp.broadcast_to(index == 0, num_episodes),
                greedy=~sampled,
                legal=legal_actions(env, state, params),
            )
            action = {name: move.action for name, move in moves.items()}
            for name, value in fixed.items():
                action[name] = jnp.broadcast_to(value, (num_episodes, *value.shape))
            obs, state, _, _, _, info = jax.vmap(env.step_env, in_axes=(0, 0, 0, None))(
                keys_of_step(index + 1), state, action, params
            )
            carry = {name: move.carry for name, move in moves.items()}
            shown = {"market": info["market"], "agents": info["agents"], "actions": action}
            return (obs, state, carry, info["episode"]), jax.tree.map(lambda x: x[0], shown)

        episode = jax.eval_shape(
            lambda a: jax.vmap(env.step_env, in_axes=(0, 0, 0, None))(keys, state, a, params)[5],
            self._example_actions(env),
        )["episode"]
        empty = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), episode)
        (_, _, _, final), record = jax.lax.scan(
            step, (obs, state, carry, empty), jnp.arange(env.config.num_steps)
        )
        final.pop("done")
        return final, window, record

    def _example_actions(self, env: MarketEnv) -> dict[str, Array]:
        return {
            name: jnp.zeros(
                (self.num_episodes, group.num_agents, *group.action_space.shape),
                group.action_space.dtype,
            )
            for name, group in env.groups.items()
        }

    def choose(self, agents: dict[str, Any], contest: Contest) -> int:
        """The constant action with which a baseline does best on the validation split."""
        if contest.num_choices == 1:
            return 0
        scores = []
        for choice in range(contest.num_choices):
            played = self.play(agents, "validation", contest=contest, choice=choice)
            scores.append(float(played.results[contest.agent_type][CHOICE_METRIC].mean()))
        return int(np.argmax(scores))


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """Outcome of a comparison.

    Attributes:
        table: a row for each (policy, agent type, agent, episode, learner).
        summary: what `evaluation.json` holds.
        episodes: one recorded episode for each policy, a row for each step and agent.
    """

    table: pl.DataFrame
    summary: dict[str, Any]
    episodes: pl.DataFrame


def evaluate(
    evaluator: Evaluator,
    learners: list[dict[str, Any]],
    split: Split,
    *,
    sampled: bool,
    resamples: int,
) -> Evaluation:
    """Compares learned policies with every baseline.

    Args:
        evaluator: what plays.
        learners: what each of `S` independent learners has learned.
        split: held-out split to play.
        sampled: also play with sampled actions.
        resamples: bootstrap resamples.
    """
    plays: dict[tuple[str, str], list[Played]] = {}
    choices: dict[str, list[int]] = {}
    types = sorted(evaluator.market.env.groups)
    for agents in learners:
        played = evaluator.play(agents, split)
        rival = evaluator.play(agents, split, sampled=True) if sampled else None
        for name in types:
            plays.setdefault((name, LEARNED), []).append(played)
            if rival is not None:
                plays.setdefault((name, f"{LEARNED}_sampled"), []).append(rival)
        for contest in evaluator.contests:
            choice = evaluator.choose(agents, contest)
            played = evaluator.play(agents, split, contest=contest, choice=choice)
            plays.setdefault((contest.agent_type, contest.policy), []).append(played)
            if contest.num_choices > 1:
                choices.setdefault(f"{contest.agent_type}/{contest.policy}", []).append(choice)
    summary = _summarize(plays, len(learners), resamples)
    summary |= {
        "schema": 1,
        "split": split,
        "num_episodes": evaluator.num_episodes,
        "num_seeds": len(learners),
        "chosen_actions": choices,
    }
    return Evaluation(_make_table(plays, split), summary, _make_episodes(plays))


def _summarize(
    plays: dict[tuple[str, str], list[Played]], num_seeds: int, resamples: int
) -> dict[str, Any]:
    """Intervals of every quantity, by agent type: of each policy, and of learned minus baseline."""
    clusters = next(iter(plays.values()))[0].clusters
    bootstrap = Bootstrap(clusters, num_seeds, resamples)
    agents: dict[str, Any] = {}
    for (name, policy), played in plays.items():
        entry = agents.setdefault(name, {"policies": {}, "differences": {}})
        for metric in played[0].results[name]:
            own = _per_episode(played, name, metric)
            learned = _per_episode(plays[name, LEARNED], name, metric)
            entry["policies"].setdefault(policy, {})[metric] = bootstrap.interval(own)._asdict()
            if policy != LEARNED:
                difference = bootstrap.interval(learned - own)
                entry["differences"].setdefault(policy, {})[metric] = difference._asdict()
    return {"agents": agents, "num_clusters": int(clusters.max()) + 1}


def _per_episode(played: list[Played], name: str, metric: str) -> npt.NDArray[np.float64]:
    """A quantity `[S, E]`, averaged over the agents of the type."""
    values = [p.results[name][metric].astype(np.float64).mean(axis=1) for p in played]
    return np.stack(values)


def _make_table(plays: dict[tuple[str, str], list[Played]], split: Split) -> pl.DataFrame:
    parts = []
    for (name, policy), by_seed in plays.items():
        for seed, played in enumerate(by_seed):
            results = played.results[name]
            num_episodes, num_agents = next(iter(results.values())).shape
            episode, agent = np.divmod(np.arange(num_episodes * num_agents), num_agents)
            columns = {
                "agent": agent,
                "episode": episode,
                "seed": np.full(len(agent), seed),
                "window": played.clusters[episode],
                **{key: value.reshape(-1) for key, value in results.items()},
            }
            parts.append(
                pl.DataFrame(columns).select(
                    pl.lit(policy).alias("policy"),
                    pl.lit(name).alias("agent_type"),
                    pl.lit(split).alias("split"),
                    pl.all(),
                )
            )
    return pl.concat(parts, how="diagonal_relaxed")


def _make_episodes(plays: dict[tuple[str, str], list[Played]]) -> pl.DataFrame:
    """The first episode of every policy, as played by the first learner."""
    parts = []
    labels: set[str] = set()
    for (replaced, policy), by_seed in plays.items():
        if policy.startswith(LEARNED):
            label, replaced = policy, ""
        else:
            label = f"{policy}:{replaced}" if policy in labels else policy
        if label in labels:
            continue
        labels.add(label)
        record = by_seed[0].record
        market = record["market"]
        time = market["time_s"].astype(np.float64) + market["time_ns"] * 1e-9
        for name, agents in record["agents"].items():
            num_steps, num_agents = next(iter(agents.values())).shape
            step, agent = np.divmod(np.arange(num_steps * num_agents), num_agents)
            columns = {"step": step, "time": time[step], "agent": agent}
            columns |= {
                key: value[step]
                for key, value in market.items()
                if key not in ("step", "time_s", "time_ns")
            }
            columns |= {key: value.reshape(-1) for key, value in agents.items()}
            columns |= _action_columns(record["actions"][name])
            parts.append(
                pl.DataFrame(columns).select(
                    pl.lit(label).alias("policy"),
                    pl.lit(replaced).alias("replaced"),
                    pl.lit(name).alias("agent_type"),
                    pl.all(),
                )
            )
    return pl.concat(parts, how="diagonal_relaxed")


def _action_columns(actions: npt.NDArray[Any]) -> dict[str, npt.NDArray[Any]]:
    """`action` for scalar actions `[S, A]`, else `action_0`, `action_1`, ... of `[S, A, D]`."""
    if actions.ndim == 2:
        return {"action": actions.reshape(-1)}
    flat = actions.reshape(-1, actions.shape[-1])
    return {f"action_{i}": flat[:, i] for i in range(flat.shape[1])}

"""Learned policies against rule-based ones, on held-out episodes, under common random numbers.

Every policy plays the same episodes: windows, tasks, background draws and the order in which
agents act depend on keys that are equal for all. When a baseline plays one agent type, the others
stay as learned, so a difference is that type's own.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt
import polars as pl
from lob_core.runtime import cpu_options
from lob_core.views import Levels, level_2
from marl_envs import EnvParams, MarketEnv

from marl_algos.baselines import (
    Contest,
    calibrated_params,
    make_combinations,
    make_contests,
)
from marl_algos.markets.data import Market, Split
from marl_algos.rollout import flatten_obs, legal_actions
from marl_algos.runs.records import (
    LEARNED,
    Played,
    Results,
    book_table,
    episodes_table,
    matrix_table,
    results_table,
)
from marl_algos.runs.statistics import Bootstrap
from marl_algos.types import Learner, split_by_type

Array: TypeAlias = jax.Array
Fixed: TypeAlias = dict[str, Array]
"""Constant actions `[A]` int32 of the types that baselines play."""

CHOICE_METRIC: Final = "pnl"
"""What the constant action of a baseline is chosen by, on the validation split."""
BOOK_LEVELS: Final = 10
"""Price levels a side that are recorded."""
RECORDED_EPISODES: Final = 32
"""Episodes of which every step is recorded; the book only of the first."""
_QUICK: Final[dict[str, str | bool]] = {"xla_backend_optimization_level": "0"}
"""Compiler options of programs that run a few times only, on CPUs: less than half the time."""
_FEW_PLAYS = 4
MATRIX_METRICS: Final = ("episode_return", "pnl")
"""Quantities of a combination of policies in the summary."""


class Evaluator:
    """Plays episodes of a market; every policy is compiled once.

    Attributes:
        learner: the learner whose policies are played.
        market: the market with its splits.
        num_episodes: `E`.
        contests: baselines to compare with.
        combinations: sets of baselines that play together.
    """

    def __init__(self, learner: Learner, market: Market, num_episodes: int, seed: int) -> None:
        self.learner = learner
        self.market = market
        self.num_episodes = num_episodes
        self.contests = make_contests(market.env)
        self.combinations = make_combinations(market.env)
        self._key = jax.random.fold_in(jax.random.key(seed), 1)
        self._programs: dict[Any, Any] = {}
        self._params: dict[tuple[MarketEnv, Split], EnvParams] = {}

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
        if contest is None:
            return self.play_with(agents, split, self.market.env, {}, sampled=sampled)
        fixed = {contest.agent_type: contest.action(choice)}
        return self.play_with(agents, split, contest.env, fixed, sampled=sampled)

    def play_with(
        self,
        agents: dict[str, Any],
        split: Split,
        env: MarketEnv,
        fixed: Fixed,
        *,
        sampled: bool = False,
    ) -> Played:
        """Plays a market in which some types have other action schemes and constant actions.

        Args:
            agents: what each type has learned; those in `fixed` are not asked.
            split: which background.
            env: the market, with the randomness of the one that was trained in.
            fixed: constant actions.
            sampled: learned actions are sampled instead of greedy.
        """
        arguments = self._arguments(agents, split, env, fixed, sampled)
        program = self._program(env, arguments, is_quick=False)
        results, clusters, record = jax.device_get(program(*arguments))
        _, numbers = np.unique(clusters, return_inverse=True)
        return Played(results, numbers.astype(np.int64), record)

    def prepare(
        self, agents: dict[str, Any], split: Split, plays: list[tuple[MarketEnv, Fixed, int]]
    ) -> None:
        """Compiles programs side by side, in threads: XLA does not hold Python's lock.

        Args:
            agents: policies of the shapes that will be played.
            split: which background.
            plays: market, constant actions, and how often it will be played; programs that are
                played a few times only are compiled with less optimization.
        """
        device = next(iter(jax.tree.leaves(agents)[0].devices()))

        def compile_one(play: tuple[MarketEnv, Fixed, int]) -> None:
            env, fixed, times = play
            with jax.default_device(device):
                arguments = self._arguments(agents, split, env, fixed, False)
                self._program(env, arguments, is_quick=times <= _FEW_PLAYS)

        with ThreadPoolExecutor(os.cpu_count()) as pool:
            list(pool.map(compile_one, plays))

    def _arguments(
        self, agents: dict[str, Any], split: Split, env: MarketEnv, fixed: Fixed, sampled: bool
    ) -> tuple[Any, ...]:
        key = jax.random.fold_in(self._key, ("validation", "test", "train").index(split))
        return agents, self._params_of(env, split), fixed, key, jnp.asarray(sampled)

    def _params_of(self, env: MarketEnv, split: Split) -> EnvParams:
        """Parameters of a market on a split, made once."""
        place = (env, split)
        if place not in self._params:
            params = self.market.params
            self._params[place] = (
                params[split]
                if env is self.market.env
                else calibrated_params(env, params[split], params["train"])
            )
        return self._params[place]

    def _program(self, env: MarketEnv, arguments: tuple[Any, ...], *, is_quick: bool) -> Any:
        """The compiled program of a market for arguments of some shapes."""
        leaves, structure = jax.tree.flatten(arguments)
        place = (env, structure, tuple((leaf.shape, leaf.dtype) for leaf in leaves))
        if place not in self._programs:
            lowered = jax.jit(lambda *given: self._episodes(env, *given)).lower(*arguments)
            options = cpu_options(_QUICK) if is_quick else None
            self._programs[place] = lowered.compile(compiler_options=options)
        return self._programs[place]

    def _episodes(
        self,
        env: MarketEnv,
        agents: dict[str, Any],
        params: EnvParams,
        fixed: dict[str, Array],
        key: Array,
        sampled: Array,
    ) -> tuple[Results, Array, dict[str, Any]]:
        """Traced: all episodes side by side, step by step; of a trial the last one counts."""
        num_episodes, num_steps = self.num_episodes, env.config.num_steps
        seen = self.market.in_trials(env)
        keys = jax.vmap(lambda e: jax.random.fold_in(key, e))(jnp.arange(num_episodes))
        key_policy = jax.random.fold_in(key, num_episodes)

        def keys_of_step(step: Array) -> Array:
            return jax.vmap(jax.random.fold_in, in_axes=(0, None))(keys, step)

        obs, state = jax.vmap(seen.reset_env, in_axes=(0, None))(keys_of_step(jnp.int32(0)), params)
        window = getattr(self._inner(state).background, "window", jnp.arange(num_episodes))
        carry = self.learner.initial_carry(num_episodes)

        def step(now: Any, index: Array) -> tuple[Any, Any]:
            obs, state, carry, _ = now
            legal = legal_actions(seen, state, params)
            moves = self.learner.play(
                agents,
                split_by_type(jax.random.fold_in(key_policy, index), env.groups),
                {name: x for name, x in flatten_obs(seen, obs).items() if name not in fixed},
                carry,
                jnp.broadcast_to(index == 0, num_episodes),
                greedy=~sampled,
                legal={name: mask for name, mask in legal.items() if name not in fixed},
            )
            action = {name: move.action for name, move in moves.items()}
            for name, value in fixed.items():
                action[name] = jnp.broadcast_to(value, (num_episodes, *value.shape))
            obs, state, _, _, _, info = jax.vmap(seen.step_env, in_axes=(0, 0, 0, None))(
                keys_of_step(index + 1), state, action, params
            )
            carry = carry | {name: move.carry for name, move in moves.items()}
            bids, asks = level_2(jax.tree.map(lambda x: x[0], self._inner(state).book), BOOK_LEVELS)
            shown = {"market": info["market"], "agents": info["agents"], "actions": action}
            shown = jax.tree.map(lambda x: x[:RECORDED_EPISODES], shown)
            shown["book"] = {"bids": _as_dict(bids), "asks": _as_dict(asks)}
            return (obs, state, carry, info["episode"]), shown

        episode = jax.eval_shape(
            lambda a: jax.vmap(seen.step_env, in_axes=(0, 0, 0, None))(keys, state, a, params)[5],
            self._example_actions(env),
        )["episode"]
        empty = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), episode)
        (_, _, _, final), record = jax.lax.scan(
            step,
            (obs, state, carry, empty),
            jnp.arange(self.market.trial_episodes * num_steps),
        )
        final.pop("done")
        return final, window, jax.tree.map(lambda x: x[-num_steps:], record)

    def _inner(self, state: Any) -> Any:
        """The state of the market."""
        return state.env_state if self.market.trial_episodes > 1 else state

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


def _as_dict(levels: Levels) -> dict[str, Array]:
    return {"price": levels.price, "size": levels.size}


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """Outcome of a comparison.

    Attributes:
        table: a row for each (policy, agent type, agent, episode, learner).
        matrix: a row for each (combination of policies, agent type, agent, episode, learner).
        summary: what `evaluation.json` holds.
        episodes: the first episodes of each policy, a row for each step and agent.
        book: the book in the first of them, a row for each step, side and level.
    """

    table: pl.DataFrame
    matrix: pl.DataFrame
    summary: dict[str, Any]
    episodes: pl.DataFrame
    book: pl.DataFrame


def evaluate(
    evaluator: Evaluator,
    learners: list[dict[str, Any]],
    split: Split,
    *,
    sampled: bool,
    resamples: int,
) -> Evaluation:
    """Compares learned policies with every baseline, and every combination of both.

    Args:
        evaluator: what plays.
        learners: what each of `S` independent learners has learned.
        split: held-out split to play.
        sampled: also play with sampled actions.
        resamples: bootstrap resamples.
    """
    contests = evaluator.contests
    combinations = evaluator.combinations
    times = len(learners)
    evaluator.prepare(
        learners[0],
        split,
        [(evaluator.market.env, {}, _FEW_PLAYS + 1)]
        + [(c.env, {c.agent_type: c.action(0)}, c.num_choices * times) for c in contests]
        + [(c.env, c.actions({}), times) for c in combinations],
    )
    plays: dict[tuple[str, str], list[Played]] = {}
    chosen: dict[str, list[int]] = {}
    types = sorted(evaluator.market.env.groups)
    matrix: dict[str, tuple[Mapping[str, str], list[Played]]] = {}
    for agents in learners:
        played = evaluator.play(agents, split)
        rival = evaluator.play(agents, split, sampled=True) if sampled else None
        for name in types:
            plays.setdefault((name, LEARNED), []).append(played)
            if rival is not None:
                plays.setdefault((name, f"{LEARNED}_sampled"), []).append(rival)
        everyone = dict.fromkeys(types, LEARNED)
        matrix.setdefault(_label(everyone), (everyone, []))[1].append(played)
        first_choices: dict[str, int] = {}
        for contest in contests:
            choice = evaluator.choose(agents, contest)
            played = evaluator.play(agents, split, contest=contest, choice=choice)
            plays.setdefault((contest.agent_type, contest.policy), []).append(played)
            if contest.num_choices > 1:
                chosen.setdefault(f"{contest.agent_type}/{contest.policy}", []).append(choice)
            if contest.agent_type not in first_choices:
                first_choices[contest.agent_type] = choice
                policies = everyone | {contest.agent_type: contest.policy}
                matrix.setdefault(_label(policies), (policies, []))[1].append(played)
        for combination in combinations:
            played = evaluator.play_with(
                agents, split, combination.env, combination.actions(first_choices)
            )
            policies = everyone | combination.policies
            matrix.setdefault(_label(policies), (policies, []))[1].append(played)
    summary = _summarize(plays, len(learners), resamples)
    summary |= {
        "schema": 1,
        "split": split,
        "num_episodes": evaluator.num_episodes,
        "num_seeds": len(learners),
        "chosen_actions": chosen,
        "matrix": _summarize_matrix(matrix, len(learners), resamples),
    }
    return Evaluation(
        results_table(plays, split),
        matrix_table(matrix, split),
        summary,
        episodes_table(plays),
        book_table(plays),
    )


def _label(policies: Mapping[str, str]) -> str:
    return ",".join(f"{name}={policies[name]}" for name in sorted(policies))


def _summarize_matrix(
    matrix: Mapping[str, tuple[Mapping[str, str], list[Played]]], num_seeds: int, resamples: int
) -> dict[str, Any]:
    """Intervals of every quantity by combination of policies and agent type."""
    clusters = next(iter(matrix.values()))[1][0].clusters
    bootstrap = Bootstrap(clusters, num_seeds, resamples)
    return {
        label: {
            name: {
                metric: bootstrap.interval(_per_episode(played, name, metric))._asdict()
                for metric in MATRIX_METRICS
                if metric in played[0].results[name]
            }
            for name in policies
        }
        for label, (policies, played) in matrix.items()
    }


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

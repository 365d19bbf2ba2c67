"""Who beats whom over the course of a run, how different they are, and who survives."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from itertools import product
from typing import Any, Final, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from marl_algos.types import Learner, split_by_type
from marl_envs.spaces import Box

from lob_analysis.equilibrium.dynamics import multi_replicator
from lob_analysis.equilibrium.payoffs import PayoffTable, cross_play, table_of
from lob_analysis.equilibrium.solution import Solution, solve
from lob_analysis.play.lab import Lab
from lob_analysis.play.simulate import OBSERVATION, RETURN, Player, stack
from lob_analysis.play.snapshots import UNITS, Snapshots
from lob_analysis.populations.diversity import Floats, cyclic_share, effective_rank
from lob_analysis.statistics.estimates import Estimate

Array: TypeAlias = jax.Array

SURVIVAL_TIME: Final = 50.0
"""Time of the replicator dynamics, in units in which payoffs have standard deviation 1."""
SURVIVAL_POINTS: Final = 100
"""Intervals of time at which the shares of a study are kept."""
MOST_OBSERVATIONS: Final = 512


@dataclasses.dataclass(frozen=True)
class PopulationStudy:
    """The policies of a run against each other.

    Attributes:
        snapshots: the policies.
        table: payoffs of all profiles, an axis for every agent type.
        contest: `[n, n]` by how much policy set i beats j: what its types earn among those of j,
            one at a time, less what those of j earn among its own; antisymmetric.
        contest_bounds: `[2, n, n]` ends of the 95 % bootstrap interval of each entry, over
            windows of episodes.
        cyclic: share of `contest` that no rating explains, with a bootstrap interval over
            episodes; None with fewer than three policies, or with one agent type, whose policies
            never meet. Noise alone gives `(n - 2) / n`.
        noise_share: that share, for comparison.
        progress: share of pairs in which the later policy set beats the earlier one; None for the
            members of a population, which are equally old.
        effective_rank: by agent type, of its payoffs less their mean.
        distances: by agent type `[n, n]`, how differently policies act on the same observations,
            those that the last of them met.
        survival: by agent type `[t, n]`, shares over time in replicator dynamics from even ones.
        solution: equilibria and ranks of the game that the policies are; None with one agent
            type, whose policies never meet.
    """

    snapshots: Snapshots
    table: PayoffTable
    contest: Floats
    contest_bounds: Floats
    cyclic: Estimate | None
    noise_share: float
    progress: float | None
    effective_rank: dict[str, float]
    distances: dict[str, Floats]
    survival: dict[str, Floats]
    solution: Solution | None


def study_population(
    lab: Lab,
    *,
    limit: int = 8,
    num_episodes: int = 64,
    measure: str = RETURN,
    seed: int = 0,
    num_steps: int | None = None,
) -> PopulationStudy:
    """Cross-play of the policies of a run on its test split.

    Args:
        lab: the run.
        limit: policies at most, evenly spaced; a table has `limit` to the number of types cells.
        num_episodes: episodes of a cell, the same for all.
        measure: result of an episode in which payoffs are counted.
        seed: of the episodes.
        num_steps: length of an episode, for games other than the market.

    Raises:
        ValueError: if the run has kept fewer than two policy sets.
    """
    if lab.snapshots is None or len(lab.snapshots.numbers) < 2:
        raise ValueError("cross-play needs two policies; raise checkpoint.keep when training")
    found = lab.snapshots.thinned(limit)
    key = jax.random.fold_in(jax.random.key(lab.config.seed), seed)
    params = lab.market.params["test"]
    roles = list(lab.market.env.groups)
    player = Player(
        lab.market.env, lab.learner, num_episodes, num_steps=num_steps, keep=(OBSERVATION,)
    )
    policies = {role: [agents[role] for agents in found.agents] for role in roles}
    labels = dict.fromkeys(roles, found.labels)
    played = cross_play(player, policies, params, key)
    table = table_of(player, policies, played, labels=labels, measure=measure)
    seen = {role: played.agents[role][OBSERVATION][-1] for role in roles}
    contest = _contest(table, table.game)
    size = len(found.numbers)
    is_history = found.unit != UNITS["pbt"]
    later = contest[np.tril_indices(size, -1)]
    return PopulationStudy(
        snapshots=found,
        table=table,
        contest=contest,
        contest_bounds=table.bounds(lambda game: _contest(table, game), seed=seed),
        cyclic=(
            table.estimate(lambda game: cyclic_share(_contest(table, game)), seed=seed)
            if size > 2 and len(roles) > 1
            else None
        ),
        solution=(
            solve(table, found.leader, is_history=is_history, seed=seed) if len(roles) > 1 else None
        ),
        noise_share=(size - 2) / size,
        progress=float(np.mean(np.where(later == 0, 0.5, later > 0))) if is_history else None,
        effective_rank={
            role: effective_rank((u - u.mean()).swapaxes(0, axis).reshape(size, -1))
            for axis, (role, u) in enumerate(zip(table.roles, table.game, strict=True))
        },
        distances={
            role: action_distances(lab.learner, role, policies[role], seen[role]) for role in roles
        },
        survival=survival_paths(table),
    )


def survival_paths(table: PayoffTable) -> dict[str, Floats]:
    """Shares of policies `[t, n]` in replicator dynamics that start from even shares, by role.

    Payoffs of each role are scaled to standard deviation 1, which changes the speed but not where
    a role's dynamics lead on their own.

    References:
        Taylor and Jonker (1978), Evolutionarily stable strategies and game dynamics.
    """
    game = [u / s if (s := float(u.std())) > 0 else u * 0.0 for u in table.game]
    if len(game) == 1:  # nobody meets anybody: growth at rates that do not change
        times = np.linspace(0.0, SURVIVAL_TIME, SURVIVAL_POINTS + 1)[:, None]
        grown = np.exp(times * (game[0] - game[0].max()))
        return {table.roles[0]: grown / grown.sum(axis=1, keepdims=True)}
    paths = multi_replicator(game, time=SURVIVAL_TIME, num_steps=10 * SURVIVAL_POINTS)
    return {role: path[::10] for role, path in zip(table.roles, paths, strict=True)}


def action_distances(
    learner: Learner, role: str, policies: Sequence[Any], observations: Any
) -> Floats:
    """How differently policies act on the same observations, `[n, n]` in [0, 1].

    The share of observations at which most likely actions differ; of continuous actions, the mean
    distance of their entries in units of the range. Policies with a memory start it anew.

    Args:
        learner: knows how they act.
        role: their agent type.
        policies: n of them.
        observations: `[..., A, F]`; of many, evenly spaced ones are taken.
    """
    flat = np.asarray(observations).reshape(-1, *np.shape(observations)[-2:])
    step = -(-len(flat) // MOST_OBSERVATIONS)
    obs = jnp.asarray(flat[::step])
    size = len(obs)
    keys = split_by_type(jax.random.key(0), {role: None})
    carry, is_first = learner.initial_carry(size), jnp.ones(size, bool)

    @jax.jit
    def act(stacked: Any) -> Array:
        def one(agent: Any) -> Array:
            moves = learner.play(
                {role: agent}, keys, {role: obs}, {role: carry[role]}, is_first, greedy=True
            )
            return moves[role].action

        taken: Array = jax.lax.map(one, stacked)
        return taken

    actions = np.asarray(act(stack(list(policies))), np.float64).reshape(len(policies), -1)
    space = learner.env.groups[role].action_space
    result = np.zeros((len(policies), len(policies)))
    for i, j in product(range(len(policies)), repeat=2):
        apart = np.abs(actions[i] - actions[j])
        unit = space.high - space.low if isinstance(space, Box) else 0.0
        result[i, j] = np.mean(apart / unit if unit else apart > 0)
    return result


def _contest(table: PayoffTable, game: Sequence[Floats]) -> Floats:
    """`[n, n]` antisymmetric, see `PopulationStudy.contest`."""
    size = game[0].shape[0]
    score = np.zeros((size, size))
    for axis, payoff in enumerate(game):
        for i, j in product(range(size), repeat=2):
            place = [j] * len(table.roles)
            place[axis] = i
            score[i, j] += payoff[tuple(place)]
    return score - score.T

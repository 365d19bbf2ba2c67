"""Self-play against a pool of frozen snapshots of what is being learned.

References:
    Heinrich and Silver (2016), "Deep reinforcement learning from self-play in
    imperfect-information games"; Vinyals et al. (2019), "Grandmaster level in StarCraft II using
    multi-agent reinforcement learning", prioritized fictitious self-play.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, Final, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from marl_algos.populations.matches import (
    MakeLearner,
    Matches,
    PolicyPool,
    blank_agents,
    make_pool,
    put,
)
from marl_algos.populations.opponents import OpponentParams, WithOpponents
from marl_algos.types import Environment, Metrics

Array: TypeAlias = jax.Array

SAMPLING: Final = ("latest", "uniform", "prioritized", "close")
WIN_RULES: Final = ("versus", "median")


@dataclasses.dataclass(frozen=True)
class SelfPlayConfig:
    """How opponents are kept and drawn.

    Attributes:
        updates_per_round: updates of every learner in a round, which ends with a snapshot.
        capacity: snapshots kept of each type.
        sampling: how opponents are drawn, with x the win rate against one: `"latest"`,
            `"uniform"`, `"prioritized"` ((1 - x)^power: those one loses to) or `"close"`
            (x (1 - x): those of one's own strength).
        power: of `"prioritized"`.
        latest_share: share of episodes against the latest snapshot, whatever the sampling.
        num_matches: episodes by which the win rate against a snapshot is measured after a round.
        win_rule: what winning is: `"versus"` (a larger return than the opponent's; ties count
            half) or `"median"` (a return above the median over all opponents, for types whose
            returns are not comparable).
        seats: types that are played by snapshots of another type, which must have the same
            spaces and number of agents; they learn nothing of their own.

    Raises:
        ValueError: naming the field that is outside its domain.
    """

    updates_per_round: int = 10
    capacity: int = 16
    sampling: str = "prioritized"
    power: float = 2.0
    latest_share: float = 0.3
    num_matches: int = 64
    win_rule: str = "versus"
    seats: tuple[tuple[str, str], ...] = ()

    def __post_init__(self) -> None:
        for name, allowed in (("sampling", SAMPLING), ("win_rule", WIN_RULES)):
            value = getattr(self, name)
            if value not in allowed:
                raise ValueError(f"selfplay.{name} is {value!r}; allowed: {', '.join(allowed)}")
        for name, least in (
            ("updates_per_round", 1),
            ("capacity", 2),
            ("num_matches", 1),
        ):
            if getattr(self, name) < least:
                raise ValueError(f"selfplay.{name} is {getattr(self, name)}; it must be >= {least}")
        if not 0.0 <= self.latest_share <= 1.0:
            raise ValueError(f"selfplay.latest_share is {self.latest_share}; it must be in [0, 1]")
        if self.power < 0.0:
            raise ValueError(f"selfplay.power is {self.power}; it must be >= 0")


def sampling_weights(config: SelfPlayConfig, used: Array, newest: Array, win_rates: Array) -> Array:
    """How often each snapshot is met, `[K]` float32, sum 1.

    Args:
        config: says how opponents are drawn.
        used: `[K]` bool, slots that hold a snapshot.
        newest: `[]` int32, the slot of the latest.
        win_rates: `[K]` float32, of the learner against each.
    """
    latest = jax.nn.one_hot(newest, used.shape[0])
    raw = {
        "latest": latest,
        "uniform": jnp.ones_like(win_rates),
        "prioritized": (1.0 - win_rates) ** config.power,
        "close": win_rates * (1.0 - win_rates),
    }[config.sampling]
    raw = jnp.where(used, raw, 0.0)
    total = jnp.sum(raw)
    even = used / jnp.sum(used)
    rest = jnp.where(total > 1e-6, raw / jnp.maximum(total, 1e-6), even)  # beaten them all: even
    return config.latest_share * latest + (1.0 - config.latest_share) * rest


def slot_for_snapshot(pool: PolicyPool, win_rates: Array) -> Array:
    """`[]` int32: a free slot, else that of the weakest snapshot other than the newest.

    Args:
        pool: snapshots.
        win_rates: `[K]` float32, of those who play against them; the weakest loses most.
    """
    protected = jnp.arange(win_rates.shape[0]) == pool.newest
    weakest = jnp.argmax(jnp.where(protected, -1.0, win_rates))
    return jnp.where(jnp.all(pool.used), weakest, jnp.argmin(pool.used))


@struct.dataclass
class SelfPlayState:
    """Where a run of self-play stands.

    Attributes:
        learners: states of the learners by type that learns.
        pools: snapshots by type that learns.
        win_rates: by type that learns, then by type that it meets, `[K]` float32 in [0, 1]; 1/2
            where not measured.
        key: source of randomness.
        round: `[]` int32, rounds done.
    """

    learners: dict[str, Any]
    pools: dict[str, PolicyPool]
    win_rates: dict[str, dict[str, Array]]
    key: Array
    round: Array


class SelfPlay:
    """Learners that meet snapshots of each other: pure rounds of compiled updates.

    Attributes:
        env: the game or market.
        config: settings.
        base: a learner on the whole environment; only its way of acting is used.
        learners: by type that learns.

    Raises:
        ValueError: if a seat names an unknown type or types that differ, or there is one type.
    """

    def __init__(self, env: Environment, make_learner: MakeLearner, config: SelfPlayConfig) -> None:
        self.env = env
        self.config = config
        self.base = make_learner(env)
        seats = dict(config.seats)
        _check_seats(env, seats)
        self._seat: Mapping[str, str] = {name: seats.get(name, name) for name in env.groups}
        self.learners = {
            name: make_learner(
                WithOpponents(env, self.base, [other for other in env.groups if other != name])
            )
            for name in sorted(set(self._seat.values()))
        }
        self._matches = Matches(env, self.base, config.num_matches)
        self._update = {name: jax.jit(self._updater(name)) for name in self.learners}

    def rivals(self, name: str) -> list[str]:
        """The types that a learner meets, in order."""
        return sorted(other for other in self.env.groups if other != name)

    def init(self, key: Array, env_params: Any) -> SelfPlayState:
        """Fresh learners, whose random policies are the first snapshots."""
        key_init, key = jax.random.split(key)
        capacity = self.config.capacity
        blank = blank_agents(self.base, env_params)
        learners, pools = {}, {}
        for index, (name, learner) in enumerate(self.learners.items()):
            stacked = {other: make_pool(blank[other], capacity) for other in self.rivals(name)}
            params = OpponentParams(
                env_params,
                {other: pool.agents for other, pool in stacked.items()},
                {other: jax.nn.one_hot(0, capacity) for other in stacked},
            )
            key_type = jax.random.fold_in(key_init, index)
            learners[name] = jax.jit(learner.init)(key_type, params)
            pools[name] = make_pool(learners[name].agents[name], capacity)
        win_rates = {
            name: {other: jnp.full((capacity,), 0.5) for other in self.rivals(name)}
            for name in self.learners
        }
        return SelfPlayState(learners, pools, win_rates, key, jnp.int32(0))

    def opponents(self, state: SelfPlayState, name: str, env_params: Any) -> OpponentParams:
        """Whom a learner meets in the next round."""
        pools = {other: state.pools[self._seat[other]] for other in self.rivals(name)}
        weights = {
            other: sampling_weights(
                self.config, pool.used, pool.newest, state.win_rates[name][other]
            )
            for other, pool in pools.items()
        }
        return OpponentParams(env_params, {n: p.agents for n, p in pools.items()}, weights)

    def play_round(
        self, state: SelfPlayState, env_params: Any
    ) -> tuple[SelfPlayState, dict[str, Metrics], list[dict[str, Any]]]:
        """Trains every learner, takes snapshots, and measures win rates.

        Returns:
            The new state; metrics of every learner, leaves `[updates_per_round]`; rows of the
            win-rate table: `round`, `learner`, `opponent`, `slot`, `born`, `win_rate`,
            `return_mean`, `weight` (how often it is met in the next round).
        """
        key_play, key = jax.random.split(state.key)
        number = int(state.round) + 1
        learners, metrics = {}, {}
        for name in self.learners:
            params = self.opponents(state, name, env_params)
            learners[name], metrics[name] = self._update[name](state.learners[name], params)
        pools = {
            name: put(
                pool,
                slot_for_snapshot(pool, self._rate_of_others(state, name)),
                learners[name].agents[name],
                number,
            )
            for name, pool in state.pools.items()
        }
        state = SelfPlayState(learners, pools, state.win_rates, key, jnp.int32(number))
        win_rates, rows = {}, []
        for name in self.learners:
            win_rates[name], measured = self._measure(state, name, key_play, env_params)
            rows += measured
        state = dataclasses.replace(state, win_rates=win_rates)
        for row in rows:
            weights = self.opponents(state, row["learner"], env_params).weights
            row["weight"] = float(weights[row["opponent"]][row["slot"]])
        return state, metrics, rows

    def _updater(self, name: str) -> Any:
        learner = self.learners[name]

        def run(state: Any, params: OpponentParams) -> tuple[Any, Metrics]:
            return jax.lax.scan(
                lambda now, _: learner.update(now, params),
                state,
                length=self.config.updates_per_round,
            )

        return run

    def _rate_of_others(self, state: SelfPlayState, name: str) -> Array:
        """Win rates `[K]` of all who meet snapshots of a type, averaged."""
        rates = [
            by_rival[other]
            for by_rival in state.win_rates.values()
            for other in by_rival
            if self._seat[other] == name
        ]
        return jnp.mean(jnp.stack(rates), axis=0)

    def _measure(
        self, state: SelfPlayState, name: str, key: Array, env_params: Any
    ) -> tuple[dict[str, Array], list[dict[str, Any]]]:
        """Plays the newest policy of a type against every snapshot that it can meet."""
        stacked = {other: state.pools[self._seat[other]] for other in self.env.groups}
        newest = {other: int(pool.newest) for other, pool in stacked.items()}
        profiles, met = [], []
        for other in self.rivals(name):
            for slot in np.flatnonzero(np.asarray(stacked[other].used)).tolist():
                profiles.append({**newest, other: slot})
                met.append((other, slot))
        played = self._matches.returns(
            {other: pool.agents for other, pool in stacked.items()}, profiles, key, env_params
        )
        own = played[name]
        rates = {other: jnp.full((self.config.capacity,), 0.5) for other in self.rivals(name)}
        rows = []
        for index, (other, slot) in enumerate(met):
            if self.config.win_rule == "versus":
                margin = own[index] - played[other][index]
            else:
                margin = own[index] - np.median(own)
            rate = float(np.mean(np.where(margin == 0.0, 0.5, margin > 0.0)))
            rates[other] = rates[other].at[slot].set(rate)
            rows.append(
                {
                    "round": int(state.round),
                    "learner": name,
                    "opponent": other,
                    "slot": slot,
                    "born": int(stacked[other].born[slot]),
                    "win_rate": rate,
                    "return_mean": float(own[index].mean()),
                }
            )
        return rates, rows


def _check_seats(env: Environment, seats: Mapping[str, str]) -> None:
    names = set(env.groups)
    if len(names) < 2:
        raise ValueError(f"self-play needs two agent types or more; there is {sorted(names)}")
    for seat, source in seats.items():
        if seat not in names or source not in names or source in seats:
            raise ValueError(
                f"selfplay.seats: {seat!r} is to be played by {source!r}; both must be agent types "
                f"({sorted(names)}), and the second must learn"
            )
        left, right = env.groups[seat], env.groups[source]
        if (left.observation_space, left.action_space, left.num_agents) != (
            right.observation_space,
            right.action_space,
            right.num_agents,
        ):
            raise ValueError(
                f"selfplay.seats: {seat!r} and {source!r} differ in spaces or number of agents"
            )

"""Policies against attacks, in pairs: the same episodes with and without."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeAlias

import jax
import numpy as np
from marl_algos.learners.registry import make_learner
from marl_algos.types import Environment, Learner

from lob_analysis.play.lab import Lab
from lob_analysis.play.simulate import KEEP_INVENTORY, Episodes, Player
from lob_analysis.robustness.adversary import LEARNED_ADVERSARY, Adversary
from lob_analysis.robustness.scenarios import ATTACKER, Scenario
from lob_analysis.statistics.estimates import Estimate, Floats, cvar, paired_difference

Array: TypeAlias = jax.Array

MEASURE: Final = "pnl"


@dataclasses.dataclass(frozen=True)
class PairResult:
    """What an attack did to one type of victim.

    Attributes:
        policy: which policies were attacked.
        scenario: by what.
        agent_type: the victim.
        clean: mean PnL without the attack, ticks times shares.
        damage: what the attack cost the victim, PnL without minus PnL with it.
        worst_clean: mean PnL of the worst 5 % of episodes (CVaR) without the attack.
        worst_attacked: likewise with it.
        inventory_ratio: mean of the largest absolute inventory, with over without; NaN if the
            victim never holds any.
        spread_change: mean change of the spread, ticks.
        depth_change: relative change of the size at both best prices.
        recovery_steps: mean steps from the largest distance between the mids with and without
            until it has halved; what has not by the end counts up to there.
        attacker_pnl: mean PnL of the attacker; None without one.
        attacker_cost: mean cost of the attack: what its losing phases lost if it reports that,
            else what it lost in all; None without an attacker.
        damage_per_cost: damage of all victims over the attacker's cost; None where there is no
            attacker or the attack cost nothing.
    """

    policy: str
    scenario: str
    agent_type: str
    clean: float
    damage: Estimate
    worst_clean: float
    worst_attacked: float
    inventory_ratio: float
    spread_change: Estimate
    depth_change: float
    recovery_steps: float
    attacker_pnl: float | None
    attacker_cost: float | None
    damage_per_cost: float | None


def attack_matrix(
    learner: Learner,
    policies: Mapping[str, Mapping[str, Any]],
    clean: Scenario,
    attacks: Sequence[Scenario],
    key: Array,
    *,
    num_episodes: int = 128,
    adversaries: Mapping[str, Adversary] | None = None,
) -> list[PairResult]:
    """Every policy set in every scenario, against itself in the clean market.

    Args:
        learner: knows how the policies act.
        policies: policy sets by name, each by agent type.
        clean: the market without attack.
        attacks: the others.
        key: of all episodes.
        num_episodes: episodes of a cell.
        adversaries: by name of the policies that they meet, adversaries that have learned.
    """
    clean_player = Player(clean.env, learner, num_episodes, keep=KEEP_INVENTORY)
    without = {
        name: clean_player.play(agents, clean.params, key) for name, agents in policies.items()
    }
    found = []
    for attack in attacks:
        player = clean_player  # scenarios that differ in numbers only share a compiled program
        if attack.env != clean.env:
            player = Player(attack.env, learner, num_episodes, keep=KEEP_INVENTORY)
        for name, agents in policies.items():
            attacked = player.play(agents, attack.params, key)
            found += compare_pair(name, attack.name, without[name], attacked)
    for name, adversary in (adversaries or {}).items():
        attacked = adversary.play(dict(policies[name]), clean.params, key, num_episodes)
        found += compare_pair(name, LEARNED_ADVERSARY, without[name], attacked)
    return found


class Hardener:
    """Policies of a run go on learning in other markets; compiled once for each market.

    Args:
        lab: the run; its learner and settings are taken.
        num_updates: for how long they learn.
    """

    def __init__(self, lab: Lab, num_updates: int) -> None:
        self._lab = lab
        self._num_updates = num_updates
        self._trained: dict[Environment, Any] = {}

    def harden(self, agents: dict[str, Any], env: Environment, params: Any) -> Any:
        """Policies after learning, all types at once.

        Args:
            agents: policies to start from.
            env: where they learn; has the types of the run.
            params: its parameters.
        """
        if env not in self._trained:
            self._trained[env] = jax.jit(self._training(env))
        return self._trained[env](jax.random.key(self._lab.config.seed), agents, params)

    def _training(self, env: Environment) -> Any:
        lab = self._lab
        learner = make_learner(
            lab.config.algo.name,
            env,
            lab.learner.types,
            num_envs=lab.learner.num_envs,
            num_steps=lab.learner.num_steps,
            num_updates=self._num_updates,
        )

        def train(key: Array, agents: dict[str, Any], params: Any) -> Any:
            state = learner.init(key, params).replace(agents=agents)
            state, _ = jax.lax.scan(
                lambda state, _: (learner.update(state, params)[0], None),
                state,
                length=self._num_updates,
            )
            return state.agents

        return train


def harden(lab: Lab, agents: dict[str, Any], training: Scenario, num_updates: int) -> Any:
    """Policies that went on learning in one scenario; see `Hardener`."""
    return Hardener(lab, num_updates).harden(agents, training.env, training.params)


def compare_pair(
    policy: str, scenario: str, clean: Episodes, attacked: Episodes
) -> list[PairResult]:
    """What an attack did, a result for every type of the clean market.

    Args:
        policy: name of the policies.
        scenario: name of the attack.
        clean: episodes without it.
        attacked: the same episodes with it.
    """
    victims = list(clean.results)
    damage = {
        victim: paired_difference(
            clean.of(victim, MEASURE), attacked.of(victim, MEASURE), clean.windows
        )
        for victim in victims
    }
    attacker_pnl = attacker_cost = ratio = None
    if ATTACKER in attacked.results:
        pnl = attacked.of(ATTACKER, MEASURE)
        reported = "manipulation_cost" in attacked.results[ATTACKER]
        cost = attacked.of(ATTACKER, "manipulation_cost") if reported else np.maximum(-pnl, 0.0)
        attacker_pnl, attacker_cost = float(pnl.mean()), float(cost.mean())
        if attacker_cost > 0:
            agents = {name: clean.results[name][MEASURE].shape[-1] for name in victims}
            ratio = sum(agents[name] * damage[name].value for name in victims) / attacker_cost
    before, after = _depth(clean), _depth(attacked)
    recovery = recovery_steps(clean.market["mid"], attacked.market["mid"])
    return [
        PairResult(
            policy=policy,
            scenario=scenario,
            agent_type=victim,
            clean=float(clean.of(victim, MEASURE).mean()),
            damage=damage[victim],
            worst_clean=float(cvar(clean.of(victim, MEASURE))),
            worst_attacked=float(cvar(attacked.of(victim, MEASURE))),
            inventory_ratio=_largest(attacked, victim) / _largest(clean, victim),
            spread_change=paired_difference(_spread(attacked), _spread(clean), clean.windows),
            depth_change=float(after.mean() / before.mean() - 1.0),
            recovery_steps=float(recovery.mean()),
            attacker_pnl=attacker_pnl,
            attacker_cost=attacker_cost,
            damage_per_cost=ratio,
        )
        for victim in victims
    ]


def recovery_steps(clean: Floats, attacked: Floats) -> Floats:
    """Steps until the largest distance between two mids has halved, `[E]`.

    Args:
        clean: `[S, E]` mid without the attack.
        attacked: `[S, E]` mid with it.

    Returns:
        0 where the two never differ; where the distance has not halved by the end, the steps left.
    """
    distance = np.abs(np.asarray(attacked, np.float64) - np.asarray(clean, np.float64))
    steps = len(distance)
    peak = distance.argmax(axis=0)
    top = distance.max(axis=0)
    later = np.arange(steps)[:, None] >= peak
    halved = later & (distance <= top / 2)
    first = np.where(halved.any(axis=0), halved.argmax(axis=0), steps)
    return np.where(top > 0, first - peak, 0).astype(np.float64)


def _largest(episodes: Episodes, victim: str) -> float:
    """Mean over episodes and agents of the largest absolute inventory; NaN if it is zero."""
    held = np.abs(episodes.agents[victim]["inventory"]).max(axis=0).mean()
    return float(held) if held > 0 else float("nan")


def _spread(episodes: Episodes) -> Floats:
    """Mean spread of each episode, ticks; steps without both quotes are left out."""
    quoted = episodes.market["is_quoted"]
    total = np.where(quoted, episodes.market["spread"], 0).sum(axis=0)
    return np.asarray(total / np.maximum(quoted.sum(axis=0), 1), np.float64)


def _depth(episodes: Episodes) -> Floats:
    return np.asarray(episodes.market["bid_size"] + episodes.market["ask_size"], np.float64)

"""How much could be gained against a profile of policies: a lower bound, by looking for it.

For every role, candidates are tried while the others play as they were: constant actions, the
rule-based baselines, and a best response trained by the learner itself. The best candidate is
chosen on one set of episodes and judged on another, so that choosing does not flatter it.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any, Final, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from marl_algos.baselines import contest_params, make_contests
from marl_algos.learners.registry import make_learner
from marl_algos.populations.opponents import WithOpponents, single_opponent
from marl_algos.types import Environment, Learner
from marl_envs import MarketEnv
from marl_envs.spaces import Discrete

from lob_analysis.equilibrium.payoffs import episodes_needed
from lob_analysis.play.lab import Lab
from lob_analysis.play.programs import Program, side_by_side
from lob_analysis.play.simulate import RETURN, Episodes, Player
from lob_analysis.statistics.estimates import Estimate, Floats, two_way_bootstrap

Array: TypeAlias = jax.Array

RESPONSE: Final = "best response"
"""Name of the deviation that was trained."""
JUDGED: Final = ("validation", "test")
"""Splits that candidates play: one to choose them, one to judge the chosen."""
LARGEST_SEARCH: Final = 30
"""Updates of a best response at most, unless told."""
TOLERANCE: Final = 0.2
"""Half width of the interval of a gain, in standard deviations of an episode's gain."""
_QUICK_PLAYS: Final = 4
"""Programs that are played no more often are compiled with little optimization."""
_SALT: Final = 0x6E6173
"""Keeps the episodes apart from those of other evaluations."""


@dataclasses.dataclass(frozen=True)
class Deviation:
    """What one role gained by playing something else.

    Attributes:
        name: of what it played.
        gain: mean gain on the episodes it was chosen on.
        differences: `[E]` gain of each episode it is judged on; None if it was not chosen.
    """

    name: str
    gain: float
    differences: Floats | None = None


@dataclasses.dataclass(frozen=True)
class Exploitability:
    """A lower bound on what deviations gain against a profile.

    Attributes:
        measure: result of an episode in which gains are counted.
        deviations: by role, all that were tried, the chosen one first.
        windows: `[E]` windows of the episodes that the chosen ones are judged on.
    """

    measure: str
    deviations: dict[str, list[Deviation]]
    windows: np.ndarray[Any, Any]

    def gain(self, role: str) -> Estimate:
        """Gain of the chosen deviation of a role; zero if none seemed to gain."""
        return two_way_bootstrap(self._samples(role), self.windows)

    @property
    def nash_conv(self) -> Estimate:
        """Sum of the gains of all roles: a lower bound on NashConv, with its interval."""
        total = np.sum([self._samples(role) for role in self.deviations], axis=0)
        return two_way_bootstrap(total, self.windows)

    def _samples(self, role: str) -> Floats:
        found = self.deviations[role][0].differences
        return np.zeros(len(self.windows)) if found is None else found


class Responder:
    """Trains best responses of one role to policies that stay as they are; compiled once.

    A search starts from the role's own policy where the structure of the learner allows it, so
    that no budget is spent on getting as far as that.

    Args:
        env: the environment.
        learner: knows how the policies act.
        role: who responds.
        algo: name of the learner that searches.
        num_updates: its budget.
    """

    def __init__(
        self, env: Environment, learner: Learner, role: str, *, algo: str, num_updates: int
    ) -> None:
        self.role = role
        self.num_updates = num_updates
        self._others = sorted(set(env.groups) - {role})
        inner = WithOpponents(env, learner, self._others, greedy=True) if self._others else env
        self._searcher = make_learner(
            algo,
            inner,
            {role: learner.types[role]},
            num_envs=learner.num_envs,
            num_steps=learner.num_steps,
            num_updates=num_updates,
        )
        self._search = Program(self._train)

    def prepare(self, agents: dict[str, Any], params: Any) -> None:
        """Compiles `respond` for arguments of these shapes, so that threads can share the work."""
        self._search.prepared(*self._arguments(agents, params, jax.random.key(0)))

    def respond(self, agents: dict[str, Any], params: Any, key: Array) -> Any:
        """The policy that was found.

        Args:
            agents: policies of all roles.
            params: parameters of the environment.
            key: of the exploration.
        """
        return self._search(*self._arguments(agents, params, key))

    def _arguments(self, agents: dict[str, Any], params: Any, key: Array) -> tuple[Any, ...]:
        if self._others:
            params = single_opponent(params, {name: agents[name] for name in self._others})
        return key, agents[self.role], params

    def _train(self, key: Array, own: Any, params: Any) -> Any:
        state = self._searcher.init(key, params)
        if _shapes(state.agents[self.role]) == _shapes(own):
            state = state.replace(agents={self.role: own})
        state, _ = jax.lax.scan(
            lambda state, _: (self._searcher.update(state, params)[0], None),
            state,
            length=self.num_updates,
        )
        return state.agents[self.role]


def _shapes(tree: Any) -> Any:
    return jax.tree.map(lambda x: (jnp.shape(x), jnp.result_type(x)), tree)


def search_budget(learner: Learner, num_profiles: int) -> int:
    """Updates of each best response, so that all of them together take no more than the run did.

    At most `LARGEST_SEARCH`.

    Args:
        learner: of the run; its updates are those of a whole run.
        num_profiles: profiles that responses are trained against, one for every role of each.
    """
    share = learner.num_updates // (num_profiles * len(learner.types))
    return max(1, min(LARGEST_SEARCH, share))


def judging_episodes(num_gains: int) -> int:
    """Episodes with which all gains are known to within `TOLERANCE` at once, at the 95 % level.

    Args:
        num_gains: roles times profiles; see `episodes_needed`.
    """
    return episodes_needed(1.0, TOLERANCE, num_gains)


@dataclasses.dataclass(frozen=True)
class _Rule:
    """One role repeats an action, of its own scheme or of a baseline's.

    Attributes:
        role: who.
        player: plays the market with that scheme.
        params: of that market, by split.
        action: `[A, ...]`.
        is_own: the scheme is that of the policies.
    """

    role: str
    player: Player
    params: Mapping[str, Any]
    action: Array
    is_own: bool

    def _seats(self, agents: dict[str, Any]) -> dict[str, Any]:
        return {name: x for name, x in agents.items() if self.is_own or name != self.role}

    def prepare(self, agents: dict[str, Any]) -> None:
        """Compiles what `play` needs."""
        for split in JUDGED:
            self.player.prepare(
                self._seats(agents), self.params[split], fixed={self.role: self.action}
            )

    def play(self, agents: dict[str, Any], split: str, key: Array) -> Episodes:
        """Episodes in which the others play their policies."""
        return self.player.play(
            self._seats(agents), self.params[split], key, fixed={self.role: self.action}
        )


class DeviationSearch:
    """Looks for profitable deviations from the greedy policies of a run.

    Candidates are trained on the training split, chosen on the validation split and judged on the
    test split, episode by episode against what the role earns as it is. Policies, best responses
    and constant actions of all roles are played by one compiled program; those of the best
    responses serve all profiles; all are compiled side by side.

    Args:
        lab: the run.
        num_updates: budget of each best response.
        num_episodes: episodes of every candidate, on each of the two splits.
        measure: result of an episode in which gains are counted.
        seed: of the search and of the episodes.
        num_steps: length of an episode, for games other than the market.
        num_profiles: profiles that will be searched against; says what is worth compiling well.
    """

    def __init__(
        self,
        lab: Lab,
        *,
        num_updates: int,
        num_episodes: int,
        measure: str = RETURN,
        seed: int = 0,
        num_steps: int | None = None,
        num_profiles: int = 1,
    ) -> None:
        env = lab.market.env
        params: dict[str, Any] = dict(lab.market.params.items())
        self.measure = measure
        self._params = params
        self._key = jax.random.fold_in(jax.random.key(lab.config.seed), _SALT + seed)
        self._player = Player(env, lab.learner, num_episodes, num_steps=num_steps)
        self._responders = {
            role: Responder(
                env, lab.learner, role, algo=lab.config.algo.name, num_updates=num_updates
            )
            for role in sorted(env.groups)
        }
        self._scripted = {role: self._constants(role) for role in self._responders}
        for contest in make_contests(env) if isinstance(env, MarketEnv) else ():
            plays = num_profiles * (contest.num_choices + 1)
            other = Player(contest.env, lab.learner, num_episodes, is_quick=plays <= _QUICK_PLAYS)
            known = contest_params(contest, params["train"], params["train"]).calibration
            measured: dict[str, Any] = {
                split: dataclasses.replace(params[split], calibration=known) for split in JUDGED
            }
            for choice in range(contest.num_choices):
                name = f"{contest.policy} {choice}" if contest.num_choices > 1 else contest.policy
                role = contest.agent_type
                self._scripted[role][name] = _Rule(
                    role, other, measured, contest.action(choice), is_own=False
                )

    def _constants(self, role: str) -> dict[str, _Rule]:
        group = self._player.env.groups[role]
        space = group.action_space
        size = space.n if isinstance(space, Discrete) else 0
        return {
            f"always action {action}": _Rule(
                role,
                self._player,
                self._params,
                jnp.full((group.num_agents,), action, jnp.int32),
                is_own=True,
            )
            for action in range(size)
        }

    def _prepare(self, agents: dict[str, Any]) -> None:
        """Compiles everything; a second time nothing is left to do."""
        tasks = [
            functools.partial(responder.prepare, agents, self._params["train"])
            for responder in self._responders.values()
        ]
        tasks.append(functools.partial(self._prepare_policies, agents))
        rules = (rule for rules in self._scripted.values() for rule in rules.values())
        others = {id(rule.player): rule for rule in rules if not rule.is_own}
        tasks += [functools.partial(rule.prepare, agents) for rule in others.values()]
        side_by_side(tasks)

    def _prepare_policies(self, agents: dict[str, Any]) -> None:
        for split in JUDGED:
            self._player.prepare(agents, self._params[split])

    def against(self, agents: dict[str, Any]) -> Exploitability:
        """Tries all deviations from a profile.

        Args:
            agents: policies of all roles.
        """
        self._prepare(agents)
        own = {split: self._play(agents, split) for split in JUDGED}
        found = {}
        for number, (role, responder) in enumerate(self._responders.items()):
            response = responder.respond(
                agents, self._params["train"], jax.random.fold_in(self._key, number)
            )

            def gains(name: str, split: str, role: str = role, response: Any = response) -> Floats:
                if name == RESPONSE:
                    played = self._play(agents | {role: response}, split)
                else:
                    played = self._scripted[role][name].play(agents, split, self._key)
                return played.of(role, self.measure) - own[split].of(role, self.measure)

            tried = [
                Deviation(name, float(gains(name, "validation").mean()))
                for name in (RESPONSE, *self._scripted[role])
            ]
            tried.sort(key=lambda deviation: -deviation.gain)
            if tried[0].gain > 0:
                judged = gains(tried[0].name, "test")
                tried[0] = dataclasses.replace(tried[0], differences=judged)
            found[role] = tried
        return Exploitability(self.measure, found, own["test"].windows)

    def _play(self, agents: dict[str, Any], split: str) -> Episodes:
        return self._player.play(agents, self._params[split], self._key)

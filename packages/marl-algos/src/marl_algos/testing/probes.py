"""Probe environments whose optimal values and policies are known in closed form.

They have the interface of `marl_algos.types.Environment` and cost nothing to simulate, so a
learner that gets one of them wrong has a defect in the part that the probe isolates.
"""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
from marl_envs.spaces import Box, Discrete, Space

Array: TypeAlias = jax.Array
ByType: TypeAlias = dict[str, Array]


@dataclasses.dataclass(frozen=True)
class ProbeGroup:
    """Agents of one type of a probe; fields as in `marl_algos.types.AgentGroup`."""

    num_agents: int
    observation_space: Space
    action_space: Space


class ProbeState(NamedTuple):
    """State of a probe.

    Attributes:
        time: `[]` int32, steps done in the episode.
        cue: `[A]` float32, what was drawn at the start, one number for each agent.
    """

    time: Array
    cue: Array


class Outcome(NamedTuple):
    """What a probe answers to the actions of its single type.

    Attributes:
        reward: `[A]` float32.
        terminated: `[A]` bool.
        truncated: `[A]` bool.
        active: `[A]` bool, the agent took part in the step.
    """

    reward: Array
    terminated: Array
    truncated: Array
    active: Array


class Probe:
    """Base of the probes: one type `"agent"`, cues +-1, an episode of `num_steps` steps.

    Attributes:
        num_agents: agents of the type.
        num_steps: steps of an episode.
    """

    obs_size = 1
    num_actions = 2

    def __init__(self, num_agents: int = 2, num_steps: int = 1) -> None:
        self.num_agents = num_agents
        self.num_steps = num_steps

    @property
    def groups(self) -> dict[str, ProbeGroup]:
        """The single type."""
        box = Box(-float("inf"), float("inf"), (self.obs_size,))
        return {"agent": ProbeGroup(self.num_agents, box, Discrete(self.num_actions))}

    def observe(self, state: ProbeState) -> Array:
        """`[A, F]` float32; zeros unless a probe says otherwise."""
        return jnp.zeros((self.num_agents, self.obs_size))

    def answer(self, state: ProbeState, action: Array) -> Outcome:
        """Consequences of the actions `[A]` of step `state.time`."""
        raise NotImplementedError

    def outcome(self, state: ProbeState, reward: Array, *, truncates: bool = False) -> Outcome:
        """An outcome for all agents that ends the episode after `num_steps` steps."""
        last = jnp.broadcast_to(state.time + 1 >= self.num_steps, (self.num_agents,))
        never = jnp.zeros_like(last)
        return Outcome(
            jnp.broadcast_to(jnp.asarray(reward, jnp.float32), (self.num_agents,)),
            never if truncates else last,
            last if truncates else never,
            ~never,
        )

    def reset_env(self, key: Array, params: Any) -> tuple[ByType, ProbeState]:
        """Observations and state at the start of an episode; `params` are not needed."""
        cue = jnp.where(jax.random.bernoulli(key, 0.5, (self.num_agents,)), 1.0, -1.0)
        state = ProbeState(jnp.zeros((), jnp.int32), cue)
        return {"agent": self.observe(state)}, state

    def step_env(
        self, key: Array, state: ProbeState, action: ByType, params: Any
    ) -> tuple[ByType, ProbeState, ByType, ByType, ByType, dict[str, Any]]:
        """One step without reset."""
        outcome = self.answer(state, action["agent"])
        after = ProbeState(state.time + 1, state.cue)
        info = {
            "active": {"agent": outcome.active},
            "episode": {"done": after.time >= self.num_steps},
            "market": {"time": after.time},
            "counters": {},
        }
        return (
            {"agent": self.observe(after)},
            after,
            {"agent": outcome.reward},
            {"agent": outcome.terminated},
            {"agent": outcome.truncated},
            info,
        )


class ConstantReward(Probe):
    """One step, reward 1: the value is 1."""

    def answer(self, state: ProbeState, action: Array) -> Outcome:
        """Reward 1."""
        return self.outcome(state, jnp.ones(()))


class RewardIsObservation(Probe):
    """One step, the reward is the observation: the value is the observation."""

    def observe(self, state: ProbeState) -> Array:
        """The cue."""
        return state.cue[:, None]

    def answer(self, state: ProbeState, action: Array) -> Outcome:
        """The cue."""
        return self.outcome(state, state.cue)


class DelayedReward(Probe):
    """Two steps, reward 1 after the second: values are gamma, then 1."""

    def __init__(self, num_agents: int = 2) -> None:
        super().__init__(num_agents, 2)

    def observe(self, state: ProbeState) -> Array:
        """The number of steps done."""
        return jnp.full((self.num_agents, 1), state.time, jnp.float32)

    def answer(self, state: ProbeState, action: Array) -> Outcome:
        """Reward at the end."""
        return self.outcome(state, jnp.where(state.time == 1, 1.0, 0.0))


class ActionDecides(Probe):
    """One step, action 1 earns 1 and action 0 loses 1."""

    def answer(self, state: ProbeState, action: Array) -> Outcome:
        """Reward by action."""
        return self.outcome(state, 2.0 * action - 1.0)


class ObservationTimesAction(RewardIsObservation):
    """One step, the action whose sign is that of the observation earns 1, the other loses 1."""

    def answer(self, state: ProbeState, action: Array) -> Outcome:
        """Reward by observation and action."""
        return self.outcome(state, state.cue * (2.0 * action - 1.0))


class EndlessReward(Probe):
    """Reward 1 on every step, cut every 5 steps without being terminal: value 1 / (1 - gamma)."""

    def __init__(self, num_agents: int = 2) -> None:
        super().__init__(num_agents, 5)

    def answer(self, state: ProbeState, action: Array) -> Outcome:
        """Reward 1; the last step truncates."""
        return self.outcome(state, jnp.ones(()), truncates=True)


class Memory(Probe):
    """The cue is shown on the first step only; on the last step the action must match it.

    Matching earns 1, the contrary loses 1; nothing else is rewarded.
    """

    obs_size = 2

    def __init__(self, num_agents: int = 2, num_steps: int = 4) -> None:
        super().__init__(num_agents, num_steps)

    def observe(self, state: ProbeState) -> Array:
        """The cue on the first step, and whether this is the last step."""
        cue = jnp.where(state.time == 0, state.cue, 0.0)
        is_last = jnp.full((self.num_agents,), state.time == self.num_steps - 1, jnp.float32)
        return jnp.stack([cue, is_last], axis=-1)

    def answer(self, state: ProbeState, action: Array) -> Outcome:
        """Reward on the last step."""
        match = state.cue * (2.0 * action - 1.0)
        return self.outcome(state, jnp.where(state.time == self.num_steps - 1, match, 0.0))


class EarlyFinish(Probe):
    """Agents finish after their first step, with reward 1, while the episode goes on.

    What they are paid afterwards (100 a step) is not theirs: the value of the first observation
    is 1, and later transitions must not reach any loss.
    """

    def __init__(self, num_agents: int = 2) -> None:
        super().__init__(num_agents, 4)

    def observe(self, state: ProbeState) -> Array:
        """Whether the agent still takes part."""
        return jnp.full((self.num_agents, 1), state.time == 0, jnp.float32)

    def answer(self, state: ProbeState, action: Array) -> Outcome:
        """Everyone finishes at the first step."""
        outcome = self.outcome(state, jnp.where(state.time == 0, 1.0, 100.0))
        is_first = jnp.broadcast_to(state.time == 0, (self.num_agents,))
        return outcome._replace(terminated=outcome.terminated | is_first, active=is_first)


class TwoTypes:
    """Two types of different widths and opposite rewards, one step.

    `"left"` (2 agents, 2 observations, 2 actions) earns 1 by action 1 and loses 1 by action 0;
    `"right"` (1 agent, 3 observations, 3 actions) earns -1, 0, +1 by actions 2, 1, 0. The
    observation of each is a one-hot mark of its type.
    """

    @property
    def groups(self) -> dict[str, ProbeGroup]:
        """Both types."""
        infinity = float("inf")
        return {
            "left": ProbeGroup(2, Box(-infinity, infinity, (2,)), Discrete(2)),
            "right": ProbeGroup(1, Box(-infinity, infinity, (3,)), Discrete(3)),
        }

    def _observe(self) -> ByType:
        return {
            "left": jnp.broadcast_to(jnp.array([1.0, 0.0]), (2, 2)),
            "right": jnp.array([[0.0, 0.0, 1.0]]),
        }

    def reset_env(self, key: Array, params: Any) -> tuple[ByType, ProbeState]:
        """Observations and state at the start of an episode."""
        return self._observe(), ProbeState(jnp.zeros((), jnp.int32), jnp.zeros((3,)))

    def step_env(
        self, key: Array, state: ProbeState, action: ByType, params: Any
    ) -> tuple[ByType, ProbeState, ByType, ByType, ByType, dict[str, Any]]:
        """One step without reset."""
        reward = {"left": 2.0 * action["left"] - 1.0, "right": 1.0 - action["right"]}
        ends = {"left": jnp.ones((2,), bool), "right": jnp.ones((1,), bool)}
        info = {
            "active": ends,
            "episode": {"done": jnp.ones((), bool)},
            "market": {},
            "counters": {},
        }
        never = {name: jnp.zeros_like(flag) for name, flag in ends.items()}
        return self._observe(), state, reward, ends, never, info


class MaskedActions(Probe):
    """Two steps; some agents may not take every action, and some none.

    With cue +1 actions 0 and 1 are allowed and earn 0 and 1, so that values are 1 + gamma and 1.
    With cue -1 nothing is allowed, which leaves action 0, the no-op, worth 0. What is not allowed
    would cost 100. Observations are the cue and the number of steps done.
    """

    obs_size = 2
    num_actions = 3

    def __init__(self, num_agents: int = 2) -> None:
        super().__init__(num_agents, 2)

    def observe(self, state: ProbeState) -> Array:
        """The cue and the time."""
        return jnp.stack([state.cue, jnp.full_like(state.cue, state.time)], axis=-1)

    def action_mask(self, state: ProbeState, params: Any) -> ByType:
        """Which actions are allowed, `[A, 3]` bool."""
        free = jnp.array([True, True, False])
        return {"agent": (state.cue > 0.0)[:, None] & free}

    def answer(self, state: ProbeState, action: Array) -> Outcome:
        """Reward by action; what is not allowed costs 100."""
        paid = jnp.where(action == 2, -100.0, action.astype(jnp.float32))
        unable = jnp.where(action == 0, 0.0, -100.0)
        return self.outcome(state, jnp.where(state.cue > 0.0, paid, unable))

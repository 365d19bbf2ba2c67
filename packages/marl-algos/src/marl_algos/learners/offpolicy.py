"""The loop of learners that replay stored experience: play, store, sample, descend."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from functools import partial
from typing import Any, ClassVar, TypeAlias

import jax
import jax.numpy as jnp
from flax import struct
from marl_envs.batching import compute_if_any

from marl_algos.learners.advantages import discounted_sums
from marl_algos.learners.common import LearnerBase, is_finite, weight_of_past
from marl_algos.learners.replay import Experience, Replay, n_step
from marl_algos.rollout import EnvStep, Outcome, run_steps
from marl_algos.settings import TypeConfig
from marl_algos.settings_replay import ReplayConfig
from marl_algos.types import Environment, Metrics, Move, RolloutState

Array: TypeAlias = jax.Array


@struct.dataclass
class ReplayRunnerState:
    """Everything a run of such a learner needs to go on.

    Attributes:
        agents: by type, what it has learned; at least `obs_moments` and `return_moments`.
        shared: what is learned for all types together.
        rollout: where the environments stand.
        replay: stored experience.
        key: source of randomness.
        update: `[]` int32, updates done.
    """

    agents: dict[str, Any]
    shared: Any
    rollout: RolloutState
    replay: Replay
    key: Array
    update: Array


class ReplayLearner(LearnerBase):
    """Base of those learners: pure methods to jit.

    Raises:
        ValueError: as `LearnerBase`; also if settings differ by type that must not.
    """

    settings_class = ReplayConfig
    equal_settings: ClassVar[tuple[str, ...]] = (
        "buffer_size",
        "learning_starts",
        "num_gradient_steps",
    )
    """Settings that all types have in common."""

    def __init__(
        self,
        env: Environment,
        types: Mapping[str, TypeConfig],
        *,
        num_envs: int,
        num_steps: int,
        num_updates: int,
    ) -> None:
        super().__init__(
            env, types, num_envs=num_envs, num_steps=num_steps, num_updates=num_updates
        )
        first = next(iter(self.types.values()))
        for field in self.equal_settings:
            values = {name: getattr(c.settings, field) for name, c in self.types.items()}
            if len(set(values.values())) > 1:
                raise ValueError(f"algo.{field} must be equal for all agent types, not {values}")
        for name, config in self.types.items():
            if config.network.critic_attention:
                raise ValueError(f"agents {name!r}: network.critic_attention needs algo=mappo")
            self.check_type(name, config)
        self.common: Any = first.settings
        self.num_rollouts = -(-self.common.buffer_size // (num_envs * num_steps))

    def check_type(self, name: str, config: TypeConfig) -> None:
        """Refuses what the learner cannot do for one agent type.

        Raises:
            ValueError: naming the type and the setting or space.
        """
        raise NotImplementedError

    def init_agents(self, key: Array, obs: dict[str, Array]) -> tuple[dict[str, Any], Any]:
        """What the types have learned, and what is shared, before the first update.

        Args:
            key: consumed.
            obs: by type `[B, A, F]`.
        """
        raise NotImplementedError

    def explore(
        self,
        agents: dict[str, Any],
        progress: Array,
        keys: dict[str, Array],
        obs: dict[str, Array],
        carry: dict[str, Any],
        is_first: Array,
        legal: dict[str, Array],
    ) -> dict[str, Move]:
        """Actions while training, after the share `progress` of the run."""
        raise NotImplementedError

    def gradient_step(
        self,
        agents: dict[str, Any],
        shared: Any,
        replay: Replay,
        key: Array,
        number: Array,
        progress: Array,
    ) -> tuple[dict[str, Any], Any, dict[str, Metrics]]:
        """One step on one sampled batch.

        Args:
            agents: what the types have learned.
            shared: what is shared.
            replay: stored experience.
            key: consumed.
            number: `[]` int32, which gradient step of the run it is.
            progress: `[]` float32, share of the run that is over.

        Returns:
            The new `agents` and `shared`, and numbers by type, `loss` among them.
        """
        raise NotImplementedError

    # --- the loop ------------------------------------------------------------------------------

    def init(self, key: Array, env_params: Any) -> ReplayRunnerState:
        """Fresh networks and environments, and an empty replay."""
        key_env, key_net, key = jax.random.split(key, 3)
        rollout = self.start_rollout(key_env, env_params)
        agents, shared = self.init_agents(key_net, rollout.obs)
        rows, carry = jax.eval_shape(
            lambda: self._play(agents, rollout, env_params, key, jnp.zeros((), jnp.int32))[1:3]
        )
        replay = Replay.create(rows, carry, self.num_rollouts)
        return ReplayRunnerState(agents, shared, rollout, replay, key, jnp.zeros((), jnp.int32))

    def update(
        self, state: ReplayRunnerState, env_params: Any
    ) -> tuple[ReplayRunnerState, Metrics]:
        """One rollout, then gradient steps; see `marl_algos.types.Learner`.

        The numbers of the gradient steps are NaN as long as there are none.
        """
        key_play, key_learn, key = jax.random.split(state.key, 3)
        progress = state.update.astype(jnp.float32) / self.num_updates
        rollout, rows, carry, metrics, agents = self._play(
            state.agents, state.rollout, env_params, key_play, state.update
        )
        replay = state.replay.add(rows, carry)
        steps = self.common.num_gradient_steps

        def learn() -> tuple[Any, Any]:
            def step(now: tuple[Any, Any], index: Array) -> tuple[Any, Any]:
                agents, shared, numbers = self.gradient_step(
                    *now,
                    replay,
                    jax.random.fold_in(key_learn, index),
                    state.update * steps + index,
                    progress,
                )
                return (agents, shared), numbers

            now, numbers = jax.lax.scan(step, (agents, state.shared), jnp.arange(steps))
            return now, jax.tree.map(jnp.mean, numbers)

        blank = jax.tree.map(
            lambda x: jnp.full(x.shape, jnp.nan, x.dtype), jax.eval_shape(learn)[1]
        )
        before = (agents, state.shared), blank
        is_ready = replay.count * self.num_envs * self.num_steps >= self.common.learning_starts
        (learned, shared), numbers = jax.tree.map(
            lambda new, old: jnp.where(is_ready, new, old),
            compute_if_any(is_ready, learn, before),
            before,
        )
        finite = is_finite((learned, shared))
        for name, own in numbers.items():
            metrics["agents"][name] |= own
            finite &= jnp.isfinite(own["loss"]) | ~is_ready
        metrics["finite"] = finite
        after = ReplayRunnerState(learned, shared, rollout, replay, key, state.update + 1)
        return after, metrics

    def _play(
        self,
        agents: dict[str, Any],
        rollout: RolloutState,
        env_params: Any,
        key: Array,
        update: Array,
    ) -> tuple[RolloutState, dict[str, Experience], dict[str, Any], Metrics, dict[str, Any]]:
        """One rollout: where it leads, what is stored of it, metrics, agents with new moments."""
        after, raw, metrics = run_steps(
            self.env,
            env_params,
            partial(self.explore, agents, update.astype(jnp.float32) / self.num_updates),
            self._record,
            rollout,
            key,
            self.num_steps,
        )
        past = weight_of_past(update)
        rows, seen = {}, {}
        for name, row in raw.items():
            settings = self.types[name].settings
            active = row.active.reshape(-1)
            sums = discounted_sums(row.reward, row.cut, settings.discount)
            seen[name] = dataclasses.replace(
                agents[name],
                obs_moments=agents[name].obs_moments.update(
                    row.obs.reshape(-1, row.obs.shape[-1]), active, past
                ),
                return_moments=agents[name].return_moments.update(sums.reshape(-1), active, past),
            )
            rows[name] = row
            if not self.types[name].network.is_recurrent:
                rows[name] = n_step(row, settings.discount, getattr(settings, "n_step", 1))
        return after, rows, rollout.carry, metrics, seen

    def _record(
        self,
        now: RolloutState,
        legal: dict[str, Array],
        moves: dict[str, Move],
        after: EnvStep,
        outcomes: dict[str, Outcome],
    ) -> dict[str, Experience]:
        """What is kept of one step."""
        return {
            name: Experience(
                obs=now.obs[name],
                action=move.action,
                reward=outcomes[name].reward,
                next_obs=after.final_obs[name],
                discount=self.types[name].settings.discount
                * (1.0 - outcomes[name].terminated.astype(jnp.float32)),
                cut=outcomes[name].cut,
                is_first=jnp.broadcast_to(now.is_first[:, None], outcomes[name].cut.shape),
                active=outcomes[name].active,
                next_legal=after.final_legal.get(name),
                legal=legal.get(name),
            )
            for name, move in moves.items()
        }

    # --- pieces of losses ----------------------------------------------------------------------

    def prepare(self, agents: dict[str, Any], rows: dict[str, Experience]) -> dict[str, Experience]:
        """Sampled experience with observations and rewards as the networks see them."""
        obs = self.normalize_obs(agents, {name: row.obs for name, row in rows.items()})
        next_obs = self.normalize_obs(agents, {name: row.next_obs for name, row in rows.items()})
        prepared = {}
        for name, row in rows.items():
            reward = row.reward
            if self.types[name].settings.normalize_reward:
                reward = reward / agents[name].return_moments.rms
            prepared[name] = dataclasses.replace(
                row, obs=obs[name], next_obs=next_obs[name], reward=reward
            )
        return prepared


def move_target(target: Any, online: Any, settings: ReplayConfig, number: Array) -> Any:
    """Target parameters after gradient step `number`."""
    is_due = (number + 1) % settings.target_every == 0
    rate = jnp.where(is_due, settings.target_rate, 0.0)
    return jax.tree.map(lambda old, new: old + rate * (new - old), target, online)

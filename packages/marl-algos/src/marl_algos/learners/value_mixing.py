"""VDN and QMIX: action values of single agents, mixed into one value of the team.

All agents of all types form the team; its reward is the mean of theirs, so that a reward that
all share is itself. Each agent still acts on its own values alone.

References:
    Sunehag et al. (2018), "Value-decomposition networks for cooperative multi-agent learning";
    Rashid et al. (2018), "QMIX: monotonic value function factorisation for deep multi-agent
    reinforcement learning".
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, TypeAlias

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax import struct

from marl_algos.learners.common import descend, linear, optimizer
from marl_algos.learners.dqn import DQN
from marl_algos.learners.losses import value_loss
from marl_algos.learners.offpolicy import move_target
from marl_algos.learners.replay import Experience, Replay, n_step_targets
from marl_algos.networks.precision import of_layer
from marl_algos.settings import TypeConfig
from marl_algos.settings_replay import MixingConfig
from marl_algos.types import Environment, Metrics

Array: TypeAlias = jax.Array


class SumMixer(nn.Module):
    """VDN: the value of the team is the sum of its agents' values."""

    @nn.compact
    def __call__(self, values: Array, state: Array) -> Array:
        """Team values `[...]` of values `[..., N]`; the state is not looked at."""
        return jnp.sum(values, axis=-1)


class MonotonicMixer(nn.Module):
    """QMIX: a network that never falls in any agent's value; its weights depend on the state.

    Attributes:
        size: width of the mixing network.
        hypernet_size: hidden width of the networks that make its weights.

    References:
        Rashid et al. (2018), figure 2 and section 4.1.
    """

    size: int
    hypernet_size: int

    @nn.compact
    def __call__(self, values: Array, state: Array) -> Array:
        """Team values `[...]` of values `[..., N]` in states `[..., S]`."""
        num_agents, exact = values.shape[-1], of_layer("float32")

        def hypernet(outputs: int) -> Array:
            hidden = jax.nn.relu(nn.Dense(self.hypernet_size, **exact)(state))
            output: Array = nn.Dense(outputs, **exact)(hidden)
            return output

        inner = jnp.abs(hypernet(num_agents * self.size))
        inner = inner.reshape(*state.shape[:-1], num_agents, self.size)
        hidden = jax.nn.elu(
            jnp.einsum("...n,...nh->...h", values, inner, precision=exact["precision"])
            + nn.Dense(self.size, **exact)(state)
        )
        outer = jnp.abs(hypernet(self.size))
        return jnp.sum(hidden * outer, axis=-1) + hypernet(1)[..., 0]


@struct.dataclass
class MixerState:
    """What the team has learned together.

    Attributes:
        params: parameters of the mixer.
        target: those of the target mixer.
        opt_state: state of the optimizer of the mixer and of the networks of all types.
    """

    params: Any
    target: Any
    opt_state: Any


class ValueMixing(DQN):
    """Q-learning of a team on one environment: pure methods to jit.

    Attributes:
        mixer: module that mixes values.

    Raises:
        ValueError: as `DQN`; also if settings differ by type, since there is one loss.
    """

    settings_class = MixingConfig
    equal_settings = tuple(field.name for field in dataclasses.fields(MixingConfig))

    def __init__(
        self,
        env: Environment,
        types: Mapping[str, TypeConfig],
        *,
        num_envs: int,
        num_steps: int,
        num_updates: int,
        is_monotonic: bool,
    ) -> None:
        super().__init__(
            env, types, num_envs=num_envs, num_steps=num_steps, num_updates=num_updates
        )
        if is_monotonic:
            self.refuse_tokens()
        settings: MixingConfig = self.common
        self.mixer: nn.Module = (
            MonotonicMixer(settings.mixer_size, settings.hypernet_size)
            if is_monotonic
            else SumMixer()
        )

    def init_agents(self, key: Array, obs: dict[str, Array]) -> tuple[dict[str, Any], Any]:
        """Fresh networks and a fresh mixer, each with a copy as its target."""
        key_agents, key_mixer = jax.random.split(key)
        agents, _ = super().init_agents(key_agents, obs)
        state = _join(obs)
        num_agents = sum(group.num_agents for group in self.env.groups.values())
        params = self.mixer.init(key_mixer, jnp.zeros((self.num_envs, num_agents)), state)
        everything = ({name: agent.params for name, agent in agents.items()}, params)
        opt_state = optimizer(self.common.max_grad_norm).init(everything)
        return agents, MixerState(params, params, opt_state)

    def init_optimizer(self, name: str, params: Any) -> Any:
        """Nothing: one optimizer serves all."""
        return ()

    def gradient_step(
        self,
        agents: dict[str, Any],
        shared: Any,
        replay: Replay,
        key: Array,
        number: Array,
        progress: Array,
    ) -> tuple[dict[str, Any], Any, dict[str, Metrics]]:
        """One step of all networks and of the mixer on one batch."""
        settings: MixingConfig = self.common
        mix: Any = self.mixer.apply
        rows, carry = self.sample(agents, replay, key, settings.batch_size)
        team = _team(rows)

        def loss_fn(everything: Any) -> tuple[Array, Metrics]:
            params, mixer = everything
            chosen, following = [], []
            for name, row in sorted(rows.items()):
                own, after = self.values(name, params[name], agents[name].target, row, carry[name])
                chosen.append(jnp.where(row.active, own, 0.0))
                following.append(jnp.where(row.discount > 0.0, after, 0.0))
            now = mix(mixer, jnp.concatenate(chosen, axis=-1), team.state)
            later = mix(shared.target, jnp.concatenate(following, axis=-1), team.next_state)
            targets = n_step_targets(
                team.reward,
                later,
                team.discount,
                team.cut,
                settings.n_step if self._is_recurrent else 1,
            )
            targets = jax.lax.stop_gradient(targets)
            loss = value_loss(now, targets, team.active, settings.huber_delta)
            return loss, {"loss": loss, "value_mean": jnp.mean(now)}

        everything = ({name: agent.params for name, agent in agents.items()}, shared.params)
        (_, numbers), grads = jax.value_and_grad(loss_fn, has_aux=True)(everything)
        rates = [agent.hyper["learning_rate"] for agent in agents.values()]
        rate = sum(rates) / len(rates) * linear(progress, settings.final_learning_rate)
        (params, mixer), opt_state = descend(
            everything, shared.opt_state, grads, rate, settings.max_grad_norm
        )
        learned = {
            name: agent.replace(
                params=params[name],
                target=move_target(agent.target, params[name], settings, number),
            )
            for name, agent in agents.items()
        }
        target = move_target(shared.target, mixer, settings, number)
        return learned, MixerState(mixer, target, opt_state), dict.fromkeys(agents, numbers)

    @property
    def _is_recurrent(self) -> bool:
        return any(config.network.is_recurrent for config in self.types.values())


@dataclasses.dataclass(frozen=True)
class _Team:
    """Experience of the team, `[T, N]`: state, reward, and so on, without the axis of agents."""

    state: Array
    next_state: Array
    reward: Array
    discount: Array
    cut: Array
    active: Array


def _team(rows: dict[str, Experience]) -> _Team:
    def join(field: str) -> Array:
        return jnp.concatenate([getattr(rows[name], field) for name in sorted(rows)], axis=-1)

    return _Team(
        state=_join({name: row.obs for name, row in rows.items()}),
        next_state=_join({name: row.next_obs for name, row in rows.items()}),
        reward=jnp.mean(join("reward"), axis=-1),
        discount=jnp.max(join("discount"), axis=-1),
        cut=jnp.all(join("cut"), axis=-1),
        active=jnp.any(join("active"), axis=-1),
    )


def _join(obs: dict[str, Array]) -> Array:
    """The joint observation `[..., S]` of observations by type `[..., A, F]`: QMIX's state."""
    parts = [obs[name].reshape(*obs[name].shape[:-2], -1) for name in sorted(obs)]
    return jnp.concatenate(parts, axis=-1)


def make_vdn(
    env: Environment,
    types: Mapping[str, TypeConfig],
    *,
    num_envs: int,
    num_steps: int,
    num_updates: int,
) -> ValueMixing:
    """Value decomposition: `ValueMixing` whose team value is a sum."""
    return ValueMixing(
        env,
        types,
        num_envs=num_envs,
        num_steps=num_steps,
        num_updates=num_updates,
        is_monotonic=False,
    )


def make_qmix(
    env: Environment,
    types: Mapping[str, TypeConfig],
    *,
    num_envs: int,
    num_steps: int,
    num_updates: int,
) -> ValueMixing:
    """QMIX: `ValueMixing` whose team value grows with each agent's by a learned network."""
    return ValueMixing(
        env,
        types,
        num_envs=num_envs,
        num_steps=num_steps,
        num_updates=num_updates,
        is_monotonic=True,
    )

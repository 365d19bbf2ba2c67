"""Independent PPO for any number of agent types, each with its own network and settings.

Agents of a type share one network and are batched; types are looped over in Python, so they may
differ in observations, actions, architecture and hyper-parameters.

References:
    Schulman et al. (2017), "Proximal policy optimization algorithms"; de Witt et al. (2020), "Is
    independent learning all you need in the StarCraft multi-agent challenge?"; Yu et al. (2022),
    "The surprising effectiveness of PPO in cooperative multi-agent games".
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final, TypeAlias

import jax
import jax.numpy as jnp

from marl_algos.learners.advantages import discounted_sums, gae, next_values, normalize_advantages
from marl_algos.learners.common import LearnerBase, is_finite, optimizer, weight_of_past
from marl_algos.learners.losses import action_shares, explained_variance
from marl_algos.learners.ppo_epochs import Batch, descend_epochs
from marl_algos.moments import RunningMoments
from marl_algos.networks import ActorCritic, Carry, Distribution, initial_carry, restrict
from marl_algos.networks.heads import check_action_space, rescale_value_head
from marl_algos.rollout import Decision, collect
from marl_algos.settings import PPOConfig, TypeConfig
from marl_algos.types import (
    Environment,
    Metrics,
    Move,
    RunnerState,
    Trajectory,
    TypeState,
    merge_actors,
    split_by_type,
)

Array: TypeAlias = jax.Array
CriticInputs: TypeAlias = Callable[[dict[str, Array]], dict[str, Array]]
"""Maps (normalized) observations by type `[..., A, F]` to what each type's critic sees."""


def own_observation(obs: dict[str, Array]) -> dict[str, Array]:
    """Every critic sees what its agent sees."""
    return obs


DYNAMIC: Final = (
    "learning_rate",
    "entropy_coef",
    "clip_eps",
    "value_coef",
    "discount",
    "gae_lambda",
)
"""Settings that are read from the state, so that members of a population can differ in them."""


class PPO(LearnerBase):
    """Independent PPO on one environment: pure methods to jit.

    Attributes:
        networks: one module by agent type.
        critic_inputs: what critics see.

    Raises:
        ValueError: as `LearnerBase`; also if a space is not covered, or a batch does not split
            into equal minibatches.
    """

    settings_class = PPOConfig

    def __init__(
        self,
        env: Environment,
        types: Mapping[str, TypeConfig],
        *,
        num_envs: int,
        num_steps: int,
        num_updates: int,
        critic_inputs: CriticInputs = own_observation,
    ) -> None:
        super().__init__(
            env, types, num_envs=num_envs, num_steps=num_steps, num_updates=num_updates
        )
        self.critic_inputs = critic_inputs
        if critic_inputs is not own_observation:
            self.refuse_tokens()
        self.networks = {}
        for name, config in self.types.items():
            group = env.groups[name]
            check_action_space(name, group.action_space)
            if config.network.shared and critic_inputs is not own_observation:
                raise ValueError(
                    f"agents {name!r}: network.shared=true needs a critic that sees what the "
                    "policy sees"
                )
            if config.network.critic_attention and critic_inputs is own_observation:
                raise ValueError(f"agents {name!r}: network.critic_attention needs algo=mappo")
            rows = num_envs * group.num_agents
            if not config.network.is_recurrent:
                rows *= num_steps
            parts = config.settings.num_minibatches
            if rows % parts:
                what = "actors" if config.network.is_recurrent else "rows"
                raise ValueError(
                    f"agents {name!r}: {rows} {what} do not split into num_minibatches={parts}"
                )
            self.networks[name] = ActorCritic(
                group.action_space, config.network, self.vocabulary(name)
            )

    # --- start ---------------------------------------------------------------------------------

    def init(self, key: Array, env_params: Any) -> RunnerState:
        """Fresh networks and environments."""
        key_env, key_net, key = jax.random.split(key, 3)
        rollout = self.start_rollout(key_env, env_params)
        keys = split_by_type(key_net, self.env.groups)
        critic_obs = self.critic_inputs(rollout.obs)
        agents = {}
        for name, config in self.types.items():
            obs = rollout.obs[name]
            params = self.networks[name].init(
                keys[name],
                initial_carry(config.network, obs.shape[:-1]),
                obs[None],
                critic_obs[name][None],
                jnp.zeros((1, *obs.shape[:-1]), bool),
            )
            agents[name] = TypeState(
                params=params,
                opt_state=optimizer(config.settings.max_grad_norm).init(params),
                value_moments=RunningMoments.create(),
                obs_moments=RunningMoments.create(obs.shape[-1:]),
                return_moments=RunningMoments.create(),
                hyper={field: jnp.float32(getattr(config.settings, field)) for field in DYNAMIC},
            )
        return RunnerState(agents, rollout, key, jnp.zeros((), jnp.int32))

    def initial_carry(self, num_envs: int) -> dict[str, Carry]:
        """Hidden states by type at the start of an episode, leaves `[num_envs, A, ...]`."""
        return {
            name: initial_carry(config.network, (num_envs, self.env.groups[name].num_agents))
            for name, config in self.types.items()
        }

    # --- acting --------------------------------------------------------------------------------

    def distributions(
        self,
        agents: dict[str, TypeState],
        obs: dict[str, Array],
        carry: dict[str, Carry],
        is_first: Array,
        legal: dict[str, Array],
    ) -> dict[str, tuple[Carry, Distribution, Array]]:
        """Runs all networks for one step.

        Args:
            agents: what each type has learned.
            obs: by type `[B, A, F]`.
            carry: hidden states by type.
            is_first: `[B]` bool.
            legal: action masks by type `[B, A, n]`; types without an entry are free.

        Returns:
            By type: new hidden states, distribution `[B, A]`, value `[B, A]` in reward units.
        """
        obs = self.normalize_obs(agents, obs)
        critic_obs = self.critic_inputs(obs)
        outputs = {}
        for name, network in self.networks.items():
            reset = jnp.broadcast_to(is_first[:, None], obs[name].shape[:-1])
            output: Any = network.apply(
                agents[name].params,
                carry[name],
                obs[name][None],
                critic_obs[name][None],
                reset[None],
            )
            new, distribution, value = output
            single = restrict(jax.tree.map(lambda x: x[0], distribution), legal.get(name))
            outputs[name] = (new, single, agents[name].value_moments.denormalize(value[0]))
        return outputs

    def act(
        self,
        agents: dict[str, TypeState],
        keys: dict[str, Array],
        obs: dict[str, Array],
        carry: dict[str, Carry],
        is_first: Array,
        legal: dict[str, Array],
    ) -> dict[str, Decision]:
        """Samples actions of all types."""
        outputs = self.distributions(agents, obs, carry, is_first, legal)
        decisions = {}
        for name, (new, distribution, value) in outputs.items():
            action = distribution.sample(keys[name])
            decisions[name] = Decision(action, distribution.log_prob(action), value, new)
        return decisions

    def play(
        self,
        agents: dict[str, TypeState],
        keys: dict[str, Array],
        obs: dict[str, Array],
        carry: dict[str, Carry],
        is_first: Array,
        *,
        greedy: Array | bool,
        legal: dict[str, Array] | None = None,
    ) -> dict[str, Move]:
        """Actions, the most probable or sampled; see `marl_algos.types.Learner`."""
        policies = self.policies(agents, obs, carry, is_first, legal or {})
        return {
            name: Move(jnp.where(greedy, policy.mode(), policy.sample(keys[name])), new)
            for name, (new, policy) in policies.items()
        }

    def policies(
        self,
        agents: dict[str, TypeState],
        obs: dict[str, Array],
        carry: dict[str, Carry],
        is_first: Array,
        legal: dict[str, Array],
    ) -> dict[str, tuple[Carry, Distribution]]:
        """New hidden states and distributions `[B, A]` of the types in `obs`, without critics."""
        outputs = {}
        for name, x in self.normalize_obs(agents, obs).items():
            reset = jnp.broadcast_to(is_first[:, None], x.shape[:-1])
            output: Any = self.networks[name].apply(
                agents[name].params, carry[name], x[None], reset[None], method=ActorCritic.policy
            )
            new, distribution = output
            single = jax.tree.map(lambda leaf: leaf[0], distribution)
            outputs[name] = (new, restrict(single, legal.get(name)))
        return outputs

    def values(
        self,
        agents: dict[str, TypeState],
        obs: dict[str, Array],
        carry: dict[str, Carry],
        is_first: Array,
    ) -> dict[str, Array]:
        """Values `[B, A]` by type, in units of the reward."""
        obs = self.normalize_obs(agents, obs)
        critic_obs = self.critic_inputs(obs)
        values = {}
        for name, network in self.networks.items():
            reset = jnp.broadcast_to(is_first[:, None], obs[name].shape[:-1])
            value = network.apply(
                agents[name].params,
                carry[name],
                obs[name][None],
                critic_obs[name][None],
                reset[None],
                method=ActorCritic.value,
            )
            values[name] = agents[name].value_moments.denormalize(value[0])
        return values

    # --- learning ------------------------------------------------------------------------------

    def update(self, state: RunnerState, env_params: Any) -> tuple[RunnerState, Metrics]:
        """One rollout, then gradient steps for every type; see `marl_algos.types.Learner`."""
        key_rollout, key_learn, key = jax.random.split(state.key, 3)
        agents = state.agents
        rollout, trajectories, last_values, metrics = collect(
            self.env,
            env_params,
            partial(self.act, agents),
            partial(self.values, agents),
            state.rollout,
            key_rollout,
            self.num_steps,
        )
        raw = {name: trajectory.obs for name, trajectory in trajectories.items()}
        obs = self.normalize_obs(agents, raw)
        critic_obs = self.critic_inputs(obs)
        keys = split_by_type(key_learn, self.env.groups)
        learned, finite = {}, jnp.ones((), bool)
        for name, trajectory in trajectories.items():
            learned[name], numbers = self._learn(
                name,
                agents[name],
                dataclasses.replace(trajectory, obs=obs[name]),
                critic_obs[name],
                state.rollout.carry[name],
                last_values[name],
                keys[name],
                state.update,
            )
            moments = agents[name].obs_moments.update(
                raw[name].reshape(-1, raw[name].shape[-1]),
                trajectory.active.reshape(-1),
                weight_of_past(state.update),
            )
            learned[name] = dataclasses.replace(learned[name], obs_moments=moments)
            metrics["agents"][name] |= numbers
            finite &= jnp.isfinite(numbers["loss"]) & is_finite(learned[name].params)
        metrics["finite"] = finite
        return RunnerState(learned, rollout, key, state.update + 1), metrics

    def _learn(
        self,
        name: str,
        agent: TypeState,
        trajectory: Trajectory,
        critic_obs: Array,
        carry: Carry,
        last_value: Array,
        key: Array,
        update: Array,
    ) -> tuple[TypeState, Metrics]:
        """Gradient steps of one type on its trajectory (observations already normalized)."""
        config = self.types[name]
        ppo: PPOConfig = config.settings
        hyper, active = agent.hyper, trajectory.active
        reward, scale = trajectory.reward, agent.return_moments
        if ppo.normalize_reward:
            sums = discounted_sums(reward, trajectory.cut, hyper["discount"])
            scale = scale.update(sums.reshape(-1), active.reshape(-1), weight_of_past(update))
            reward = reward / scale.rms
        following = next_values(
            trajectory.value, last_value, trajectory.final_value, trajectory.cut
        )
        advantages = gae(
            reward,
            trajectory.value,
            following,
            trajectory.terminated,
            trajectory.cut,
            discount=hyper["discount"],
            gae_lambda=hyper["gae_lambda"],
        )
        targets = trajectory.value + advantages
        moments = agent.value_moments.update(
            targets.reshape(-1), active.reshape(-1), ppo.value_norm_decay
        )
        params = rescale_value_head(agent.params, agent.value_moments, moments)
        batch = Batch(
            obs=trajectory.obs,
            critic_obs=critic_obs,
            is_first=trajectory.is_first,
            action=trajectory.action,
            log_prob=trajectory.log_prob,
            advantage=normalize_advantages(advantages, active),
            target=moments.normalize(targets),
            active=active,
            legal=trajectory.legal,
        )
        batch = merge_actors(batch, axis=1)
        if not config.network.is_recurrent:
            batch = jax.tree.map(lambda x: x.reshape(1, -1, *x.shape[2:]), batch)
        params, opt_state, losses = descend_epochs(
            self.networks[name],
            ppo,
            hyper,
            params,
            agent.opt_state,
            batch,
            merge_actors(carry, axis=0),
            key,
            update.astype(jnp.float32) / self.num_updates,
        )
        numbers = {k: jnp.mean(v) for k, v in losses.items() if k != "ratio_error"}
        numbers |= {
            "first_ratio_error": losses["ratio_error"][0, 0],
            "explained_variance": explained_variance(trajectory.value, targets, active),
            "value_mean": jnp.mean(trajectory.value),
        }
        numbers |= action_shares(self.env.groups[name].action_space, trajectory.action, active)
        after = TypeState(params, opt_state, moments, agent.obs_moments, scale, hyper)
        return after, numbers

"""Independent deep Q-learning for any number of agent types.

Agents of a type share one network; every type has its own network, target and settings.

References:
    Mnih et al. (2015), "Human-level control through deep reinforcement learning"; van Hasselt et
    al. (2016), "Deep reinforcement learning with double Q-learning"; Hausknecht and Stone (2015),
    "Deep recurrent Q-learning for partially observable MDPs".
"""

from __future__ import annotations

from typing import Any, Final, TypeAlias

import jax
import jax.numpy as jnp
from flax import struct
from marl_envs.spaces import Discrete

from marl_algos.learners.common import descend, linear, optimizer
from marl_algos.learners.losses import value_loss
from marl_algos.learners.offpolicy import ReplayLearner, move_target
from marl_algos.learners.replay import Experience, Replay, n_step_targets
from marl_algos.moments import RunningMoments, masked_mean
from marl_algos.networks import QNetwork, initial_state, masked_categorical
from marl_algos.settings import TypeConfig
from marl_algos.settings_replay import DQNConfig
from marl_algos.types import Metrics, Move, split_by_type

Array: TypeAlias = jax.Array

_ILLEGAL: Final = -1e9
"""Value of an action that is not allowed, in comparisons."""


@struct.dataclass
class ValueState:
    """What the agents of one type have learned.

    Attributes:
        params: parameters of the network.
        target: those of the target network.
        opt_state: state of the optimizer; an empty tuple if types are optimized together.
        obs_moments: moments of observations, `[F]`.
        return_moments: moments of the discounted returns that rewards are scaled by.
        hyper: settings that are read from here, so that members of a population can differ in
            them: `learning_rate`.
    """

    params: Any
    target: Any
    opt_state: Any
    obs_moments: RunningMoments
    return_moments: RunningMoments
    hyper: dict[str, Array]


class DQN(ReplayLearner):
    """Independent DQN on one environment: pure methods to jit.

    Attributes:
        networks: one module by agent type.

    Raises:
        ValueError: as `ReplayLearner`; also if actions are not `Discrete`, or `n_step` exceeds
            the rollout.
    """

    settings_class = DQNConfig

    def check_type(self, name: str, config: TypeConfig) -> None:
        """Refuses actions that are not `Discrete`, and sums over more steps than a rollout has."""
        space = self.env.groups[name].action_space
        if not isinstance(space, Discrete):
            raise ValueError(
                f"agents {name!r} have the action space {space}; {type(self).__name__} needs "
                "Discrete"
            )
        if config.settings.n_step > self.num_steps:
            raise ValueError(
                f"agents {name!r}: algo.n_step is {config.settings.n_step}; it must be <= "
                f"algo.num_steps = {self.num_steps}"
            )

    @property
    def networks(self) -> dict[str, QNetwork]:
        """One module by agent type."""
        return {
            name: QNetwork(
                self.env.groups[name].action_space.n,
                config.network,
                config.settings.dueling,
                self.vocabulary(name),
            )
            for name, config in self.types.items()
        }

    def initial_carry(self, num_envs: int) -> dict[str, Any]:
        """Hidden states by type at the start of an episode, leaves `[num_envs, A, ...]`."""
        return {
            name: initial_state(config.network, (num_envs, self.env.groups[name].num_agents))
            for name, config in self.types.items()
        }

    def init_agents(self, key: Array, obs: dict[str, Array]) -> tuple[dict[str, Any], Any]:
        """Fresh networks, each with a copy as its target."""
        keys, agents = split_by_type(key, self.env.groups), {}
        carry = self.initial_carry(self.num_envs)
        for name, network in self.networks.items():
            is_first = jnp.zeros((1, *obs[name].shape[:-1]), bool)
            params = network.init(keys[name], carry[name], obs[name][None], is_first)
            agents[name] = ValueState(
                params=params,
                target=params,
                opt_state=self.init_optimizer(name, params),
                obs_moments=RunningMoments.create(obs[name].shape[-1:]),
                return_moments=RunningMoments.create(),
                hyper={"learning_rate": jnp.float32(self.types[name].settings.learning_rate)},
            )
        return agents, ()

    def init_optimizer(self, name: str, params: Any) -> Any:
        """State of the optimizer of one type."""
        return optimizer(self.types[name].settings.max_grad_norm).init(params)

    # --- acting --------------------------------------------------------------------------------

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
        """The best action, or with probability epsilon any that is allowed."""
        epsilon = {}
        for name, config in self.types.items():
            settings: DQNConfig = config.settings
            falls = jnp.clip(progress / settings.epsilon_fraction, 0.0, 1.0)
            epsilon[name] = settings.epsilon_start + falls * (
                settings.epsilon_end - settings.epsilon_start
            )
        return self._choose(agents, epsilon, keys, obs, carry, is_first, legal)

    def play(
        self,
        agents: dict[str, Any],
        keys: dict[str, Array],
        obs: dict[str, Array],
        carry: dict[str, Any],
        is_first: Array,
        *,
        greedy: Array | bool,
        legal: dict[str, Array] | None = None,
    ) -> dict[str, Move]:
        """The best actions, or with `epsilon_end` any; see `marl_algos.types.Learner`."""
        epsilon = {
            name: jnp.where(greedy, 0.0, config.settings.epsilon_end)
            for name, config in self.types.items()
        }
        return self._choose(agents, epsilon, keys, obs, carry, is_first, legal or {})

    def _choose(
        self,
        agents: dict[str, Any],
        epsilon: dict[str, Array],
        keys: dict[str, Array],
        obs: dict[str, Array],
        carry: dict[str, Any],
        is_first: Array,
        legal: dict[str, Array],
    ) -> dict[str, Move]:
        obs, moves = self.normalize_obs(agents, obs), {}
        for name in obs:
            network = self.networks[name]
            reset = jnp.broadcast_to(is_first[:, None], obs[name].shape[:-1])
            output: Any = network.apply(
                agents[name].params, carry[name], obs[name][None], reset[None]
            )
            after, values = output
            values = values[0]
            key_any, key_whether = jax.random.split(keys[name])
            allowed = legal.get(name, jnp.ones(values.shape, bool))
            anything = masked_categorical(jnp.zeros_like(values), allowed).sample(key_any)
            is_random = jax.random.uniform(key_whether, anything.shape) < epsilon[name]
            best = best_action(values, legal.get(name))
            moves[name] = Move(jnp.where(is_random, anything, best), after)
        return moves

    # --- learning ------------------------------------------------------------------------------

    def gradient_step(
        self,
        agents: dict[str, Any],
        shared: Any,
        replay: Replay,
        key: Array,
        number: Array,
        progress: Array,
    ) -> tuple[dict[str, Any], Any, dict[str, Metrics]]:
        """One step of every type on a batch of its own."""
        keys = split_by_type(key, self.env.groups)
        learned, metrics = {}, {}
        for name, config in self.types.items():
            settings: DQNConfig = config.settings
            rows, carry = self.sample(agents, replay, keys[name], settings.batch_size)
            agent, row = agents[name], rows[name]

            def loss_fn(
                params: Any,
                name: str = name,
                row: Experience = row,
                start: Any = carry[name],
                settings: DQNConfig = settings,
            ) -> tuple[Array, Metrics]:
                chosen, following = self.values(name, params, agents[name].target, row, start)
                targets = n_step_targets(
                    row.reward,
                    following,
                    row.discount,
                    row.cut,
                    settings.n_step if self.types[name].network.is_recurrent else 1,
                )
                loss = value_loss(
                    chosen, jax.lax.stop_gradient(targets), row.active, settings.huber_delta
                )
                return loss, {"loss": loss, "value_mean": masked_mean(chosen, row.active)}

            (_, metrics[name]), grads = jax.value_and_grad(loss_fn, has_aux=True)(agent.params)
            rate = agent.hyper["learning_rate"] * linear(progress, settings.final_learning_rate)
            params, opt_state = descend(
                agent.params, agent.opt_state, grads, rate, settings.max_grad_norm
            )
            target = move_target(agent.target, params, settings, number)
            learned[name] = agent.replace(params=params, target=target, opt_state=opt_state)
        return learned, shared, metrics

    def sample(
        self, agents: dict[str, Any], replay: Replay, key: Array, size: int
    ) -> tuple[dict[str, Experience], dict[str, Any]]:
        """Experience `[T, size, A, ...]` of all types, and hidden states before it.

        Without recurrence of any type `T` is 1.
        """
        if any(config.network.is_recurrent for config in self.types.values()):
            rows, carry = replay.rollouts(key, size)
        else:
            rows, carry = replay.steps(key, size), dict.fromkeys(self.types, ())
        return self.prepare(agents, rows), carry

    def values(
        self, name: str, params: Any, target: Any, row: Experience, carry: Any
    ) -> tuple[Array, Array]:
        """Values of what was done, and of the best that could follow, `[T, ..., A]`.

        Args:
            name: agent type.
            params: online parameters.
            target: target parameters.
            row: experience `[T, ..., A]`.
            carry: hidden states before it.
        """
        online, online_next = self._along(name, params, row, carry)
        _, target_next = self._along(name, target, row, carry)
        judge = online_next if self.types[name].settings.double else target_next
        best = best_action(judge, row.next_legal)
        chosen = jnp.take_along_axis(online, row.action[..., None], axis=-1)[..., 0]
        following = jnp.take_along_axis(target_next, best[..., None], axis=-1)[..., 0]
        return chosen, jax.lax.stop_gradient(following)

    def _along(self, name: str, params: Any, row: Experience, carry: Any) -> tuple[Array, Array]:
        """Action values at each step, and after it, `[T, ..., A, n]`.

        What follows a step is valued with the hidden state after that step, so that the last
        observation of a truncated episode is valued as part of that episode.
        """
        network: Any = self.networks[name]
        if not self.types[name].network.is_recurrent:
            _, values = network.apply(params, carry, row.obs, row.is_first)
            _, following = network.apply(params, carry, row.next_obs, row.is_first)
            return values, following

        def step(carry: Any, now: Any) -> tuple[Any, Any]:
            obs, next_obs, is_first = jax.tree.map(lambda x: x[None], now)
            carry, values = network.apply(params, carry, obs, is_first)
            _, following = network.apply(params, carry, next_obs, jnp.zeros_like(is_first))
            return carry, (values[0], following[0])

        _, both = jax.lax.scan(step, carry, (row.obs, row.next_obs, row.is_first))
        values, following = both
        return values, following


def best_action(values: Array, legal: Array | None) -> Array:
    """The action of the highest value among those allowed, `[...]` int32.

    Args:
        values: `[..., n]`.
        legal: `[..., n]` bool; None allows all, and where nothing is allowed 0 is taken.
    """
    if legal is not None:
        values = jnp.where(legal, values, _ILLEGAL)
    return jnp.argmax(values, axis=-1).astype(jnp.int32)

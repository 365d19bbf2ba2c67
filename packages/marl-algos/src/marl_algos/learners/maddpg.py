"""MADDPG: actors that see what their agent sees, critics that see what all see and do.

Types may differ in observations and actions; each has its own actor and critic, or every agent
has (`per_agent`). Continuous actions are squashed by tanh; discrete ones are drawn by the
straight-through Gumbel-softmax.

References:
    Lowe et al. (2017), "Multi-agent actor-critic for mixed cooperative-competitive environments",
    equations 6-7 and appendix algorithm 1.
"""

from __future__ import annotations

from typing import Any, Final, TypeAlias

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax import struct

from marl_algos.learners.common import descend, linear, optimizer
from marl_algos.learners.offpolicy import ReplayLearner, move_target
from marl_algos.learners.replay import Experience, Replay
from marl_algos.moments import RunningMoments, masked_mean
from marl_algos.networks.action_codes import ActionCode
from marl_algos.networks.heads import POLICY_GAIN, VALUE_GAIN, check_action_space
from marl_algos.networks.initializers import orthogonal
from marl_algos.networks.precision import of_layer
from marl_algos.networks.torsos import FeedForward
from marl_algos.settings import NetworkConfig, TypeConfig
from marl_algos.settings_replay import MADDPGConfig
from marl_algos.types import Metrics, Move, split_by_type

Array: TypeAlias = jax.Array

DYNAMIC: Final = ("learning_rate", "actor_learning_rate")
"""Settings that are read from the state."""


class DeterministicNetwork(nn.Module):
    """Dense layers with a linear head.

    Attributes:
        size: numbers that come out.
        gain: of the orthogonal initialization of the head.
        config: architecture of the layers before.
    """

    size: int
    gain: float
    config: NetworkConfig

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """`[..., size]` of inputs `[..., F]`."""
        config, init = self.config, orthogonal(self.gain)
        x = FeedForward(config.hidden, config.activation, config.precision)(x)
        computed = of_layer(config.precision, is_last=True)
        output: Array = nn.Dense(self.size, kernel_init=init, **computed)(x)
        return output


@struct.dataclass
class Networks:
    """Parameters of one agent type, leaves led by `[A]` if every agent has its own.

    Attributes:
        actor: maps observations `[F]` to raw actions.
        critic: maps joint observations and actions to a value.
    """

    actor: Any
    critic: Any


@struct.dataclass
class ActorCriticState:
    """What the agents of one type have learned.

    Attributes:
        online: networks that are trained.
        target: networks that follow them slowly.
        opt_state: states of the optimizers of both.
        obs_moments: moments of observations, `[F]`.
        return_moments: moments of the discounted returns that rewards are scaled by.
        hyper: settings that are read from here, so that members of a population can differ in
            them: `DYNAMIC`.
    """

    online: Networks
    target: Networks
    opt_state: Networks
    obs_moments: RunningMoments
    return_moments: RunningMoments
    hyper: dict[str, Array]


class MADDPG(ReplayLearner):
    """MADDPG on one environment: pure methods to jit.

    Attributes:
        codes: by agent type, how actions are written for critics.

    Raises:
        ValueError: as `ReplayLearner`; also for recurrent networks and unbounded boxes.
    """

    settings_class = MADDPGConfig
    equal_settings = (*ReplayLearner.equal_settings, "batch_size")

    def check_type(self, name: str, config: TypeConfig) -> None:
        """Refuses recurrent networks, tokens, and actions that cannot be coded."""
        self.refuse_tokens()
        check_action_space(name, self.env.groups[name].action_space)
        if config.network.is_recurrent:
            raise ValueError(
                f"agents {name!r}: network.kind is {config.network.kind!r}; "
                "algo=maddpg needs feed_forward"
            )

    @property
    def codes(self) -> dict[str, ActionCode]:
        """By agent type, how actions are written for critics."""
        return {name: ActionCode(group.action_space) for name, group in self.env.groups.items()}

    def initial_carry(self, num_envs: int) -> dict[str, Any]:
        """Nothing to carry, for every type."""
        return dict.fromkeys(self.types, ())

    def init_agents(self, key: Array, obs: dict[str, Array]) -> tuple[dict[str, Any], Any]:
        """Fresh networks, each with a copy as its target."""
        keys, agents = split_by_type(key, self.env.groups), {}
        codes = {
            name: jnp.zeros((*obs[name].shape[:-1], code.size)) for name, code in self.codes.items()
        }
        for name, config in self.types.items():
            key_actor, key_critic = jax.random.split(keys[name])
            inputs = self._critic_inputs(name, obs, codes)
            online = Networks(
                self._init_network(name, key_actor, self._actor(name), obs[name]),
                self._init_network(name, key_critic, self._critic(name), inputs),
            )
            agents[name] = ActorCriticState(
                online=online,
                target=online,
                opt_state=Networks(
                    optimizer(config.settings.max_grad_norm).init(online.actor),
                    optimizer(config.settings.max_grad_norm).init(online.critic),
                ),
                obs_moments=RunningMoments.create(obs[name].shape[-1:]),
                return_moments=RunningMoments.create(),
                hyper={f: jnp.float32(getattr(config.settings, f)) for f in DYNAMIC},
            )
        return agents, ()

    # --- networks ------------------------------------------------------------------------------

    def _actor(self, name: str) -> DeterministicNetwork:
        return DeterministicNetwork(self.codes[name].size, POLICY_GAIN, self.types[name].network)

    def _critic(self, name: str) -> DeterministicNetwork:
        return DeterministicNetwork(1, VALUE_GAIN, self.types[name].network)

    def _init_network(self, name: str, key: Array, network: DeterministicNetwork, x: Array) -> Any:
        """Parameters for inputs `[B, A, F]`, with a leading axis `A` if agents have their own."""
        if not self.types[name].settings.per_agent:
            return network.init(key, x)
        return jax.vmap(network.init, in_axes=(0, -2))(jax.random.split(key, x.shape[-2]), x)

    def _apply(self, name: str, network: DeterministicNetwork, params: Any, x: Array) -> Array:
        """Outputs `[..., A, size]` of inputs `[..., A, F]`."""
        apply: Any = network.apply
        if self.types[name].settings.per_agent:
            apply = jax.vmap(apply, in_axes=(0, -2), out_axes=-2)
        output: Array = apply(params, x)
        return output

    def _critic_inputs(
        self,
        name: str,
        obs: dict[str, Array],
        codes: dict[str, Array],
        own: Array | None = None,
    ) -> Array:
        """What the critics of one type see.

        Args:
            name: agent type.
            obs: by type `[N, A, F]`.
            codes: by type `[N, A, D]`, coded actions.
            own: `[N, A, D]`: each critic sees this action of its own agent instead.

        Returns:
            `[N, A, G]`: all observations, all actions, and which agent of the type it is.
        """
        num_rows, num_agents = obs[name].shape[:2]
        seen = {
            n: jnp.broadcast_to(c[:, None], (num_rows, num_agents, *c.shape[1:]))
            for n, c in codes.items()
        }
        if own is not None:
            is_self = jnp.eye(num_agents, dtype=bool)[None, :, :, None]
            seen[name] = jnp.where(is_self, own[:, None], seen[name])
        parts = []
        for other in sorted(obs):
            flat = obs[other].reshape(num_rows, 1, -1)
            parts.append(jnp.broadcast_to(flat, (num_rows, num_agents, flat.shape[-1])))
        parts += [seen[other].reshape(num_rows, num_agents, -1) for other in sorted(seen)]
        parts.append(jnp.broadcast_to(jnp.eye(num_agents), (num_rows, num_agents, num_agents)))
        return jnp.concatenate(parts, axis=-1)

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
        """Sampled choices, and boxes with noise."""
        return self.play(agents, keys, obs, carry, is_first, greedy=False, legal=legal)

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
        """Actions without or with noise; see `marl_algos.types.Learner`."""
        obs, moves = self.normalize_obs(agents, obs), {}
        for name in obs:
            code = self.codes[name]
            raw = self._apply(name, self._actor(name), agents[name].online.actor, obs[name])
            allowed = (legal or {}).get(name)
            sampled = code.sample(keys[name], raw, allowed, self.types[name].settings.noise)
            moves[name] = Move(jnp.where(greedy, code.mode(raw, allowed), sampled), ())
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
        """One step of every type's critic and actor on one batch of all types."""
        key_sample, key_next, key_own = jax.random.split(key, 3)
        stored = replay.steps(key_sample, self.common.batch_size)
        rows = jax.tree.map(lambda x: x[0], self.prepare(agents, stored))
        obs = {name: row.obs for name, row in rows.items()}
        next_obs = {name: row.next_obs for name, row in rows.items()}
        codes = {name: self.codes[name].encode(row.action) for name, row in rows.items()}
        keys = split_by_type(key_next, self.env.groups)
        next_codes = {
            name: self._relaxed(
                name, agents[name].target.actor, next_obs[name], row.next_legal, keys[name]
            )[0]
            for name, row in rows.items()
        }
        keys = split_by_type(key_own, self.env.groups)
        learned, metrics = {}, {}
        for name in self.types:
            learned[name], metrics[name] = self._descend(
                name,
                agents[name],
                rows[name],
                self._critic_inputs(name, next_obs, next_codes),
                obs,
                codes,
                keys[name],
                progress,
                number,
            )
        return learned, shared, metrics

    def _relaxed(
        self, name: str, params: Any, obs: Array, legal: Array | None, key: Array
    ) -> tuple[Array, Array]:
        """Coded actions of an actor, and its raw outputs, `[N, A, D]` each."""
        raw = self._apply(name, self._actor(name), params, obs)
        temperature = self.types[name].settings.temperature
        return self.codes[name].relax(key, raw, legal, temperature), raw

    def _descend(
        self,
        name: str,
        agent: ActorCriticState,
        row: Experience,
        next_inputs: Array,
        obs: dict[str, Array],
        codes: dict[str, Array],
        key: Array,
        progress: Array,
        number: Array,
    ) -> tuple[ActorCriticState, Metrics]:
        """The new networks of one type, and its losses."""
        settings: MADDPGConfig = self.types[name].settings
        critic = self._critic(name)
        following = self._apply(name, critic, agent.target.critic, next_inputs)[..., 0]
        targets = row.reward + row.discount * following
        inputs = self._critic_inputs(name, obs, codes)

        def critic_loss(params: Any) -> tuple[Array, Array]:
            values = self._apply(name, critic, params, inputs)[..., 0]
            return 0.5 * masked_mean((values - targets) ** 2, row.active), values

        def actor_loss(params: Any) -> Array:
            own, raw = self._relaxed(name, params, row.obs, row.legal, key)
            seen = self._critic_inputs(name, obs, codes, own)
            values = self._apply(name, critic, agent.online.critic, seen)[..., 0]
            saturation = masked_mean(jnp.mean(raw**2, axis=-1), row.active)
            return settings.penalty * saturation - masked_mean(values, row.active)

        (loss, values), critic_grads = jax.value_and_grad(critic_loss, has_aux=True)(
            agent.online.critic
        )
        policy_loss, actor_grads = jax.value_and_grad(actor_loss)(agent.online.actor)
        falls = linear(progress, settings.final_learning_rate)
        new_critic, critic_state = descend(
            agent.online.critic,
            agent.opt_state.critic,
            critic_grads,
            agent.hyper["learning_rate"] * falls,
            settings.max_grad_norm,
        )
        new_actor, actor_state = descend(
            agent.online.actor,
            agent.opt_state.actor,
            actor_grads,
            agent.hyper["actor_learning_rate"] * falls,
            settings.max_grad_norm,
        )
        online = Networks(new_actor, new_critic)
        after = ActorCriticState(
            online=online,
            target=move_target(agent.target, online, settings, number),
            opt_state=Networks(actor_state, critic_state),
            obs_moments=agent.obs_moments,
            return_moments=agent.return_moments,
            hyper=agent.hyper,
        )
        numbers = {
            "loss": loss,
            "policy_loss": policy_loss,
            "value_mean": masked_mean(values, row.active),
        }
        return after, numbers

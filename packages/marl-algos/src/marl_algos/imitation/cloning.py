"""Behavior cloning: policies that imitate rule-based agents of the same market.

References:
    Pomerleau (1991), "Efficient training of artificial neural networks for autonomous navigation".
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp

from marl_algos.imitation.demonstrations import Demonstrations
from marl_algos.learners.common import descend, optimizer
from marl_algos.learners.ippo import PPO
from marl_algos.moments import masked_mean
from marl_algos.networks import ActorCritic, Distribution, initial_carry, restrict
from marl_algos.settings import check_domains
from marl_algos.types import Metrics, TypeState, merge_actors, split_by_type

Array: TypeAlias = jax.Array


@dataclasses.dataclass(frozen=True)
class CloneConfig:
    """How a policy is fitted to what was demonstrated.

    Attributes:
        learning_rate: step size of Adam.
        num_epochs: passes over the demonstrations.
        num_minibatches: gradient steps of a pass; the actors are shared among them.
        max_grad_norm: global norm that gradients are clipped to.

    Raises:
        ValueError: naming the field that is outside its domain.
    """

    learning_rate: float = 3e-3
    num_epochs: int = 50
    num_minibatches: int = 4
    max_grad_norm: float = 0.5

    def __post_init__(self) -> None:
        try:
            check_domains(
                self,
                positive=("learning_rate", "max_grad_norm"),
                counts=("num_epochs", "num_minibatches"),
            )
        except ValueError as error:
            raise ValueError(str(error).replace("algo.", "clone.")) from error


class Cloning:
    """Fits the policies of a PPO learner to demonstrations by maximum likelihood: pure methods.

    Critics are left as they are: they are learned when the policy is trained on.

    Attributes:
        learner: its networks are fitted.
        config: settings.

    Raises:
        ValueError: if the learner has no distributions of actions.
    """

    def __init__(self, learner: Any, config: CloneConfig) -> None:
        if not isinstance(learner, PPO):
            raise ValueError("only policies of algo=ippo and algo=mappo can be cloned")
        self.learner = learner
        self.config = config

    def start(
        self, agents: dict[str, TypeState], shown: Mapping[str, Demonstrations]
    ) -> dict[str, TypeState]:
        """Fresh policies that see observations in units of the demonstrations.

        Args:
            agents: what each type has learned, of which networks are kept.
            shown: demonstrations by type.
        """
        started = {}
        for name, agent in agents.items():
            obs, active = shown[name].obs, shown[name].active
            moments = agent.obs_moments.update(
                obs.reshape(-1, obs.shape[-1]), active.reshape(-1), 0.0
            )
            state = optimizer(self.config.max_grad_norm).init(agent.params)
            started[name] = dataclasses.replace(agent, obs_moments=moments, opt_state=state)
        return started

    def epoch(
        self, agents: dict[str, TypeState], shown: Mapping[str, Demonstrations], key: Array
    ) -> tuple[dict[str, TypeState], dict[str, Metrics]]:
        """One pass of every type over its demonstrations.

        Returns:
            The policies, and by type the mean `loss`.
        """
        keys = split_by_type(key, self.learner.env.groups)
        after, metrics = {}, {}
        for name, agent in agents.items():
            after[name], loss = self._pass(
                name, agent, self._actors(name, agent, shown), keys[name]
            )
            metrics[name] = {"loss": loss}
        return after, metrics

    def judge(
        self, agents: dict[str, TypeState], shown: Mapping[str, Demonstrations]
    ) -> dict[str, Metrics]:
        """How well policies do what was demonstrated, by type.

        Returns:
            `loss`, the mean negative log-likelihood; `accuracy`, the share of steps in which the
            best action is the demonstrated one (actions in a box have `error` instead, the mean
            absolute difference); `distance`, how far the demonstrated action itself lies from
            what the rule wanted (`Demonstrations`).
        """
        judged = {}
        for name, agent in agents.items():
            data = self._actors(name, agent, shown)
            policy = self._policy(name, agent.params, data)
            judged[name] = {
                "loss": _loss(policy, data),
                "distance": masked_mean(data.distance, data.active),
            }
            best = policy.mode()
            if jnp.issubdtype(best.dtype, jnp.integer):
                same = (best == data.action).reshape(*data.active.shape, -1).all(axis=-1)
                judged[name]["accuracy"] = masked_mean(same.astype(jnp.float32), data.active)
            else:
                error = jnp.abs(best - data.action).mean(axis=-1)
                judged[name]["error"] = masked_mean(error, data.active)
        return judged

    def _actors(
        self, name: str, agent: TypeState, shown: Mapping[str, Demonstrations]
    ) -> Demonstrations:
        """Demonstrations of a type with environments and agents on one axis, `[T, N, ...]`."""
        obs = self.learner.normalize_obs({name: agent}, {name: shown[name].obs})[name]
        return merge_actors(dataclasses.replace(shown[name], obs=obs), axis=1)

    def _policy(self, name: str, params: Any, data: Demonstrations) -> Distribution:
        """What the policy would do in every step, `[T, N]`."""
        num_steps, num_actors = data.active.shape
        reset = jnp.broadcast_to(jnp.arange(num_steps)[:, None] == 0, (num_steps, num_actors))
        carry = initial_carry(self.learner.types[name].network, (num_actors,))
        network = self.learner.networks[name]
        output: Any = network.apply(params, carry, data.obs, reset, method=ActorCritic.policy)
        return restrict(output[1], data.legal)

    def _pass(
        self, name: str, agent: TypeState, data: Demonstrations, key: Array
    ) -> tuple[TypeState, Array]:
        config = self.config
        number = data.active.shape[1]
        size = max(number // config.num_minibatches, 1)
        order = jax.random.permutation(key, number)[: number // size * size].reshape(-1, size)
        policy = functools.partial(self._policy, name)

        def step(now: tuple[Any, Any], rows: Array) -> tuple[tuple[Any, Any], Array]:
            params, opt_state = now
            part = jax.tree.map(lambda x: x[:, rows], data)
            loss, grads = jax.value_and_grad(lambda p: _loss(policy(p, part), part))(params)
            moved = descend(params, opt_state, grads, config.learning_rate, config.max_grad_norm)
            return moved, loss

        (params, opt_state), losses = jax.lax.scan(step, (agent.params, agent.opt_state), order)
        return dataclasses.replace(agent, params=params, opt_state=opt_state), jnp.mean(losses)


def _loss(policy: Distribution, data: Demonstrations) -> Array:
    """Mean negative log-likelihood of what was done, over active steps."""
    return -masked_mean(policy.log_prob(data.action), data.active)

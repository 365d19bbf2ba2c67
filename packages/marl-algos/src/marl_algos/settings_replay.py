"""Hyper-parameters of learners that replay stored experience: DQN, value mixing, MADDPG."""

from __future__ import annotations

import dataclasses

from marl_algos.settings import check_domains


@dataclasses.dataclass(frozen=True)
class ReplayConfig:
    """What all of them have.

    Attributes:
        learning_rate: step size of Adam at the start.
        final_learning_rate: fraction of it that is left at the last update (linear in between).
        discount: gamma, in [0, 1].
        max_grad_norm: global norm that gradients are clipped to.
        batch_size: environment steps in the batch of a gradient step, all agents of a type each;
            for recurrent networks whole rollouts of one environment.
        buffer_size: environment steps that are kept, rounded up to whole rollouts.
        learning_starts: environment steps before the first gradient step.
        num_gradient_steps: gradient steps after a rollout.
        target_rate: share of the online network that moves into the target network, in [0, 1];
            1 copies it.
        target_every: gradient steps between moves of the target network.
        normalize_obs: observations are standardized by running moments and clipped to +-10.
        normalize_reward: rewards are divided by the running root mean square of discounted
            returns; values are then in that unit.

    Raises:
        ValueError: naming the field that is outside its domain.
    """

    learning_rate: float = 5e-4
    final_learning_rate: float = 1.0
    discount: float = 0.99
    max_grad_norm: float = 10.0
    batch_size: int = 128
    buffer_size: int = 100_000
    learning_starts: int = 5_000
    num_gradient_steps: int = 32
    target_rate: float = 0.01
    target_every: int = 1
    normalize_obs: bool = False
    normalize_reward: bool = False

    def __post_init__(self) -> None:
        check_domains(
            self,
            fractions=("discount", "target_rate"),
            positive=("learning_rate", "max_grad_norm"),
            nonnegative=("final_learning_rate", "learning_starts"),
            counts=("batch_size", "buffer_size", "num_gradient_steps", "target_every"),
        )


@dataclasses.dataclass(frozen=True)
class DQNConfig(ReplayConfig):
    """Hyper-parameters of deep Q-learning for one agent type; see also `ReplayConfig`.

    Attributes:
        epsilon_start: share of random actions at the first update.
        epsilon_end: share that is left, also when playing without greed.
        epsilon_fraction: part of the run over which the share falls linearly.
        double: the online network chooses the action whose target value is bootstrapped from.
        dueling: value and advantages have heads of their own.
        n_step: rewards that are summed before bootstrapping; fewer where an episode or a rollout
            ends.
        huber_delta: error beyond which the loss grows linearly.
    """

    epsilon_start: float = 1.0
    epsilon_end: float = 0.05
    epsilon_fraction: float = 0.1
    double: bool = True
    dueling: bool = True
    n_step: int = 1
    huber_delta: float = 10.0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_domains(
            self,
            fractions=("epsilon_start", "epsilon_end"),
            positive=("epsilon_fraction", "huber_delta"),
            counts=("n_step",),
        )


@dataclasses.dataclass(frozen=True)
class MixingConfig(DQNConfig):
    """Hyper-parameters of value mixing; see also `DQNConfig`. Equal for all agent types.

    Attributes:
        mixer_size: width of the mixing network; read by QMIX only.
        hypernet_size: hidden width of the networks that make its weights; read by QMIX only.
    """

    mixer_size: int = 32
    hypernet_size: int = 64

    def __post_init__(self) -> None:
        super().__post_init__()
        check_domains(self, counts=("mixer_size", "hypernet_size"))


@dataclasses.dataclass(frozen=True)
class MADDPGConfig(ReplayConfig):
    """Hyper-parameters of MADDPG for one agent type; see also `ReplayConfig`.

    Attributes:
        learning_rate: step size of the critic.
        actor_learning_rate: step size of the actor.
        temperature: of the Gumbel-softmax through which gradients reach discrete choices.
        penalty: weight of the mean square of the actor's outputs before sampling or squashing,
            which keeps it from saturating.
        noise: standard deviation of exploration in a box, in halves of its width.
        per_agent: every agent of the type has an actor and a critic of its own.
    """

    learning_rate: float = 1e-3
    discount: float = 0.95
    max_grad_norm: float = 0.5
    batch_size: int = 512
    actor_learning_rate: float = 1e-3
    temperature: float = 1.0
    penalty: float = 1e-3
    noise: float = 0.1
    per_agent: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        check_domains(
            self,
            positive=("actor_learning_rate", "temperature"),
            nonnegative=("penalty", "noise"),
        )

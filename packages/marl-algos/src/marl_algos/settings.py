"""Hyper-parameters and architectures: frozen, checked, and importable without JAX.

Learners that replay stored experience have theirs in `marl_algos.settings_replay`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, Final

NETWORK_KINDS: Final = ("feed_forward", "gru", "s5")
ACTIVATIONS: Final = ("tanh", "relu", "silu")
PRECISIONS: Final = ("float32", "tensorfloat32", "bfloat16")
CONTINUOUS_HEADS: Final = ("tanh_normal", "beta")
"""Distributions that a configuration can name for actions in a box."""


@dataclasses.dataclass(frozen=True)
class PPOConfig:
    """Hyper-parameters of PPO for one agent type.

    Attributes:
        learning_rate: step size of Adam at the start.
        final_learning_rate: fraction of it that is left at the last update (linear in between).
        discount: gamma, in [0, 1].
        gae_lambda: lambda, in [0, 1].
        clip_eps: clip range of the probability ratio, > 0.
        entropy_coef: weight of the entropy bonus at the start.
        final_entropy_coef: fraction of it that is left at the last update.
        value_coef: weight of the value loss.
        huber_delta: error of a normalized value beyond which its loss grows linearly.
        max_grad_norm: global norm that gradients are clipped to.
        num_epochs: passes over a rollout.
        num_minibatches: parts of a pass; over actors for recurrent networks, else over all.
        value_norm_decay: weight of the past in the moments that normalize value targets.
        normalize_obs: observations are standardized by running moments and clipped to +-10.
        normalize_reward: rewards are divided by the running root mean square of discounted
            returns; values are then in that unit.

    Raises:
        ValueError: naming the field that is outside its domain.
    """

    learning_rate: float = 1e-3
    final_learning_rate: float = 0.1
    discount: float = 0.99
    gae_lambda: float = 0.95
    clip_eps: float = 0.2
    entropy_coef: float = 0.01
    final_entropy_coef: float = 1.0
    value_coef: float = 0.5
    huber_delta: float = 10.0
    max_grad_norm: float = 0.5
    num_epochs: int = 4
    num_minibatches: int = 4
    value_norm_decay: float = 0.9
    normalize_obs: bool = True
    normalize_reward: bool = False

    def __post_init__(self) -> None:
        check_domains(
            self,
            fractions=("discount", "gae_lambda", "value_norm_decay"),
            positive=("learning_rate", "clip_eps", "huber_delta", "max_grad_norm"),
            nonnegative=("final_learning_rate", "entropy_coef", "final_entropy_coef", "value_coef"),
            counts=("num_epochs", "num_minibatches"),
        )


def check_domains(
    settings: Any,
    *,
    fractions: tuple[str, ...] = (),
    positive: tuple[str, ...] = (),
    nonnegative: tuple[str, ...] = (),
    counts: tuple[str, ...] = (),
) -> None:
    """Checks named fields of learning settings.

    Args:
        settings: holds the fields.
        fractions: fields that must lie in [0, 1].
        positive: fields that must be > 0.
        nonnegative: fields that must be >= 0.
        counts: whole numbers that must be >= 1.

    Raises:
        ValueError: naming the first field that is outside its domain.
    """
    domains: tuple[tuple[tuple[str, ...], Callable[[Any], bool], str], ...] = (
        (fractions, lambda x: 0.0 <= x <= 1.0, "lie in [0, 1]"),
        (positive, lambda x: x > 0.0, "be > 0"),
        (nonnegative, lambda x: x >= 0.0, "be >= 0"),
        (counts, lambda x: x >= 1, "be >= 1"),
    )
    for names, is_allowed, what in domains:
        for name in names:
            value = getattr(settings, name)
            if not is_allowed(value):
                raise ValueError(f"algo.{name} is {value}; it must {what}")


@dataclasses.dataclass(frozen=True)
class NetworkConfig:
    """Architecture of the networks of one agent type.

    Attributes:
        kind: `"feed_forward"`, `"gru"` or `"s5"`.
        hidden: widths of the dense layers; with recurrence, of those before the recurrent part.
        gru_size: size of the hidden state; read by `"gru"` only.
        s5_size: complex numbers in the state of a layer; read by `"s5"` only.
        s5_layers: recurrent layers; read by `"s5"` only.
        activation: `"tanh"`, `"relu"` or `"silu"`.
        embedding_size: numbers that a token becomes; read where observations are tokens, that is
            of a `MultiDiscrete` space.
        shared: policy and value read the same features (half the work) instead of their own.
        continuous: head for actions in a box, `"tanh_normal"` or `"beta"`.
        critic_attention: the critic attends over all agents; `algo=mappo` only.
        attention_size: width of an agent's embedding; read with `critic_attention` only.
        attention_heads: heads of the attention; likewise.
        precision: `"float32"`, `"tensorfloat32"` or `"bfloat16"`: what products of matrices are
            computed in, see `marl_algos.networks.precision`. Parameters and the optimizer's state
            are float32 in any case.

    Raises:
        ValueError: if a field is outside its domain.
    """

    kind: str = "feed_forward"
    hidden: tuple[int, ...] = (64, 64)
    gru_size: int = 64
    s5_size: int = 32
    s5_layers: int = 2
    activation: str = "tanh"
    embedding_size: int = 8
    shared: bool = False
    continuous: str = "tanh_normal"
    critic_attention: bool = False
    attention_size: int = 64
    attention_heads: int = 4
    precision: str = "float32"

    def __post_init__(self) -> None:
        choices = {
            "kind": NETWORK_KINDS,
            "activation": ACTIVATIONS,
            "continuous": CONTINUOUS_HEADS,
            "precision": PRECISIONS,
        }
        for name, allowed in choices.items():
            if getattr(self, name) not in allowed:
                raise ValueError(
                    f"network.{name} is {getattr(self, name)!r}; allowed: {', '.join(allowed)}"
                )
        recurrent = ("gru_size", "s5_size", "s5_layers")
        for name in (*recurrent, "embedding_size", "attention_size", "attention_heads"):
            if getattr(self, name) < 1:
                raise ValueError(f"network.{name} is {getattr(self, name)}; it must be >= 1")
        if any(size < 1 for size in self.hidden):
            raise ValueError(f"network.hidden is {self.hidden}; sizes must be >= 1")
        if self.attention_size % self.attention_heads:
            raise ValueError(
                f"network.attention_heads is {self.attention_heads}; it must divide "
                f"attention_size = {self.attention_size}"
            )
        if self.critic_attention and self.shared:
            raise ValueError("network.shared=true leaves no critic for network.critic_attention")

    @property
    def is_recurrent(self) -> bool:
        """Whether the networks carry a hidden state."""
        return self.kind != "feed_forward"


@dataclasses.dataclass(frozen=True)
class TypeConfig:
    """How the agents of one type learn: they share one network.

    Attributes:
        settings: hyper-parameters of the learner, e.g. `PPOConfig`.
        network: architecture.
    """

    settings: Any = dataclasses.field(default_factory=PPOConfig)
    network: NetworkConfig = dataclasses.field(default_factory=NetworkConfig)

"""Hyper-parameters and architectures: frozen, checked, and importable without JAX."""

from __future__ import annotations

import dataclasses
from typing import Final

NETWORK_KINDS: Final = ("feed_forward", "gru")
ACTIVATIONS: Final = ("tanh", "relu", "silu")
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

    def __post_init__(self) -> None:
        for name in ("discount", "gae_lambda", "value_norm_decay"):
            value = getattr(self, name)
            if not 0.0 <= value <= 1.0:
                raise ValueError(f"algo.{name} is {value}; it must lie in [0, 1]")
        for name in ("learning_rate", "clip_eps", "huber_delta", "max_grad_norm"):
            value = getattr(self, name)
            if not value > 0.0:
                raise ValueError(f"algo.{name} is {value}; it must be > 0")
        for name in ("final_learning_rate", "entropy_coef", "final_entropy_coef", "value_coef"):
            value = getattr(self, name)
            if not value >= 0.0:
                raise ValueError(f"algo.{name} is {value}; it must be >= 0")
        for name in ("num_epochs", "num_minibatches"):
            value = getattr(self, name)
            if value < 1:
                raise ValueError(f"algo.{name} is {value}; it must be >= 1")


@dataclasses.dataclass(frozen=True)
class NetworkConfig:
    """Architecture of the networks of one agent type.

    Attributes:
        kind: `"feed_forward"` or `"gru"`.
        hidden: widths of the dense layers; of the layers before the recurrent unit for `"gru"`.
        gru_size: size of the hidden state; read by `"gru"` only.
        activation: `"tanh"`, `"relu"` or `"silu"`.
        shared: policy and value read the same features (half the work) instead of their own.
        continuous: head for actions in a box, `"tanh_normal"` or `"beta"`.

    Raises:
        ValueError: if a field is outside its domain.
    """

    kind: str = "feed_forward"
    hidden: tuple[int, ...] = (64, 64)
    gru_size: int = 64
    activation: str = "tanh"
    shared: bool = False
    continuous: str = "tanh_normal"

    def __post_init__(self) -> None:
        choices = {
            "kind": NETWORK_KINDS,
            "activation": ACTIVATIONS,
            "continuous": CONTINUOUS_HEADS,
        }
        for name, allowed in choices.items():
            if getattr(self, name) not in allowed:
                raise ValueError(
                    f"network.{name} is {getattr(self, name)!r}; allowed: {', '.join(allowed)}"
                )
        if self.gru_size < 1 or any(size < 1 for size in self.hidden):
            raise ValueError(
                f"network sizes must be >= 1; hidden is {self.hidden}, gru_size is {self.gru_size}"
            )

    @property
    def is_recurrent(self) -> bool:
        """Whether the networks carry a hidden state."""
        return self.kind == "gru"


@dataclasses.dataclass(frozen=True)
class TypeConfig:
    """How the agents of one type learn: they share one network.

    Attributes:
        ppo: hyper-parameters.
        network: architecture.
    """

    ppo: PPOConfig = dataclasses.field(default_factory=PPOConfig)
    network: NetworkConfig = dataclasses.field(default_factory=NetworkConfig)

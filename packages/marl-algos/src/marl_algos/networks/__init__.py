"""Networks and distributions of actions."""

from marl_algos.networks.actor_critic import ActorCritic, Carry, initial_carry
from marl_algos.networks.distributions import (
    Categorical,
    Distribution,
    MultiCategorical,
    ScaledBeta,
    TanhNormal,
    masked_categorical,
    restrict,
)

__all__ = [
    "ActorCritic",
    "Carry",
    "Categorical",
    "Distribution",
    "MultiCategorical",
    "ScaledBeta",
    "TanhNormal",
    "initial_carry",
    "masked_categorical",
    "restrict",
]

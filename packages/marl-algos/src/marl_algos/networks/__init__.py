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
from marl_algos.networks.q_network import QNetwork
from marl_algos.networks.torsos import initial_state, vocabulary_of

__all__ = [
    "ActorCritic",
    "Carry",
    "Categorical",
    "Distribution",
    "MultiCategorical",
    "QNetwork",
    "ScaledBeta",
    "TanhNormal",
    "initial_carry",
    "initial_state",
    "masked_categorical",
    "restrict",
    "vocabulary_of",
]

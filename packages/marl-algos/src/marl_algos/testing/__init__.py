"""What tests of learners need: probes with known values, and environments of other projects."""

from marl_algos.testing.adapters import FromGymnax, FromJaxMARL
from marl_algos.testing.combined import OneOf, learn_apart
from marl_algos.testing.probes import (
    ActionDecides,
    ConstantReward,
    DelayedReward,
    EarlyFinish,
    EndlessReward,
    MaskedActions,
    Memory,
    ObservationTimesAction,
    Outcome,
    Probe,
    ProbeGroup,
    ProbeState,
    RewardIsObservation,
    TwoTypes,
)

__all__ = [
    "ActionDecides",
    "ConstantReward",
    "DelayedReward",
    "EarlyFinish",
    "EndlessReward",
    "FromGymnax",
    "FromJaxMARL",
    "MaskedActions",
    "Memory",
    "ObservationTimesAction",
    "OneOf",
    "Outcome",
    "Probe",
    "ProbeGroup",
    "ProbeState",
    "RewardIsObservation",
    "TwoTypes",
    "learn_apart",
]

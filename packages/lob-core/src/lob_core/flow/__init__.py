"""Closed-loop order-flow models: random messages given the current book."""

from lob_core.flow.base import FlowModel, FlowState, simulate
from lob_core.flow.hawkes import Hawkes, HawkesParams, HawkesState
from lob_core.flow.zero_intelligence import (
    ZeroIntelligence,
    ZeroIntelligenceParams,
    ZeroIntelligenceState,
)

__all__ = [
    "FlowModel",
    "FlowState",
    "Hawkes",
    "HawkesParams",
    "HawkesState",
    "ZeroIntelligence",
    "ZeroIntelligenceParams",
    "ZeroIntelligenceState",
    "simulate",
]

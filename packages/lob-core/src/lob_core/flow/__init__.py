"""Closed-loop order-flow models: random messages given the current book."""

from lob_core.flow.base import FlowModel, FlowState, simulate
from lob_core.flow.fundamental import OrnsteinUhlenbeck, OrnsteinUhlenbeckParams
from lob_core.flow.hawkes import Hawkes, HawkesParams, HawkesState
from lob_core.flow.queue_params import QueueReactiveParams, QueueReactiveState
from lob_core.flow.queue_reactive import QueueReactive
from lob_core.flow.value_traders import (
    ValueTraders,
    ValueTradersParams,
    ValueTradersState,
)
from lob_core.flow.zero_intelligence import ZeroIntelligence
from lob_core.flow.zero_params import ZeroIntelligenceParams, ZeroIntelligenceState

__all__ = [
    "FlowModel",
    "FlowState",
    "Hawkes",
    "HawkesParams",
    "HawkesState",
    "OrnsteinUhlenbeck",
    "OrnsteinUhlenbeckParams",
    "QueueReactive",
    "QueueReactiveParams",
    "QueueReactiveState",
    "ValueTraders",
    "ValueTradersParams",
    "ValueTradersState",
    "ZeroIntelligence",
    "ZeroIntelligenceParams",
    "ZeroIntelligenceState",
    "simulate",
]

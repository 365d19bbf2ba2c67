"""The terms on which agents trade: delays, fees, limits."""

from __future__ import annotations

import dataclasses
from typing import Any, Final

import jax
import jax.numpy as jnp
import numpy as np

Array = jax.Array

FEE_UNITS: Final = 100
"""Fees are counted in 1 / `FEE_UNITS` of a tick times a share, so that they are integers."""
NANOSECONDS: Final = 1_000_000_000
_NAMES: Final = (
    "latency_submit_ns",
    "latency_cancel_ns",
    "latency_feed_ns",
    "maker_fee",
    "taker_fee",
    "position_limit",
    "bankruptcy",
)


@dataclasses.dataclass(frozen=True)
class Terms:
    """Settings that every kind of agent understands, each a number or one for every instance.

    Attributes:
        latency_submit_ns: nanoseconds from a decision until a new order arrives, >= 0.
        latency_cancel_ns: nanoseconds until a cancel arrives, >= 0.
        latency_feed_ns: age of the newest market state that the agent sees, nanoseconds, >= 0.
        maker_fee: ticks a share traded as maker, a multiple of 1 / `FEE_UNITS`; negative is a
            rebate.
        taker_fee: likewise as taker.
        position_limit: shares >= 0 that the inventory may not exceed in either direction,
            whichever of the agent's orders trade; None sets no limit.
        bankruptcy: ticks times shares > 0; an agent that has lost as much is bankrupt. None lets
            it go on.

    Raises:
        ValueError: if a value is out of range.
    """

    latency_submit_ns: int | tuple[int, ...] = 0
    latency_cancel_ns: int | tuple[int, ...] = 0
    latency_feed_ns: int | tuple[int, ...] = 0
    maker_fee: float | tuple[float, ...] = 0.0
    taker_fee: float | tuple[float, ...] = 0.0
    position_limit: int | tuple[int, ...] | None = None
    bankruptcy: int | tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        for name in _NAMES:
            value = getattr(self, name)
            if value is None:
                continue
            values = tuple(value) if isinstance(value, (list, tuple)) else (value,)
            if isinstance(value, list):
                object.__setattr__(self, name, values)
            for entry in values:
                _check(name, entry)

    def check(self, num_agents: int, agent: str) -> None:
        """Checks that tuples have one entry for every instance.

        Raises:
            ValueError: if one has not.
        """
        for name in _NAMES:
            value = getattr(self, name)
            if isinstance(value, tuple) and len(value) != num_agents:
                raise ValueError(
                    f"{name} of agent {agent!r} has {len(value)} entries; it needs one number, or "
                    f"one for each of its {num_agents} instances"
                )

    def column(self, name: str, num_agents: int) -> Array:
        """A setting by instance, `[A]` int32; fees in `FEE_UNITS`.

        Args:
            name: of an attribute that is not None.
            num_agents: `A`.
        """
        values = np.asarray(getattr(self, name))
        if name.endswith("_fee"):
            values = np.round(values * FEE_UNITS)
        return jnp.asarray(np.broadcast_to(values, (num_agents,)), jnp.int32)

    def delay(self, name: str, num_agents: int) -> tuple[Array, Array]:
        """Seconds and nanoseconds of a latency by instance, `[A]` int32 each."""
        values = np.broadcast_to(np.asarray(getattr(self, name), np.int64), (num_agents,))
        seconds, nanoseconds = np.divmod(values, NANOSECONDS)
        return jnp.asarray(seconds, jnp.int32), jnp.asarray(nanoseconds, jnp.int32)

    @property
    def has_order_latency(self) -> bool:
        """Whether messages of some instance arrive late."""
        return bool(np.any(self.latency_submit_ns) or np.any(self.latency_cancel_ns))

    @property
    def has_feed_latency(self) -> bool:
        """Whether some instance sees the market late."""
        return bool(np.any(self.latency_feed_ns))

    @property
    def has_fees(self) -> bool:
        """Whether some instance pays or is paid by the venue."""
        return bool(np.any(self.maker_fee) or np.any(self.taker_fee))


def _check(name: str, value: Any) -> None:
    """Raises `ValueError` unless the value is one that the setting can take."""
    if name.endswith("_fee"):
        units = float(value) * FEE_UNITS
        if not abs(units - round(units)) < 1e-6 or abs(units) > 10**6:
            raise ValueError(
                f"{name} is {value!r}; it must be a multiple of 1/{FEE_UNITS} tick a share, and at "
                f"most {10**6 // FEE_UNITS}"
            )
        return
    least = 1 if name == "bankruptcy" else 0
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < least:
        raise ValueError(f"{name} is {value!r}; it must be a whole number >= {least}")

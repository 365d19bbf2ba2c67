"""Times of day as pairs of int32, which a single int32 of nanoseconds could not hold."""

from __future__ import annotations

from typing import TypeAlias

import jax
import jax.numpy as jnp

from marl_envs.terms import NANOSECONDS

Array = jax.Array
Time: TypeAlias = tuple[Array, Array]
"""Seconds since midnight and nanoseconds, int32 each."""


def add_time(time: Time, seconds: Array, nanoseconds: Array) -> Time:
    """`time` plus seconds and nanoseconds (below one second each), which may broadcast."""
    total = time[1] + nanoseconds
    carry = (total >= NANOSECONDS).astype(jnp.int32)
    return time[0] + seconds + carry, total - carry * NANOSECONDS


def is_after(first: Time, second: Time) -> Array:
    """Whether `first` is later than `second`."""
    return (first[0] > second[0]) | ((first[0] == second[0]) & (first[1] > second[1]))


def latest(first: Time, second: Time) -> Time:
    """The later of two times."""
    is_first = is_after(first, second)
    return jnp.where(is_first, first[0], second[0]), jnp.where(is_first, first[1], second[1])

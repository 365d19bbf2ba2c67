"""Backgrounds of several assets with one shape, so that their books can be vmapped."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import jax
import jax.numpy as jnp

from marl_envs.background import ReplayBackground
from marl_envs.types import EnvParams


def stack_params(params: Sequence[EnvParams]) -> EnvParams:
    """Params of all assets, leaves led by `[S]`.

    Replayed assets may have different numbers of messages: shorter ones are padded.

    Args:
        params: one for each asset.

    Raises:
        ValueError: if they differ in kind, or replayed windows in number or time.
    """
    backgrounds = [one.background for one in params]
    recorded = [b for b in backgrounds if isinstance(b, ReplayBackground)]
    if recorded and len(recorded) == len(backgrounds):
        padded = _align(recorded)
        params = [one.replace(background=b) for one, b in zip(params, padded, strict=True)]
    trees = {jax.tree.structure(one) for one in params}
    shapes = [tuple(leaf.shape for leaf in jax.tree.leaves(one)) for one in params]
    if len(trees) > 1 or len(set(shapes)) > 1:
        raise ValueError(
            "the backgrounds of the assets differ in kind or size; give windows for all, or flow "
            "models of one kind for all"
        )
    stacked: EnvParams = jax.tree.map(lambda *leaves: jnp.stack(leaves), *params)
    return stacked


def _align(backgrounds: Sequence[ReplayBackground]) -> list[ReplayBackground]:
    """The same windows with as many rows and as long steps as the longest."""
    first = backgrounds[0].windows
    for number, one in enumerate(backgrounds):
        same_number = one.windows.step_start.shape == first.step_start.shape
        if not same_number or not (
            jnp.array_equal(one.windows.time_s, first.time_s)
            and jnp.array_equal(one.windows.time_ns, first.time_ns)
        ):
            raise ValueError(
                f"the windows of asset {number} start at other times than those of asset 0; cut "
                "all by the same clock time"
            )
    longest = max(one.windows.max_messages_per_step for one in backgrounds)
    rows = max(one.windows.packed.shape[0] for one in backgrounds) + longest
    has_halts = any(one.has_halts for one in backgrounds)
    return [
        one.replace(
            windows=dataclasses.replace(
                one.windows,
                packed=jnp.pad(
                    one.windows.packed, ((0, rows - one.windows.packed.shape[0]), (0, 0))
                ),
                max_messages_per_step=longest,
            ),
            has_halts=has_halts,
        )
        for one in backgrounds
    ]

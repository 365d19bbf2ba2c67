"""Last layers: from features to a distribution of actions, or to a value."""

from __future__ import annotations

import math
from typing import Any, Final, TypeAlias

import flax.linen as nn
import jax
import jax.numpy as jnp
from marl_envs.spaces import Discrete, MultiDiscrete, Space

from marl_algos.moments import RunningMoments
from marl_algos.networks.distributions import (
    Categorical,
    Distribution,
    MultiCategorical,
    ScaledBeta,
    TanhNormal,
)
from marl_algos.networks.initializers import orthogonal
from marl_algos.networks.precision import of_layer
from marl_algos.networks.rows import by_rows

Array: TypeAlias = jax.Array

POLICY_GAIN: Final = 0.01
"""Gain of the policy head: nearly uniform choices at the start."""
VALUE_GAIN: Final = 1.0
_MIN_LOG_SCALE: Final = -5.0
_MAX_LOG_SCALE: Final = 1.0


class PolicyHead(nn.Module):
    """A distribution over an action space.

    Attributes:
        space: actions of one agent: `Discrete`, `MultiDiscrete` or a bounded `Box` of one axis.
        continuous: distribution used for a `Box`, one of `marl_algos.settings.CONTINUOUS_HEADS`.
        precision: one of `marl_algos.settings.PRECISIONS`.
    """

    space: Space
    continuous: str = "tanh_normal"
    precision: str = "float32"

    @nn.compact
    def __call__(self, features: Array) -> Distribution:
        """The distribution given features `[..., F]`."""

        def dense(size: int) -> Array:
            init = orthogonal(POLICY_GAIN)
            computed = of_layer(self.precision, is_last=True)
            output: Array = by_rows(nn.Dense(size, kernel_init=init, **computed), features)
            return output

        if isinstance(self.space, Discrete):
            return Categorical(dense(self.space.n))
        if isinstance(self.space, MultiDiscrete):
            ends = [sum(self.space.ns[: i + 1]) for i in range(len(self.space.ns) - 1)]
            logits = jnp.split(dense(sum(self.space.ns)), ends, axis=-1)
            return MultiCategorical(tuple(Categorical(part) for part in logits))
        (size,) = self.space.shape
        low, high = self.space.low, self.space.high
        if self.continuous == "beta":
            a, b = jnp.split(1.0 + jax.nn.softplus(dense(2 * size)), 2, axis=-1)
            return ScaledBeta(a, b, low, high)
        log_scale = self.param("log_scale", nn.initializers.constant(-0.5), (size,))
        scale = jnp.exp(jnp.clip(log_scale, _MIN_LOG_SCALE, _MAX_LOG_SCALE))
        loc = dense(size)
        return TanhNormal(loc, jnp.broadcast_to(scale, loc.shape), low, high)


def check_action_space(agent_type: str, space: Space) -> None:
    """Refuses action spaces that no head covers.

    Raises:
        ValueError: naming the agent type and the space.
    """
    if isinstance(space, Discrete | MultiDiscrete):
        return
    if not (math.isfinite(space.low) and math.isfinite(space.high) and len(space.shape) == 1):
        raise ValueError(
            f"agents {agent_type!r} have the action space {space}; a Box must have finite limits "
            "and one axis"
        )


class ValueHead(nn.Module):
    """One number for each batch entry, in the units of the normalized return.

    Attributes:
        precision: one of `marl_algos.settings.PRECISIONS`.
    """

    precision: str = "float32"

    @nn.compact
    def __call__(self, features: Array) -> Array:
        """Values `[...]` of features `[..., F]`."""
        init = orthogonal(VALUE_GAIN)
        computed = of_layer(self.precision, is_last=True)
        layer = nn.Dense(1, kernel_init=init, name="output", **computed)
        output: Array = by_rows(layer, features)
        return output[..., 0]


def rescale_value_head(params: Any, old: RunningMoments, new: RunningMoments) -> Any:
    """Parameters whose denormalized values are the same under the new moments.

    References:
        van Hasselt et al. (2016), "Learning values across many orders of magnitude", equation 6.
    """
    layer = params["params"]["value_head"]["output"]
    changed = {
        "kernel": layer["kernel"] * (old.std / new.std),
        "bias": (old.std * layer["bias"] + old.mean - new.mean) / new.std,
    }
    inner = {**params["params"], "value_head": {"output": changed}}
    return {**params, "params": inner}

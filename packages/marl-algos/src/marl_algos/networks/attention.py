"""A critic's view of all agents that does not depend on their order."""

from __future__ import annotations

import math
from typing import TypeAlias

import flax.linen as nn
import jax
import jax.numpy as jnp

from marl_algos.networks.initializers import orthogonal
from marl_algos.networks.precision import of_layer
from marl_algos.networks.torsos import HIDDEN_GAIN

Array: TypeAlias = jax.Array


class AgentAttention(nn.Module):
    """Attention of one agent over all agents: a complete graph with learned weights.

    Attributes:
        size: width of what an agent is embedded into.
        num_heads: heads; must divide `size`.
        precision: one of `marl_algos.settings.PRECISIONS`.

    References:
        Iqbal and Sha (2019), "Actor-attention-critic for multi-agent reinforcement learning",
        equations 5-6, without actions; Vaswani et al. (2017), "Attention is all you need".
    """

    size: int
    num_heads: int
    precision: str = "float32"

    @nn.compact
    def __call__(self, tokens: Array) -> Array:
        """What the marked agent sees.

        Args:
            tokens: `[..., M, G]`, one row for each agent; the last column is 1 for the agent that
                looks and 0 for the others (see `marl_algos.learners.mappo.agent_tokens`).

        Returns:
            `[..., 2 * size]`: the agent itself, and the rest as it attends to them.
        """
        computed = of_layer(self.precision)

        def dense(size: int, name: str, x: Array) -> Array:
            init = orthogonal(HIDDEN_GAIN)
            output: Array = nn.Dense(size, kernel_init=init, name=name, **computed)(x)
            return output

        def heads(x: Array) -> Array:
            return x.reshape(*x.shape[:-1], self.num_heads, -1)

        embedded = jax.nn.relu(dense(self.size, "embed", tokens))
        own = jnp.sum(embedded * tokens[..., -1:], axis=-2)
        query = heads(dense(self.size, "query", own))
        key = heads(dense(self.size, "key", embedded))
        value = heads(dense(self.size, "value", embedded))
        operands = computed["precision"]
        scores = jnp.einsum(
            "...hd,...mhd->...hm",
            query,
            key,
            precision=operands,
            preferred_element_type=jnp.float32,
        )
        weights = jax.nn.softmax(scores / math.sqrt(query.shape[-1])).astype(value.dtype)
        seen = jnp.einsum("...hm,...mhd->...hd", weights, value, precision=operands)
        return jnp.concatenate([own, seen.reshape(*own.shape)], axis=-1)

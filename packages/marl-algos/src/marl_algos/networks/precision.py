"""What products of matrices are computed in; parameters are float32 whatever it is.

| `network.precision` | factors | sums | on a CPU |
|---|---|---|---|
| `float32` | float32 | float32 | the same |
| `tensorfloat32` | rounded to 10 bits by tensor cores (Ampere and newer) | float32 | float32 |
| `bfloat16` | bfloat16, as are the activations of dense layers | float32 | the same, slowly |

What a distribution, a loss or a recurrent state is made of stays float32.
"""

from __future__ import annotations

from typing import Any, Final, TypeAlias

import jax
import jax.numpy as jnp

Array: TypeAlias = jax.Array

_OPERANDS: Final = {
    "float32": jax.lax.Precision.HIGHEST,
    "tensorfloat32": jax.lax.Precision.HIGH,
    "bfloat16": None,
}


def of_layer(precision: str, *, is_last: bool = False) -> dict[str, Any]:
    """Arguments `dtype` and `precision` of a flax layer.

    Args:
        precision: one of `marl_algos.settings.PRECISIONS`.
        is_last: the layer gives what leaves the network, which is float32 in any case.
    """
    dtype = jnp.bfloat16 if precision == "bfloat16" and not is_last else None
    return {"dtype": dtype, "precision": _OPERANDS[precision]}


def multiply(left: Array, right: Array, precision: str) -> Array:
    """`left @ right` of float32 or complex64 arrays, in float32 or complex64.

    Complex products are not rounded to bfloat16.
    """
    if precision == "bfloat16" and not jnp.iscomplexobj(right):
        left, right = left.astype(jnp.bfloat16), right.astype(jnp.bfloat16)
        product: Array = jnp.matmul(left, right, preferred_element_type=jnp.float32)
        return product
    return jnp.matmul(left, right, precision=_OPERANDS[precision])

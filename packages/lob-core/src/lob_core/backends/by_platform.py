"""The backend, chosen for each platform when a program is lowered.

`jax.lax.platform_dependent` would trace the engine for every platform, though a program is lowered
for one. Here a call is one equation of the traced program, of which no more is known than its
shapes; every platform has its own way to lower it, and only that is traced.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, Literal

import jax
import jax.numpy as jnp
from jax.core import ShapedArray
from jax.extend.core import Primitive
from jax.interpreters import batching, mlir

from lob_core.backends import ffi, xla, xla_blocks
from lob_core.types import Array, BookConfig, BookState, Message, Outcome

_Axes = tuple[int | None, ...]
_Engine = Callable[..., tuple[BookState, Outcome]]

_call = Primitive("process_messages")
_call.multiple_results = True


def process_messages(
    book: BookState,
    messages: Message,
    *,
    config: BookConfig,
    backend: Literal["numba", "xla"] | None,
    on_cuda: Literal["pallas", "xla"],
) -> tuple[BookState, Outcome]:
    """The contract of `lob_core.process_messages` for one book (leaves `[N]`, `[M]`).

    Args:
        book: one book.
        messages: messages.
        config: shapes and rules.
        backend: the backend; None takes numba on CPUs if it can be used, `on_cuda` for CUDA, and
            xla on all other platforms.
        on_cuda: backend of a program lowered for CUDA.

    Returns:
        The new book, and the outcome.
    """
    leaves, treedef = jax.tree.flatten((book, messages))
    axes = frozenset().union(*map(_device_axes, leaves))
    leaves = _mark(leaves, axes)
    outcome = ffi.outcome_shape(messages.price.shape[0], config)
    shapes, result_treedef = jax.tree.flatten((book, outcome))
    results = _call.bind(  # type: ignore[no-untyped-call]
        *leaves,
        treedef=treedef,
        shapes=tuple(jnp.shape(x) for x in shapes),
        config=config,
        backend=backend,
        on_cuda=on_cuda,
        batches=(),
    )
    result: tuple[BookState, Outcome] = jax.tree.unflatten(result_treedef, _mark(results, axes))
    return result


def _device_axes(leaf: Array) -> frozenset[str]:
    """Axes of a mesh along which a leaf is known to differ between devices, inside `shard_map`."""
    kind = getattr(jax.typeof(leaf), "manual_axis_type", None)
    axes: frozenset[str] = getattr(kind, "varying", frozenset())
    return axes


def _mark(leaves: list[Array], axes: frozenset[str]) -> list[Array]:
    """Says of leaves that they may differ along axes: of what comes out JAX would not know it."""
    if not axes:
        return leaves
    missing = [sorted(axes - _device_axes(leaf)) for leaf in leaves]
    return [
        jax.lax.pcast(leaf, tuple(names), to="varying") if names else leaf
        for leaf, names in zip(leaves, missing, strict=True)
    ]


@_call.def_abstract_eval
def _result_shapes(
    *_: Any, shapes: tuple[tuple[int, ...], ...], batches: tuple[tuple[int, _Axes], ...], **__: Any
) -> list[ShapedArray]:
    """What comes out; `batches` are the axes of `vmap`, outermost last: size, and place by leaf."""
    leading = tuple(size for size, _ in reversed(batches))
    return [ShapedArray((*leading, *shape), jnp.int32) for shape in shapes]


def _batch(
    leaves: tuple[Array, ...], axes: _Axes, *, batches: tuple[tuple[int, _Axes], ...], **params: Any
) -> tuple[list[Array], tuple[int, ...]]:
    """One more axis of `vmap`, kept in mind until the call is lowered."""
    pairs = zip(leaves, axes, strict=True)
    size = next(leaf.shape[axis] for leaf, axis in pairs if axis is not None)
    results = _call.bind(*leaves, batches=(*batches, (size, tuple(axes))), **params)  # type: ignore[no-untyped-call]
    return results, (0,) * len(results)


batching.primitive_batchers[_call] = _batch


@functools.cache
def _compiled(**params: Any) -> Callable[..., list[Array]]:
    return jax.jit(functools.partial(_call.bind, **params))


@_call.def_impl
def _run(*leaves: Array, **params: Any) -> list[Array]:
    """A call outside `jit`."""
    with jax.disable_jit(False):
        return _compiled(**params)(*leaves)


def _engine(platform: str | None, backend: str | None, on_cuda: str, num_devices: int) -> _Engine:
    """What plays in a program for one platform.

    XLA splits programs for several devices. It cannot split the form of xla for CPUs.
    """
    is_one_cpu = platform == "cpu" and num_devices == 1
    plain = xla.process_messages if is_one_cpu else xla_blocks.process_messages
    if backend == "numba" or (backend is None and platform == "cpu"):
        return ffi.process_messages if ffi.is_available() else plain
    if backend is None and platform == "cuda" and on_cuda == "pallas":
        from lob_core.backends import pallas_gpu  # importing Pallas takes long

        return functools.partial(pallas_gpu.run_kernel, interpret=False)
    return plain


def _register(platform: str | None) -> None:
    """Says how a call is lowered for one platform, or for all others (None)."""

    def play(
        *leaves: Array,
        treedef: Any,
        config: BookConfig,
        backend: str | None,
        on_cuda: str,
        batches: tuple[tuple[int, _Axes], ...],
        num_devices: int,
        **_: Any,
    ) -> list[Array]:
        engine = _engine(platform, backend, on_cuda, num_devices)

        def one(*leaves: Array) -> list[Array]:
            book, messages = jax.tree.unflatten(treedef, leaves)
            return jax.tree.leaves(engine(book, messages, config=config))

        for size, axes in batches:
            one = jax.vmap(one, in_axes=axes, axis_size=size)
        return one(*leaves)

    rule = mlir.lower_fun(play, multiple_results=True)

    def lower(context: Any, *leaves: Any, **params: Any) -> Any:
        # Inside `shard_map` an engine is traced like elsewhere: for its own constants nobody says
        # along which axes they differ.
        shapes = [ShapedArray(aval.shape, aval.dtype) for aval in context.avals_in]
        context = context.replace(avals_in=shapes)
        num_devices = getattr(context.module_context.axis_context, "num_devices", 1)
        return rule(context, *leaves, num_devices=num_devices, **params)

    mlir.register_lowering(_call, lower, platform=platform)


for _platform in (None, "cpu", "cuda"):
    _register(_platform)

"""What is inside a compiled or traced program: callbacks to the host, kernels, backends."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator
from typing import Any, Final, NamedTuple

import jax
from jax import export

TRITON: Final = "__gpu$xla.gpu.triton"
"""Name of the custom call that runs a Pallas kernel on a GPU."""
_HOST_PRIMITIVES: Final = ("callback", "infeed", "outfeed", "print", "ffi_call")
"""Parts of names of primitives that may run code on the host."""
_FREE: Final = frozenset(
    (
        *("parameter", "constant", "tuple", "get-tuple-element", "bitcast", "after-all"),
        *("partition-id", "replica-id", "add-dependency", "opt-barrier"),
        *("async-update", "async-done", "copy-done", "fusion-done"),
    )
)
"""Instructions of a scheduled GPU program that launch nothing."""
_DEFINED: Final = re.compile(r"^\s*(%[\w.]+)(?::\d+)? = \"?([\w.]+)\"?(?:\((%[\w.]+))?")
_COMPUTATION: Final = re.compile(r"^(ENTRY )?%?([\w.\-]+) \(.*\) -> .* \{$")
_INSTRUCTION: Final = re.compile(r"^\s+(?:ROOT )?%?[\w.\-]+ = .*? ([a-z][\w\-]*)\(")
_CALLED: Final = re.compile(r"(body|condition|to_apply|calls|\w+_computation)=%?([\w.\-]+)")
_BRANCHES: Final = re.compile(r"branch_computations=\{([^}]*)\}")
_TRIPS: Final = re.compile(r'"known_trip_count":\{"n":"(\d+)"\}')


class Launches(NamedTuple):
    """How often a compiled program starts something on the device.

    Attributes:
        total: of one call of the program; loops of unknown length count once, and of branches
            the longest.
        innermost: of the body of the loop that starts most, run once.
        is_exact: whether the lengths of all loops are known.
    """

    total: int
    innermost: int
    is_exact: bool


def host_primitives(function: Callable[..., Any], *args: Any) -> list[str]:
    """Names of the primitives of a traced program that may run code on the host, sorted.

    Args:
        function: what is traced.
        args: its arguments: arrays, or their shapes and dtypes.
    """
    found = set()
    for name in _primitives(jax.make_jaxpr(function)(*args).jaxpr):
        if any(part in name for part in _HOST_PRIMITIVES):
            found.add(name)
    return sorted(found)


def _primitives(jaxpr: Any) -> Iterator[str]:
    for equation in jaxpr.eqns:
        yield equation.primitive.name
        for value in jax.tree.leaves(
            tuple(equation.params.values()), is_leaf=lambda x: hasattr(x, "eqns")
        ):
            inner = getattr(value, "jaxpr", value)
            if hasattr(inner, "eqns"):
                yield from _primitives(inner)


def lower_for_cuda(function: Callable[..., Any], *args: Any) -> str:
    """The program that an H200 would compile, as StableHLO text; needs no GPU.

    Args:
        function: what is lowered.
        args: its arguments: arrays, or their shapes and dtypes.
    """
    with contextlib.ExitStack() as stack:
        if hasattr(jax.sharding, "AbstractDevice"):  # newer JAX wants to know the device
            device = jax.sharding.AbstractDevice(
                device_kind="NVIDIA H200", num_cores=132, platform="gpu"
            )
            mesh = jax.sharding.AbstractMesh((1,), ("x",), abstract_device=device)
            stack.enter_context(jax.sharding.use_abstract_mesh(mesh))
        exported = export.export(
            jax.jit(function),
            platforms=["cuda"],
            disabled_checks=[export.DisabledSafetyCheck.custom_call(TRITON)],
        )(*args)
    return str(exported.mlir_module())


def custom_calls(lowered: str) -> list[str]:
    """Targets of the custom calls of a StableHLO program, in order: kernels, callbacks."""
    return re.findall(r"stablehlo.custom_call @([\w$.]+)", lowered)


def count_branches(lowered: str) -> int:
    """Branches of a StableHLO program that are decided while it runs.

    Those that depend on the platform only have a constant condition, and XLA removes them.
    """
    constants: set[str] = set()
    branches = 0
    for line in lowered.splitlines():
        match = _DEFINED.match(line)
        if match is None:
            continue
        name, operation, condition = match.groups()
        constants.discard(name)
        if operation in ("stablehlo.case", "stablehlo.if"):
            branches += condition not in constants
            if condition in constants:
                constants.add(name)
        elif operation == "stablehlo.constant":
            constants.add(name)
    return branches


def count_launches(optimized: str) -> Launches:
    """Counts what a compiled program starts: kernels, copies, library calls.

    Args:
        optimized: text of a scheduled program, `jax.stages.Compiled.as_text()`.
    """
    computations, entry = _split(optimized)
    counted: dict[str, tuple[int, bool]] = {}
    bodies = [0]

    def count(name: str) -> tuple[int, bool]:
        if name not in counted:
            total, is_exact = 0, True
            for line in computations.get(name, []):
                launches, exact = one(line)
                total, is_exact = total + launches, is_exact and exact
            counted[name] = total, is_exact
        return counted[name]

    def one(line: str) -> tuple[int, bool]:
        match = _INSTRUCTION.match(line)
        if match is None or match[1] in _FREE:
            return 0, True
        called = dict(_CALLED.findall(line))
        if match[1] == "while":
            trips = _TRIPS.search(line)
            body, exact = count(called["body"])
            condition, _ = count(called["condition"])
            bodies.append(body)
            return (body + condition) * int(trips[1] if trips else 1), exact and bool(trips)
        if match[1] == "conditional":
            branches = _BRANCHES.search(line)
            names = branches[1].replace("%", "").split(", ") if branches else called.values()
            counts = [count(name) for name in names]
            return max(n for n, _ in counts), all(exact for _, exact in counts)
        if match[1] in ("call", "async-start") and called:
            return count(next(iter(called.values())))
        return 1, True

    total, is_exact = count(entry)
    return Launches(total, max(bodies), is_exact)


def _split(optimized: str) -> tuple[dict[str, list[str]], str]:
    """Lines of each computation by name, and the name of the entry."""
    computations: dict[str, list[str]] = {}
    entry, current = "", ""
    for line in optimized.splitlines():
        match = _COMPUTATION.match(line)
        if match:
            current = match[2]
            computations[current] = []
            entry = current if match[1] else entry
        elif current:
            computations[current].append(line)
    return computations, entry

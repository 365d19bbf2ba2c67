"""Memory for the kernel of the CPU backend: what numba has no words for.

Addresses are 64-bit integers.
"""

# numba infers the types of what it compiles; annotations would only repeat them.
# mypy: ignore-errors

from __future__ import annotations

import numba
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

_INT32, _WORD = ir.IntType(32), ir.IntType(64)

_options = {
    "error_model": "numpy",
    "boundscheck": False,
    "nogil": True,
    "no_cpython_wrapper": True,  # only compiled code calls these functions
    "no_cfunc_wrapper": True,
}
jit = numba.njit(**_options)
inline = numba.njit(forceinline=True, **_options)
"""As `jit`, for functions that must not cost a call."""
splice = numba.njit(inline="always", **_options)
"""As `inline`, spliced into its caller before that is typed.

numba optimizes every other function once on its own and once more in each function around it, down
to machine code that nothing calls; so the kernel's outer layers are spliced. A caller that has
grown too large is slow to type: the layers inside stay functions.
"""


@intrinsic
def words_at(typing_context, address):
    """The memory at an address as 64-bit words."""

    def generate(context, builder, signature, args):
        return builder.inttoptr(args[0], context.get_value_type(signature.return_type))

    return types.CPointer(types.int64)(types.int64), generate


@intrinsic
def ints_at(typing_context, address):
    """The memory at an address as 32-bit integers."""

    def generate(context, builder, signature, args):
        return builder.inttoptr(args[0], context.get_value_type(signature.return_type))

    return types.CPointer(types.int32)(types.int64), generate


def on_stack(num_words):
    """An intrinsic: the address of that many words that last as long as the calling function."""

    @intrinsic
    def allocate(typing_context):
        def generate(context, builder, signature, args):
            memory = cgutils.alloca_once(builder, ir.ArrayType(_WORD, num_words))
            memory.align = 64
            return builder.ptrtoint(memory, _WORD)

        return types.int64(), generate

    return allocate


@intrinsic
def move(typing_context, target, source, count):
    """Copies `count` integers from one address to another; the ranges may overlap."""

    def generate(context, builder, signature, args):
        to, start, length = args
        pointer = ir.IntType(8).as_pointer()
        size = builder.shl(length, ir.Constant(_WORD, 2))
        to, start = (builder.inttoptr(address, pointer) for address in (to, start))
        cgutils.raw_memmove(builder, to, start, size, 1, align=4)
        return context.get_dummy_value()

    int64 = types.int64
    return types.void(int64, int64, int64), generate


@intrinsic
def prefetch(typing_context, address):
    """Asks for the cache line at an address, valid or not, to be brought into the second level.

    The columns of a book of 1024 slots lie whole pages apart: their lines are rivals in the first.
    """

    def generate(context, builder, signature, args):
        pointer = ir.IntType(8).as_pointer()
        kind = ir.FunctionType(ir.VoidType(), [pointer, _INT32, _INT32, _INT32])
        function = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
        to_read, second_level, of_data = (ir.Constant(_INT32, flag) for flag in (0, 2, 1))
        line = builder.inttoptr(args[0], pointer)
        builder.call(function, [line, to_read, second_level, of_data])
        return context.get_dummy_value()

    return types.void(types.int64), generate

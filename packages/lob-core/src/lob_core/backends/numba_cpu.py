"""The CPU backend's entry point, called by XLA through its typed FFI, compiled by numba.

Only `lob_core.backends.ffi` imports this module, and numba with it, when the backend is first used.
The structs read here are those of `xla/ffi/api/c_api.h` in `jax.ffi.include_dir()`, seen as arrays
of 64-bit words.
"""

# numba infers the types of what it compiles; annotations would only repeat them.
# mypy: ignore-errors

from __future__ import annotations

import hashlib
from pathlib import Path

import numba
import numpy as np
from numba import types
from numba.extending import intrinsic

from lob_core.backends import numba_kernel, numba_side
from lob_core.backends.numba_kernel import (
    Counters,
    Fills,
    Messages,
    Reports,
    Sizes,
    Trades,
    blank_outputs,
    play,
)
from lob_core.backends.numba_side import Side, jit

FFI_MAJOR_VERSION = 0
FFI_MINOR_VERSION = 3
"""The version of XLA's FFI whose structs are read below; later minor versions only add fields."""
_METADATA_EXTENSION = 1

_BIDS, _ASKS, _COUNTERS, _MESSAGES, _TRADES, _REPORTS, _FILLS = 0, 4, 8, 14, 14, 23, 27
"""Where groups start: books in both lists, messages among the arguments, the rest in results."""


@intrinsic
def _words(typing_context, address):
    """The memory at an address as 64-bit words."""

    def generate(context, builder, signature, args):
        return builder.inttoptr(args[0], context.get_value_type(signature.return_type))

    return types.CPointer(types.int64)(types.int64), generate


@intrinsic
def _ints(typing_context, address):
    """The memory at an address as 32-bit integers."""

    def generate(context, builder, signature, args):
        return builder.inttoptr(args[0], context.get_value_type(signature.return_type))

    return types.CPointer(types.int32)(types.int64), generate


@jit
def _address(buffers, index, offset):
    """Address of element `offset` of the 32-bit buffer at `index` of a list of XLA_FFI_Buffer."""
    return _words(buffers[index])[3] + 4 * offset


@jit
def _last_dim(buffers, index):
    buffer = _words(buffers[index])
    return _words(buffer[5])[buffer[4] - 1]


@jit
def _attribute(frame, index):
    """An int32 attribute of the call; attributes are sorted by name."""
    return _ints(_words(_words(frame[20])[index])[1])[0]


@jit
def _num_books(buffers, index):
    """Product of the leading axes of a buffer `[..., N]`."""
    buffer = _words(buffers[index])
    dims, product = _words(buffer[5]), 1
    for axis in range(buffer[4] - 1):
        product *= dims[axis]
    return product


@jit
def _side_at(buffers, first, offset):
    return Side(
        _ints(_address(buffers, first, offset)),
        _ints(_address(buffers, first + 1, offset)),
        _ints(_address(buffers, first + 2, offset)),
        _ints(_address(buffers, first + 3, offset)),
    )


@jit
def _messages_at(buffers, offset):
    return Messages(
        _ints(_address(buffers, _MESSAGES, offset)),
        _ints(_address(buffers, _MESSAGES + 1, offset)),
        _ints(_address(buffers, _MESSAGES + 2, offset)),
        _ints(_address(buffers, _MESSAGES + 3, offset)),
        _ints(_address(buffers, _MESSAGES + 4, offset)),
        _ints(_address(buffers, _MESSAGES + 5, offset)),
        _ints(_address(buffers, _MESSAGES + 6, offset)),
    )


@jit
def _trades_at(buffers, book, offset):
    return Trades(
        _ints(_address(buffers, _TRADES, offset)),
        _ints(_address(buffers, _TRADES + 1, offset)),
        _ints(_address(buffers, _TRADES + 2, offset)),
        _ints(_address(buffers, _TRADES + 3, offset)),
        _ints(_address(buffers, _TRADES + 4, offset)),
        _ints(_address(buffers, _TRADES + 5, offset)),
        _ints(_address(buffers, _TRADES + 6, offset)),
        _ints(_address(buffers, _TRADES + 7, offset)),
        _ints(_address(buffers, _TRADES + 8, book)),
    )


@jit
def _reports_at(buffers, offset):
    return Reports(
        _ints(_address(buffers, _REPORTS, offset)),
        _ints(_address(buffers, _REPORTS + 1, offset)),
        _ints(_address(buffers, _REPORTS + 2, offset)),
        _ints(_address(buffers, _REPORTS + 3, offset)),
    )


@jit
def _fills_at(buffers, offset):
    return Fills(
        _ints(_address(buffers, _FILLS, offset)),
        _ints(_address(buffers, _FILLS + 1, offset)),
        _ints(_address(buffers, _FILLS + 2, offset)),
        _ints(_address(buffers, _FILLS + 3, offset)),
        _ints(_address(buffers, _FILLS + 4, offset)),
        _ints(_address(buffers, _FILLS + 5, offset)),
    )


@jit
def _copy_unless_aliased(args, results, book, num_slots):
    """Brings a book into the result buffers, where XLA has already put it if it could."""
    for index in range(_MESSAGES):
        length = num_slots if index < _COUNTERS else 1
        source = _ints(_address(args, index, book * length))
        target = _ints(_address(results, index, book * length))
        if _address(args, index, 0) != _address(results, index, 0):
            for i in range(length):
                target[i] = source[i]


@jit
def _play_book(args, results, sizes, book):
    _copy_unless_aliased(args, results, book, sizes.num_slots)
    trades = _trades_at(results, book, book * sizes.max_trades)
    fills = _fills_at(results, book * sizes.num_accounts)
    blank_outputs(sizes, trades, fills)
    counters = Counters(
        _ints(_address(results, _COUNTERS, book)),
        _ints(_address(results, _COUNTERS + 1, book)),
        _ints(_address(results, _COUNTERS + 2, book)),
        _ints(_address(results, _COUNTERS + 3, book)),
        _ints(_address(results, _COUNTERS + 4, book)),
        _ints(_address(results, _COUNTERS + 5, book)),
    )
    play(
        sizes,
        _side_at(results, _BIDS, book * sizes.num_slots),
        _side_at(results, _ASKS, book * sizes.num_slots),
        counters,
        _messages_at(args, book * sizes.num_messages),
        trades,
        _reports_at(results, book * sizes.num_messages),
        fills,
    )


@jit
def _answer_metadata(extension, minor_version):
    """Tells XLA which version of its FFI this handler speaks, if the extension asks for that."""
    if (extension[1] & 0xFFFFFFFF) == _METADATA_EXTENSION:
        metadata = _words(extension[3])
        metadata[3] = (minor_version << 32) | FFI_MAJOR_VERSION
        _ints(extension[3])[8] = 0  # traits


def _make_handler(digest):
    """The handler as a Python function; `digest` becomes part of it, and so of its cache key."""

    def handle(frame_address):
        """An XLA_FFI_Handler: plays every book of one call; returns no error."""
        if frame_address == 0:
            return digest
        frame = _words(frame_address)
        if frame[1] != 0:
            _answer_metadata(_words(frame[1]), FFI_MINOR_VERSION)
            return 0
        args, results = _words(frame[9]), _words(frame[14])
        sizes = Sizes(
            _last_dim(args, _BIDS),
            _last_dim(args, _MESSAGES),
            _last_dim(results, _TRADES),
            _last_dim(results, _FILLS),
            np.int64(_attribute(frame, 0)),
            np.int64(_attribute(frame, 1)),
        )
        for book in range(_num_books(args, _BIDS)):
            _play_book(args, results, sizes, book)
        return 0

    return handle


def _source_digest():
    """A number that changes with the kernel's source, which numba's cache does not watch."""
    digest = hashlib.sha256()
    for module in (numba_kernel, numba_side):
        digest.update(Path(module.__file__).read_bytes())
    return int.from_bytes(digest.digest()[:6], "little")


def compile_handler():
    """The handler as a numba `cfunc`, from the disk cache if it is there.

    The cache lies beside this file or, where that cannot be written, in the user's cache folder
    (numba's `NUMBA_CACHE_DIR` moves it).
    """
    handle = _make_handler(_source_digest())
    options = {"error_model": "numpy", "boundscheck": False}
    signature = types.int64(types.int64)
    try:
        return numba.cfunc(signature, cache=True, **options)(handle)
    except (RuntimeError, OSError):  # no folder can be written: compile anew in every process
        return numba.cfunc(signature, cache=False, **options)(handle)

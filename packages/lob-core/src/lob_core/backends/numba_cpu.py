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

import llvmlite.binding
import numba
import numpy as np
from numba import types
from numba.extending import intrinsic

from lob_core.backends import numba_kernel, numba_parallel, numba_side
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
from lob_core.backends.numba_parallel import (
    FRAME,
    LEAST_PARALLEL_MESSAGES,
    TASK_SYMBOL,
    claim_share,
    finish_share,
    new_control,
    release,
    run_task,
    share_out,
    wait_and_release,
    words_at,
)
from lob_core.backends.numba_side import Side, jit

FFI_MAJOR_VERSION = 0
FFI_MINOR_VERSION = 3
"""The version of XLA's FFI whose structs are read below; later minor versions only add fields."""
_METADATA_EXTENSION = 1

_BIDS, _ASKS, _COUNTERS, _MESSAGES, _TRADES, _REPORTS, _FILLS = 0, 4, 8, 14, 14, 23, 27
"""Where groups start: books in both lists, messages among the arguments, the rest in results."""


@intrinsic
def _ints(typing_context, address):
    """The memory at an address as 32-bit integers."""

    def generate(context, builder, signature, args):
        return builder.inttoptr(args[0], context.get_value_type(signature.return_type))

    return types.CPointer(types.int32)(types.int64), generate


@jit
def _address(buffers, index, offset):
    """Address of element `offset` of the 32-bit buffer at `index` of a list of XLA_FFI_Buffer."""
    return words_at(buffers[index])[3] + 4 * offset


@jit
def _last_dim(buffers, index):
    buffer = words_at(buffers[index])
    return words_at(buffer[5])[buffer[4] - 1]


@jit
def _attribute(frame, index):
    """An int32 attribute of the call; attributes are sorted by name."""
    return _ints(words_at(words_at(frame[20])[index])[1])[0]


@jit
def _num_books(buffers, index):
    """Product of the leading axes of a buffer `[..., N]`."""
    buffer = words_at(buffers[index])
    dims, product = words_at(buffer[5]), 1
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
        metadata = words_at(extension[3])
        metadata[3] = (minor_version << 32) | FFI_MAJOR_VERSION
        _ints(extension[3])[8] = 0  # traits


@jit
def _play_books(frame_address, first, last):
    """Plays books `first` to `last - 1` of one call."""
    frame = words_at(frame_address)
    args, results = words_at(frame[9]), words_at(frame[14])
    sizes = Sizes(
        _last_dim(args, _BIDS),
        _last_dim(args, _MESSAGES),
        _last_dim(results, _TRADES),
        _last_dim(results, _FILLS),
        np.int64(_attribute(frame, 0)),
        np.int64(_attribute(frame, 1)),
    )
    for book in range(first, last):
        _play_book(args, results, sizes, book)


def _make_task(digest):
    """The work of one thread; `digest` becomes part of the function, and so of its cache key."""

    def work(control):
        """Plays shares of the books until none is left; see `numba_parallel`."""
        if control == 0:
            return digest
        words = words_at(control)
        while True:
            first, last = claim_share(control)
            if first >= last:
                break
            _play_books(words[FRAME], first, last)
            finish_share(control, last - first)
        release(control)
        return 0

    return work


def _make_handler(digest, pool):
    """The handler; `digest` and the slots of `pool` become part of its cache key."""
    schedule_slot, num_threads_slot, destroy_slot = pool

    def handle(frame_address):
        """An XLA_FFI_Handler: plays every book of one call; returns no error."""
        if frame_address == 0:
            return digest
        frame = words_at(frame_address)
        if frame[1] != 0:
            _answer_metadata(words_at(frame[1]), FFI_MINOR_VERSION)
            return 0
        args = words_at(frame[9])
        num_books, num_messages = _num_books(args, _BIDS), _last_dim(args, _MESSAGES)
        control = new_control(frame_address, num_books)
        if num_books > 1 and num_books * num_messages >= LEAST_PARALLEL_MESSAGES:
            share_out(control, num_books, schedule_slot, num_threads_slot, destroy_slot)
        run_task(control)
        wait_and_release(control, num_books)
        return 0

    return handle


def _source_digest():
    """A number that changes with the kernel's source, which numba's cache does not watch."""
    digest = hashlib.sha256()
    for module in (numba_kernel, numba_side, numba_parallel):
        digest.update(Path(module.__file__).read_bytes())
    return int.from_bytes(digest.digest()[:6], "little")


def compile_handler(pool):
    """The handler and the work it shares out, as numba `cfunc`s, from the disk cache if possible.

    The cache lies beside this file or, where that cannot be written, in the user's cache folder
    (numba's `NUMBA_CACHE_DIR` moves it).

    Args:
        pool: see `numba_parallel.pool_slots`.

    Returns:
        Handler and task; both must be kept alive as long as XLA may call them.
    """
    digest = _source_digest()
    task = _compile(_make_task(digest))
    llvmlite.binding.add_symbol(TASK_SYMBOL, task.address)
    return _compile(_make_handler(digest, pool)), task


def _compile(function):
    options = {"error_model": "numpy", "boundscheck": False}
    signature = types.int64(types.int64)
    try:
        return numba.cfunc(signature, cache=True, **options)(function)
    except (RuntimeError, OSError):  # no folder can be written: compile anew in every process
        return numba.cfunc(signature, cache=False, **options)(function)

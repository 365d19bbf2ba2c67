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

from lob_core.backends import (
    numba_desk,
    numba_kernel,
    numba_matching,
    numba_memory,
    numba_message,
    numba_parallel,
    numba_record,
    numba_side,
    numba_vector,
)
from lob_core.backends.numba_desk import (
    BOOK,
    DESK_WORDS,
    FILLS,
    MAX_TRADES,
    MESSAGES,
    NUM_ACCOUNTS,
    NUM_BOOKS,
    NUM_BUFFERS,
    NUM_MESSAGES,
    NUM_SLOTS,
    SELF_MATCH,
    TRADES,
    UNKNOWN_CANCEL,
    asks_of,
    bids_of,
)
from lob_core.backends.numba_kernel import play
from lob_core.backends.numba_memory import ints_at, jit, move, on_stack, splice, words_at
from lob_core.backends.numba_parallel import (
    FRAME,
    MESSAGES_PER_THREAD,
    TASK_SYMBOL,
    claim_share,
    finish_share,
    new_control,
    release,
    run_task,
    share_out,
    wait_and_release,
)
from lob_core.backends.numba_record import prepare
from lob_core.backends.numba_vector import add_words, fill
from lob_core.types import NO_AGENT, NO_ORDER, NO_PRICE

FFI_MAJOR_VERSION = 0
FFI_MINOR_VERSION = 3
"""The version of XLA's FFI whose structs are read below; later minor versions only add fields."""
_METADATA_EXTENSION = 1

_NUM_BOOK_LEAVES, _NUM_MESSAGE_LEAVES, _NUM_RESULTS = 14, 7, 33
"""Arguments are a book's leaves and a message's, results a book's and an outcome's."""
_PRICES, _EVENT_TYPES, _TRADE_PRICES, _NUM_TRADES, _BOUGHT = 0, 14, 14, 22, 27
"""Where among them some leaves lie."""
_BASES = DESK_WORDS
_STRIDES = _BASES + NUM_BUFFERS
"""Words behind a desk that hold the buffers' addresses and their bytes for one book."""
_BLANKED_ROWS = 512  # of a trade log at once: 2 kB of each of its columns
_desk_on_stack = on_stack(_STRIDES + NUM_BUFFERS)


@jit
def _data(buffers, index):
    """Address of the data of an XLA_FFI_Buffer in a list of them."""
    return words_at(buffers[index])[3]


@jit
def _last_dim(buffers, index):
    buffer = words_at(buffers[index])
    return words_at(buffer[5])[buffer[4] - 1]


@jit
def _num_books(buffers, index):
    """Product of the leading axes of a buffer `[..., N]`."""
    buffer = words_at(buffers[index])
    dims, product = words_at(buffer[5]), 1
    for axis in range(buffer[4] - 1):
        product *= dims[axis]
    return product


@jit
def _attribute(frame, index):
    """An int32 attribute of the call; attributes are sorted by name."""
    return ints_at(words_at(words_at(frame[20])[index])[1])[0]


@jit
def _copy_unless_aliased(args, results, num_books, num_slots):
    """Brings all books into the result buffers, where XLA has already put them if it could."""
    for index in range(_NUM_BOOK_LEAVES):
        if _data(args, index) != _data(results, index):
            length = num_slots if index < 8 else 1
            move(_data(results, index), _data(args, index), num_books * length)


@jit
def _lay_out(desk, frame):
    """Fills in what a desk knows about a call."""
    args, results = words_at(frame[9]), words_at(frame[14])
    words = words_at(desk)
    words[NUM_SLOTS] = _last_dim(args, _PRICES)
    words[NUM_MESSAGES] = _last_dim(args, _EVENT_TYPES)
    words[MAX_TRADES] = _last_dim(results, _TRADE_PRICES)
    words[NUM_ACCOUNTS] = _last_dim(results, _BOUGHT)
    words[SELF_MATCH] = _attribute(frame, 0)
    words[UNKNOWN_CANCEL] = _attribute(frame, 1)
    words[NUM_BOOKS] = _num_books(args, _PRICES)
    for index in range(NUM_BUFFERS):
        words[_BASES + index], words[_STRIDES + index] = 0, 0
    for index in range(_NUM_MESSAGE_LEAVES):
        words[_BASES + index] = _data(args, _EVENT_TYPES + index)
        words[_STRIDES + index] = 4 * words[NUM_MESSAGES]
    for index in range(_NUM_RESULTS):
        if index < 8:
            length = words[NUM_SLOTS]
        elif index < _TRADE_PRICES or index == _NUM_TRADES:
            length = 1
        elif index < _NUM_TRADES:
            length = words[MAX_TRADES]
        elif index < _BOUGHT:
            length = words[NUM_MESSAGES]
        else:
            length = words[NUM_ACCOUNTS]
        words[_BASES + BOOK - MESSAGES + index] = _data(results, index)
        words[_STRIDES + BOOK - MESSAGES + index] = 4 * length
    prepare(bids_of(desk))
    prepare(asks_of(desk))


@splice
def _turn_to(desk, book):
    """Points a desk at the buffers of one book."""
    words = words_at(desk)
    for index in range(NUM_BUFFERS):
        words[MESSAGES + index] = words[_BASES + index] + book * words[_STRIDES + index]


@splice
def _turn_on(desk):
    """Points a desk at the buffers of the next book."""
    for index in range(0, NUM_BUFFERS, 8):
        add_words(desk + 8 * (MESSAGES + index), desk + 8 * (_STRIDES + index))


@splice
def _blank_outputs(desk, num_books):
    """Blanks the trade logs and the accounts of some books, the desk's and the next."""
    words = words_at(desk)
    num_trades, num_accounts = num_books * words[MAX_TRADES], num_books * words[NUM_ACCOUNTS]
    fill(words[TRADES], num_trades, NO_PRICE)
    fill(words[TRADES + 1], num_trades, 0)
    fill(words[TRADES + 2], num_trades, NO_ORDER)
    fill(words[TRADES + 3], num_trades, NO_ORDER)
    fill(words[TRADES + 4], num_trades, NO_AGENT)
    fill(words[TRADES + 5], num_trades, NO_AGENT)
    fill(words[TRADES + 6], num_trades, 0)
    fill(words[TRADES + 7], num_trades, 0)
    for field in range(6):
        fill(words[FILLS + field], num_accounts, 0)


@jit
def _answer_metadata(extension, minor_version):
    """Tells XLA which version of its FFI this handler speaks, if the extension asks for that."""
    if (extension[1] & 0xFFFFFFFF) == _METADATA_EXTENSION:
        metadata = words_at(extension[3])
        metadata[3] = (minor_version << 32) | FFI_MAJOR_VERSION
        ints_at(extension[3])[8] = 0  # traits


@splice
def _play_books(desk, first, last):
    """Plays books `first` to `last - 1` of one call."""
    words = words_at(desk)
    stride = max(1, _BLANKED_ROWS // max(1, words[MAX_TRADES]))
    _turn_to(desk, first)
    for start in range(first, last, stride):
        stop = min(start + stride, last)
        _blank_outputs(desk, stop - start)
        for _ in range(start, stop):
            play(desk)
            _turn_on(desk)


def _make_task(digest):
    """The work of one thread; `digest` becomes part of the function, and so of its cache key."""

    def work(control):
        """Plays shares of the books until none is left; see `numba_parallel`."""
        if control == 0:
            return digest
        desk = np.int64(0)
        while True:
            first, last = claim_share(control)
            if first >= last:
                break
            if desk == 0:
                desk = _desk_on_stack()
                _lay_out(desk, words_at(words_at(control)[FRAME]))
            _play_books(desk, first, last)
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
        num_books, num_messages = _num_books(args, _PRICES), _last_dim(args, _EVENT_TYPES)
        _copy_unless_aliased(args, words_at(frame[14]), num_books, _last_dim(args, _PRICES))
        control = new_control(frame_address, num_books)
        most_threads = min(num_books, num_books * num_messages // MESSAGES_PER_THREAD)
        if most_threads > 1:
            slots = schedule_slot, num_threads_slot, destroy_slot
            share_out(control, num_books, most_threads, *slots)
        run_task(control)
        wait_and_release(control, num_books)
        return 0

    return handle


_KERNEL = (
    numba_desk,
    numba_kernel,
    numba_matching,
    numba_memory,
    numba_message,
    numba_parallel,
    numba_record,
    numba_side,
    numba_vector,
)


def _source_digest():
    """A number that changes with the kernel's source, which numba's cache does not watch."""
    digest = hashlib.sha256()
    for module in _KERNEL:
        digest.update(Path(module.__file__).read_bytes())
    return int.from_bytes(digest.digest()[:6], "little")


def compile_handler(pool, only_to_disk=False):
    """The handler and the work it shares out, as numba `cfunc`s, from the disk cache if possible.

    The cache lies beside this file or, where that cannot be written, in the user's cache folder
    (numba's `NUMBA_CACHE_DIR` moves it).

    Args:
        pool: see `numba_parallel.pool_slots`.
        only_to_disk: nothing is compiled for this process alone.

    Returns:
        Handler and task; both must be kept alive as long as XLA may call them.

    Raises:
        RuntimeError, OSError: if no folder for the cache can be written, with `only_to_disk`.
    """
    digest = _source_digest()
    task = _compile(_make_task(digest), only_to_disk)
    llvmlite.binding.add_symbol(TASK_SYMBOL, task.address)
    return _compile(_make_handler(digest, pool), only_to_disk), task


def _compile(function, only_to_disk):
    options = {"error_model": "numpy", "boundscheck": False}
    signature = types.int64(types.int64)
    try:
        return numba.cfunc(signature, cache=True, **options)(function)
    except (RuntimeError, OSError):  # no folder can be written: compile anew in every process
        if only_to_disk:
            raise
        return numba.cfunc(signature, cache=False, **options)(function)

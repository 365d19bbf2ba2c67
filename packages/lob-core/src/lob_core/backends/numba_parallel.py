"""Books of one call shared among threads of XLA's own pool.

The calling thread makes a *control* block on the heap and schedules tasks that all run the same
work: claim the next share of books, play it, count it as done, until no share is left. The caller
works as well, and then waits only for shares that other threads have claimed. A task that starts
late finds nothing to claim and never looks at the call's buffers; the block is freed by whoever
lets go of it last. So nothing depends on how many tasks ever run, or when.
"""

# numba infers the types of what it compiles; annotations would only repeat them.
# mypy: ignore-errors

from __future__ import annotations

import os
import re

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from lob_core.backends.numba_memory import jit, words_at

TASK_SYMBOL = "lob_core_play_task"
"""Name under which the compiled work is known to the handler's machine code."""
MESSAGES_PER_THREAD = 2048
"""Messages of a call, over all books, for each of its threads. Waking a second one changed the rate
by 0.94 at 3,200 messages, 1.1 at 4,096, 1.2 at 6,400 and 1.7 at 102,400 (measured on two cores)."""
_SHARES_PER_THREAD = 4
_HAS_YIELD = os.name == "posix"

_NEXT, _DONE, _HOLDERS, FRAME, _NUM_BOOKS, _SHARE, _ARGS, _OUT = 0, 1, 2, 3, 4, 5, 6, 11
"""Words of a control block: books claimed, books played, holders, the call's frame, books, books
of a share, room for the arguments of a call to XLA and for its answer."""
_CONTROL_BYTES = 8 * 12
_WORD = ir.IntType(64)


def pool_slots(header):
    """Words of `XLA_FFI_Api` that hold the thread pool's functions, read from the C header.

    Args:
        header: text of `xla/ffi/api/c_api.h`.

    Returns:
        Slots of ThreadPool_Schedule, ThreadPool_NumThreads and Error_Destroy; zeros, which mean
        "play on one thread", if the header names no thread pool.
    """
    fields = re.findall(r"_XLA_FFI_API_STRUCT_FIELD\(XLA_FFI_(\w+)\);", header)
    wanted = ("ThreadPool_Schedule", "ThreadPool_NumThreads", "Error_Destroy")
    if not set(wanted) <= set(fields):
        return 0, 0, 0
    first_function = 6  # after the struct's size, extension, version (3 words) and internal API
    return tuple(first_function + fields.index(name) for name in wanted)


@intrinsic
def _atomic_add(typing_context, address, value):
    """Adds to the word at an address as one step; returns what it was before."""

    def generate(context, builder, signature, args):
        pointer = builder.inttoptr(args[0], _WORD.as_pointer())
        return builder.atomic_rmw("add", pointer, args[1], "seq_cst")

    return types.int64(types.int64, types.int64), generate


@intrinsic
def _call(typing_context, function, argument):
    """Calls the C function at an address with one word; returns a word."""

    def generate(context, builder, signature, args):
        kind = ir.FunctionType(_WORD, [_WORD]).as_pointer()
        return builder.call(builder.inttoptr(args[0], kind), [args[1]])

    return types.int64(types.int64, types.int64), generate


def _external(name, num_arguments):
    """An intrinsic that calls the C function `name` of words, returning a word."""
    kind = ir.FunctionType(_WORD, [_WORD] * num_arguments)

    def generate(context, builder, signature, args):
        return builder.call(cgutils.get_or_insert_function(builder.module, kind, name), args)

    if num_arguments == 0:

        @intrinsic
        def call(typing_context):
            return types.int64(), generate
    else:

        @intrinsic
        def call(typing_context, argument):
            return types.int64(types.int64), generate

    return call


_malloc = _external("malloc", 1)
_free = _external("free", 1)
_sched_yield = _external("sched_yield", 0)
run_task = _external(TASK_SYMBOL, 1)


@intrinsic
def _task_address(typing_context):
    """Address of the compiled work."""

    def generate(context, builder, signature, args):
        kind = ir.FunctionType(_WORD, [_WORD])
        function = cgutils.get_or_insert_function(builder.module, kind, TASK_SYMBOL)
        return builder.ptrtoint(function, _WORD)

    return types.int64(), generate


@jit
def new_control(frame_address, num_books):
    """A control block for one thread, held twice: by its work, and by who waits for the end."""
    control = _malloc(_CONTROL_BYTES)
    words = words_at(control)
    words[_NEXT] = 0
    words[_DONE] = 0
    words[_HOLDERS] = 2
    words[FRAME] = frame_address
    words[_NUM_BOOKS] = num_books
    words[_SHARE] = num_books
    return control


@jit
def claim_share(control):
    """The next books to play, as first and one past the last; an empty range if none is left."""
    words = words_at(control)
    first = _atomic_add(control + 8 * _NEXT, words[_SHARE])
    return first, min(first + words[_SHARE], words[_NUM_BOOKS])


@jit
def finish_share(control, num_books):
    """Counts books as played."""
    _atomic_add(control + 8 * _DONE, num_books)


@jit
def release(control):
    """Lets go of a control block; the last holder frees it."""
    if _atomic_add(control + 8 * _HOLDERS, -1) == 1:
        _free(control)


@jit
def share_out(control, num_books, most_threads, schedule_slot, num_threads_slot, destroy_slot):
    """Schedules tasks on the other threads of XLA's pool, if it has any."""
    if schedule_slot == 0:
        return
    words = words_at(control)
    frame = words_at(words[FRAME])
    api, context = words_at(frame[2]), frame[3]
    args = control + 8 * _ARGS
    call = words_at(args)
    call[0], call[1], call[2], call[3] = 32, 0, context, control + 8 * _OUT
    words[_OUT] = 1
    error = _call(api[num_threads_slot], args)
    if error != 0:
        _destroy(api[destroy_slot], call, args, error)
        return
    num_threads = min(words[_OUT], most_threads)
    words[_SHARE] = max(1, num_books // (_SHARES_PER_THREAD * num_threads))
    for _ in range(num_threads - 1):
        _atomic_add(control + 8 * _HOLDERS, 1)
        call[0], call[1], call[2], call[3], call[4] = 40, 0, context, _task_address(), control
        error = _call(api[schedule_slot], args)
        if error != 0:
            _destroy(api[destroy_slot], call, args, error)
            release(control)
            return


@jit
def _destroy(function, call, args, error):
    call[0], call[1], call[2] = 24, 0, error
    _call(function, args)


@jit
def wait_and_release(control, num_books):
    """Returns when every book has been played."""
    while _atomic_add(control + 8 * _DONE, 0) < num_books:
        if _HAS_YIELD:
            _sched_yield()
    release(control)

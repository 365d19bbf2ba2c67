"""What happens when the numba backend cannot be used."""

import functools
import subprocess
import sys
import types
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import jax
import numpy as np
import pytest
from lob_core import BookConfig, empty_book, process_messages
from lob_core.backends import by_platform, ffi
from lob_core.runtime import compile_ahead
from lob_core.testing import random_messages, stack_trees
from lob_core.testing.agreement import assert_same, make_engine

CONFIG = BookConfig(num_slots=4, max_trades=4)


@pytest.fixture
def fresh_registration(monkeypatch):
    """Forgets, for one test, that the backend has been registered."""
    monkeypatch.setattr(ffi, "_helper", None)
    monkeypatch.setattr(ffi, "_register", functools.cache(ffi._register.__wrapped__))
    compiled = functools.cache(by_platform._compiled.__wrapped__)
    monkeypatch.setattr(by_platform, "_compiled", compiled)


@pytest.mark.parametrize("backend", [None, "numba"])
@pytest.mark.parametrize("reason", ["version", "compiler"])
def test_unusable_numba__falls_back_to_xla_with_one_warning(
    monkeypatch, fresh_registration, backend, reason, tmp_path
):
    if reason == "version":
        header = tmp_path / "xla" / "ffi" / "api" / "c_api.h"
        header.parent.mkdir(parents=True)
        header.write_text("#define XLA_FFI_API_MAJOR 7\n#define XLA_FFI_API_MINOR 0\n")
        monkeypatch.setattr(ffi.jax.ffi, "include_dir", lambda: str(tmp_path))
        match = "XLA's FFI has version 7.0; only 0.x is known"
    else:
        from lob_core.backends import numba_cpu

        def fail(*_):
            raise OSError("no LLVM here")

        monkeypatch.setattr(numba_cpu, "compile_handler", fail)
        match = "OSError: no LLVM here"
    messages = random_messages(0, 12)
    with pytest.warns(RuntimeWarning, match=match) as seen:
        found = process_messages(empty_book(CONFIG), messages, config=CONFIG, backend=backend)
    assert len(seen) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        process_messages(empty_book(CONFIG), messages, config=CONFIG, backend=backend)
    assert_same(found, make_engine("reference", CONFIG)(empty_book(CONFIG), messages))


def test_numba__is_available_here_and_compiled_once_for_all_processes():
    from lob_core.backends import numba_cpu, numba_parallel

    assert ffi.is_available()
    pool = numba_parallel.pool_slots(ffi._read_header())
    compiled = numba_cpu.compile_handler(pool)
    ffi._keep_alive.extend(compiled)  # machine code compiled later may refer to it
    assert [function.cache_hits for function in compiled] == [1, 1]


@pytest.fixture
def without_xla(monkeypatch, fresh_registration):
    """Lets the backend be registered once more, though XLA takes each name once."""
    handler = types.SimpleNamespace(ctypes=None)
    monkeypatch.setattr(ffi, "_compile", lambda header: (handler, None))
    monkeypatch.setattr(ffi.jax.ffi, "pycapsule", lambda pointer: pointer)
    monkeypatch.setattr(ffi.jax.ffi, "register_ffi_target", lambda *_, **__: None)


def test_compile_ahead__starts_one_process_and_none_once_the_engine_is_there(
    monkeypatch, without_xla
):
    started = []

    def start(command, **options):
        started.append(options["env"]["JAX_PLATFORMS"])
        return types.SimpleNamespace(wait=lambda: started.append("waited for"))

    monkeypatch.setattr(ffi.subprocess, "Popen", start)
    compile_ahead()
    compile_ahead()
    assert started == ["cpu"]
    assert ffi.is_available()
    assert started == ["cpu", "waited for"]
    monkeypatch.setattr(ffi, "_helper", None)
    compile_ahead()
    assert started == ["cpu", "waited for"]


def test_compile_ahead__without_an_interpreter_leaves_it_to_this_process(
    monkeypatch, without_xla, tmp_path
):
    monkeypatch.setattr(ffi.sys, "executable", str(tmp_path / "python"))
    compile_ahead()
    assert ffi._helper is None
    assert ffi.is_available()


def test_compile_ahead__the_process_leaves_the_kernel_on_the_disk():
    code = (
        "from lob_core.backends import ffi; from lob_core.runtime import compile_ahead\n"
        "compile_ahead(); assert ffi.is_available() and ffi._helper.returncode == 0\n"
        "assert [function.cache_hits for function in ffi._keep_alive] == [1, 1]"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_pool_slots__are_read_from_the_header_and_zero_without_a_pool():
    from lob_core.backends.numba_parallel import pool_slots

    fields = ("Error_Create", "Error_Destroy", "ThreadPool_Schedule", "ThreadPool_NumThreads")
    header = "".join(f"_XLA_FFI_API_STRUCT_FIELD(XLA_FFI_{name});\n" for name in fields)
    assert pool_slots(header) == (8, 9, 7)
    assert pool_slots(header.replace("ThreadPool_Schedule", "Other")) == (0, 0, 0)
    installed = Path(jax.ffi.include_dir(), "xla", "ffi", "api", "c_api.h").read_text("utf-8")
    assert 0 not in pool_slots(installed)


@pytest.fixture(scope="module")
def large_call():
    """A call that is shared among threads, and what each of its books must become."""
    from lob_core.backends.numba_parallel import MESSAGES_PER_THREAD

    num_books, num_messages = 67, 64
    assert num_books * num_messages > 2 * MESSAGES_PER_THREAD
    messages = [random_messages(seed, num_messages) for seed in range(num_books)]
    engine = make_engine("reference", CONFIG)
    expected = [engine(empty_book(CONFIG), each) for each in messages]
    play = jax.jit(
        jax.vmap(functools.partial(process_messages, config=CONFIG, backend="numba"), (None, 0))
    )
    return play, stack_trees(messages), stack_trees(expected)


def test_numba__large_batches_are_shared_among_threads_and_every_book_is_right(large_call):
    play, messages, expected = large_call
    assert_same(play(empty_book(CONFIG), messages), expected)


def test_numba__large_batches_of_several_callers_at_once_are_right(large_call):
    """Callers compete for the pool; a task may start after its call has ended."""
    play, messages, expected = large_call
    with ThreadPoolExecutor(4) as callers:
        jobs = [callers.submit(play, empty_book(CONFIG), messages) for _ in range(200)]
        for job in jobs:
            assert_same(job.result(timeout=60), expected)


def test_handler__is_compiled_without_a_cache_folder(monkeypatch):
    from lob_core.backends import numba_cpu

    caches = []

    def cfunc(signature, cache, **options):
        caches.append(cache)
        if cache:
            raise RuntimeError("cannot cache function: no locator available")
        return lambda function: types.SimpleNamespace(address=0, name=function.__name__)

    monkeypatch.setattr(numba_cpu.numba, "cfunc", cfunc)
    monkeypatch.setattr(numba_cpu.llvmlite.binding, "add_symbol", lambda name, address: None)
    handler, task = numba_cpu.compile_handler((0, 0, 0))
    assert (handler.name, task.name) == ("handle", "work")
    assert caches == [True, False, True, False]
    with pytest.raises(RuntimeError, match="no locator"):
        numba_cpu.compile_handler((0, 0, 0), only_to_disk=True)


def test_numba__results_of_one_call_do_not_share_memory_with_its_arguments():
    messages = random_messages(1, 12)
    book = empty_book(CONFIG)
    first, _ = process_messages(book, messages, config=CONFIG, backend="numba")
    second, _ = process_messages(book, messages, config=CONFIG, backend="numba")
    np.testing.assert_array_equal(first.bids.size, second.bids.size)
    assert not np.asarray(book.bids.size).any()

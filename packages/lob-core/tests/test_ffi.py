"""What happens when the numba backend cannot be used."""

import functools
import warnings

import numpy as np
import pytest
from lob_core import BookConfig, empty_book, process_messages
from lob_core.backends import ffi
from lob_core.testing import random_messages
from lob_core.testing.agreement import assert_same, make_engine

CONFIG = BookConfig(num_slots=4, max_trades=4)


@pytest.fixture
def fresh_registration(monkeypatch):
    """Forgets, for one test, that the backend has been registered."""
    monkeypatch.setattr(ffi, "_register", functools.cache(ffi._register.__wrapped__))


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

        def fail():
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


def test_numba__is_available_here():
    assert ffi.is_available()


def test_handler__is_compiled_without_a_cache_folder(monkeypatch):
    from lob_core.backends import numba_cpu

    real, caches = numba_cpu.numba.cfunc, []

    def cfunc(signature, cache, **options):
        caches.append(cache)
        if cache:
            raise RuntimeError("cannot cache function: no locator available")
        return lambda function: (real, function)

    monkeypatch.setattr(numba_cpu.numba, "cfunc", cfunc)
    assert numba_cpu.compile_handler()[0] is real
    assert caches == [True, False]


def test_numba__results_of_one_call_do_not_share_memory_with_its_arguments():
    messages = random_messages(1, 12)
    book = empty_book(CONFIG)
    first, _ = process_messages(book, messages, config=CONFIG, backend="numba")
    second, _ = process_messages(book, messages, config=CONFIG, backend="numba")
    np.testing.assert_array_equal(first.bids.size, second.bids.size)
    assert not np.asarray(book.bids.size).any()

"""The GPU backend without a GPU: what is its own; the common suite runs it in interpret mode."""

import functools
import sys
import types

import jax
import jax.numpy as jnp
import pytest
from lob_core import BookConfig, empty_book, engine, process_messages
from lob_core.backends import pallas_gpu
from lob_core.testing import random_messages, stack_trees
from lob_core.testing.agreement import assert_same, make_engine
from lob_core.testing.programs import TRITON, lower_for_cuda

pytestmark = pytest.mark.filterwarnings("ignore:The Pallas Triton backend is deprecated")
NUMBA = "lob_core_process_messages"
CONFIG = BookConfig(num_slots=20, max_trades=5, num_agents=2)


def batch(config, num_books=3, num_messages=30):
    streams = [random_messages(seed, num_messages, num_agents=2) for seed in range(num_books)]
    books = empty_book(config, (num_books,))
    return books, jax.tree.map(jnp.asarray, stack_trees(streams)), streams


def lowered_for_cuda(config, backend):
    """The program that a GPU would compile for a batch of books, as text."""
    play = jax.vmap(functools.partial(process_messages, config=config, backend=backend))
    books, messages, _ = batch(config)
    return lower_for_cuda(play, books, messages)


def test_pallas__plays_a_batch_of_books_each_in_its_own_program():
    books, messages, streams = batch(CONFIG)
    play = functools.partial(process_messages, config=CONFIG, backend="pallas")
    found = jax.jit(jax.vmap(play))(books, messages)
    for i, stream in enumerate(streams):
        expected = make_engine("reference", CONFIG)(empty_book(CONFIG), stream)
        assert_same(jax.tree.map(lambda x, i=i: x[i], found), expected)


def test_pallas__no_messages_change_nothing():
    _, messages, _ = batch(CONFIG)
    none = jax.tree.map(lambda x: x[0, :0], messages)
    book, outcome = process_messages(empty_book(CONFIG), none, config=CONFIG, backend="pallas")
    assert_same(book, empty_book(CONFIG))
    assert int(outcome.trades.count) == 0


@pytest.mark.parametrize("num_slots", [32, 1024])
def test_pallas__lowers_for_cuda_to_one_kernel(num_slots):
    config = BookConfig(num_slots=num_slots, max_trades=4, num_agents=2)
    program = lowered_for_cuda(config, "pallas")
    assert program.count(TRITON) == 1
    assert program.count("stablehlo.sort") == 2  # each side, straight into the new book
    assert "stablehlo.concatenate" not in program


def test_pallas__refuses_books_that_do_not_fit_on_chip():
    config = BookConfig(num_slots=1025)
    with pytest.raises(ValueError, match=r"num_slots is 1025; .* at most 1024"):
        process_messages(empty_book(config), random_messages(0, 3), config=config, backend="pallas")


@pytest.fixture
def pretended_gpu(monkeypatch):
    """Makes this process believe it has a GPU, whose trial of the kernel runs afresh."""
    device = types.SimpleNamespace(platform="gpu")
    monkeypatch.setattr(engine, "local_devices", lambda: [device])
    pallas_gpu._refusal.cache_clear()
    yield
    pallas_gpu._refusal.cache_clear()


def test_default_backend__is_the_kernel_where_it_works(pretended_gpu):
    small, large = (BookConfig(num_slots=n, max_trades=4) for n in (16, 1025))
    programs = [lowered_for_cuda(config, None) for config in (small, large)]
    assert TRITON in programs[0]
    assert TRITON not in programs[1]
    assert not any(NUMBA in program for program in programs)


def test_default_backend__without_a_gpu_is_never_the_kernel():
    assert TRITON not in lowered_for_cuda(BookConfig(num_slots=16, max_trades=4), None)


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("does not compile", "NotImplementedError: no lowering"),
        ("is wrong", "results differ"),
        ("is gone from JAX", "pallas.triton halted"),
    ],
)
def test_default_backend__warns_once_and_takes_xla_where_the_kernel_fails(
    pretended_gpu, monkeypatch, fault, reason
):
    def broken(book, messages, *, config, interpret):
        if fault == "does not compile":
            raise NotImplementedError("no lowering")
        outcome = pallas_gpu.xla.process_messages(book, messages, config=config)[1]
        return book, outcome

    if fault == "is gone from JAX":
        monkeypatch.setitem(sys.modules, "jax.experimental.pallas.triton", None)
        monkeypatch.delattr("jax.experimental.pallas.triton", raising=False)
    else:
        monkeypatch.setattr(pallas_gpu, "run_kernel", broken)
    config = BookConfig(num_slots=16, max_trades=4)
    with pytest.warns(RuntimeWarning, match=reason) as record:
        programs = [lowered_for_cuda(config, None) for _ in range(2)]
    assert not any(TRITON in program for program in programs)
    assert len(record) == 1

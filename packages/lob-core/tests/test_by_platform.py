"""The default backend: one equation of a traced program, chosen for a platform when lowered."""

import functools

import jax
import jax.numpy as jnp
import pytest
from lob_core import BookConfig, empty_book, process_messages
from lob_core.backends import by_platform
from lob_core.testing import random_messages, stack_trees
from lob_core.testing.agreement import assert_same, make_engine
from lob_core.testing.programs import custom_calls, lower_for_cuda

CONFIG = BookConfig(num_slots=8, max_trades=8, num_agents=1)
NUM_MESSAGES = 24
play = functools.partial(process_messages, config=CONFIG)


def stream(seed):
    return jax.tree.map(jnp.asarray, random_messages(seed, NUM_MESSAGES, num_agents=1))


def grid():
    """Messages `[2, 3, M]`, and the same streams played by the reference, one by one."""
    streams = [[stream(10 * i + j) for j in range(3)] for i in range(2)]
    engine = make_engine("reference", CONFIG)
    expected = [stack_trees([engine(empty_book(CONFIG), each) for each in row]) for row in streams]
    return stack_trees([stack_trees(row) for row in streams]), stack_trees(expected)


def test_default_backend__is_traced_for_no_platform_but_that_of_the_program(monkeypatch):
    traced = []

    def spy(name, engine):
        def run(*args, **kwargs):
            traced.append(name)
            return engine(*args, **kwargs)

        return run

    blocks, kernel = by_platform.xla_blocks, by_platform.ffi
    monkeypatch.setattr(blocks, "process_messages", spy("blocks", blocks.process_messages))
    monkeypatch.setattr(kernel, "process_messages", spy("numba", kernel.process_messages))
    arguments = empty_book(CONFIG), stream(0)
    program = jax.jit(play).trace(*arguments)
    assert [equation.primitive.name for equation in program.jaxpr.eqns] == ["process_messages"]
    assert traced == []
    assert custom_calls(program.lower().as_text()) == ["lob_core_process_messages"]
    assert traced == ["numba"]
    assert custom_calls(lower_for_cuda(play, *arguments)) == []
    assert traced == ["numba", "blocks"]


def test_default_backend__is_compiled_by_numba_only_for_programs_of_cpus(monkeypatch):
    asked = []
    available = by_platform.ffi.is_available
    monkeypatch.setattr(by_platform.ffi, "is_available", lambda: asked.append(1) or available())
    arguments = empty_book(CONFIG), stream(0)
    fresh = functools.partial(play)  # no other test has lowered it
    program = jax.jit(fresh).trace(*arguments)
    lower_for_cuda(fresh, *arguments)
    assert asked == []
    program.lower()
    assert asked == [1]


def test_default_backend__one_exported_program_serves_several_platforms():
    names = ("cpu", "cuda")
    ours = jax.export.DisabledSafetyCheck.custom_call("lob_core_process_messages")
    arguments = empty_book(CONFIG), stream(0)
    exported = jax.export.export(jax.jit(play), platforms=names, disabled_checks=[ours])(*arguments)
    found = jax.jit(exported.call)(*arguments)
    assert_same(found, make_engine("reference", CONFIG)(*arguments))


def test_default_backend__axes_of_vmap_may_lie_anywhere_and_be_shared():
    messages, expected = grid()
    inner = jax.vmap(play, (None, 0))
    assert_same(jax.jit(jax.vmap(inner, (None, 0)))(empty_book(CONFIG), messages), expected)
    moved = jax.tree.map(lambda x: jnp.moveaxis(x, 0, 2), messages)
    found = jax.jit(jax.vmap(inner, (None, 2), out_axes=1))(empty_book(CONFIG), moved)
    assert_same(jax.tree.map(lambda x: jnp.swapaxes(x, 0, 1), found), expected)


def test_default_backend__plays_where_jit_is_off():
    arguments = empty_book(CONFIG), stream(0)
    with jax.disable_jit():
        found = play(*arguments)
    assert_same(found, make_engine("reference", CONFIG)(*arguments))


def test_default_backend__what_is_made_of_its_integers_can_be_differentiated():
    book, messages = empty_book(CONFIG), stream(0)
    filled = float(make_engine("reference", CONFIG)(book, messages)[1].reports.filled_size.sum())

    def value(price):
        def step(book, _):
            book, outcome = jax.checkpoint(play)(book, messages)
            return book, price**2 * outcome.reports.filled_size.sum()

        return jax.lax.scan(step, book, length=1)[1].sum()

    assert filled > 0
    assert jax.jit(jax.grad(value))(3.0) == pytest.approx(6.0 * filled)

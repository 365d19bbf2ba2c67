"""Events per second of the order-flow models: drawn alone, and in closed loop with the engine."""

import time

import jax
import pytest
from lob_core import BookConfig
from lob_core.flow import Hawkes, QueueReactive, ValueTraders, ZeroIntelligence, simulate

CONFIG = BookConfig(num_slots=128, max_trades=0)
MODELS = {
    "zero_intelligence": ZeroIntelligence,
    "hawkes": Hawkes,
    "queue_reactive": QueueReactive,
    "value_traders": ValueTraders,
}
NUM_MESSAGES = 500


def draw_alone(model, key, book, state, params):
    """Looks at the same book over and over."""

    def look(state, key):
        messages, state = model.sample(key, book, state, params, model.refresh_every)
        return state, messages

    keys = jax.random.split(key, NUM_MESSAGES // model.refresh_every)
    return book, jax.lax.scan(look, state, keys)[1]


def in_closed_loop(model, key, book, state, params):
    """The engine plays what the model draws before it looks again."""
    book, _, messages, _ = simulate(model, key, book, state, params, NUM_MESSAGES, CONFIG)
    return book, messages


@pytest.mark.parametrize("run_model", [draw_alone, in_closed_loop])
@pytest.mark.parametrize("refresh_every", [1, 20])
@pytest.mark.parametrize("num_books", [64, 256])
@pytest.mark.parametrize("name", list(MODELS))
def test_benchmark_flow(benchmark, name, num_books, refresh_every, run_model):
    model = MODELS[name](refresh_every=refresh_every)
    params = model.default_params()

    def run(key):
        key_open, key_run = jax.random.split(key)
        book, state = model.opening(key_open, params, CONFIG)
        return run_model(model, key_run, book, state, params)

    keys = jax.random.split(jax.random.key(0), num_books)
    start = time.perf_counter()
    run = jax.jit(jax.vmap(run)).lower(keys).compile()
    compile_s = time.perf_counter() - start
    books, messages = benchmark.pedantic(
        lambda: jax.block_until_ready(run(keys)), rounds=5, warmup_rounds=1
    )
    assert messages.price.size == num_books * NUM_MESSAGES
    assert bool((messages.event_type > 0).mean() > 0.99)
    assert not bool(books.counters.unknown_ids.any())
    assert bool(((books.bids.size[:, 0] > 0) | (books.asks.size[:, 0] > 0)).all())
    if benchmark.stats is not None:
        rate = num_books * NUM_MESSAGES / benchmark.stats.stats.median
        benchmark.extra_info["per_s"] = int(rate)
    how = "in the closed loop" if run_model is in_closed_loop else "drawn alone"
    benchmark.extra_info.update(
        what=f"{name} events, {how}",
        books=num_books,
        messages=refresh_every,  # of one look
        slots=CONFIG.num_slots,
        compile_s=round(compile_s, 2),
        bytes_per_book=sum(x.nbytes for x in jax.tree.leaves(books)) // num_books,
        device=jax.devices()[0].device_kind,
    )

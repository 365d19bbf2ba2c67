"""Events per second of the order-flow models, engine included."""

import jax
import pytest
from lob_core import BookConfig
from lob_core.flow import Hawkes, ZeroIntelligence, simulate

CONFIG = BookConfig(num_slots=128, max_trades=0)
MODELS = {"zero_intelligence": ZeroIntelligence, "hawkes": Hawkes}


@pytest.mark.parametrize("refresh_every", [1, 10])
@pytest.mark.parametrize("num_books", [1, 64])
@pytest.mark.parametrize("name", list(MODELS))
def test_benchmark_flow(benchmark, name, num_books, refresh_every):
    model = MODELS[name](refresh_every=refresh_every)
    params = model.default_params()
    num_messages = 500

    @jax.jit
    @jax.vmap
    def run(key):
        key_open, key_run = jax.random.split(key)
        book, state = model.opening(key_open, params, CONFIG)
        book, _, _, outcome = simulate(model, key_run, book, state, params, num_messages, CONFIG)
        return book, outcome.reports

    keys = jax.random.split(jax.random.key(0), num_books)
    jax.block_until_ready(run(keys))
    books, reports = benchmark.pedantic(
        lambda: jax.block_until_ready(run(keys)), rounds=5, warmup_rounds=1
    )
    assert bool((reports.best_bid > 0).all())
    assert bool((reports.best_ask > reports.best_bid).all())
    assert not bool(books.counters.unknown_ids.any())
    if benchmark.stats is not None:
        rate = num_books * num_messages / benchmark.stats.stats.median
        benchmark.extra_info["events_per_s"] = int(rate)
    benchmark.extra_info.update(
        model=name,
        books=num_books,
        refresh_every=refresh_every,
        device=jax.devices()[0].device_kind,
    )

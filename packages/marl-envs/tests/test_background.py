"""Replayed windows and pools of openings."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from lob_core import EventType, Side, process_messages
from lob_core.flow import ZeroIntelligence, simulate
from lob_core.packing import pack_messages, pad_with_noops
from lob_core.replay import ReplayWindows, step_messages
from marl_envs import AgentSpec, EnvConfig, MarketEnv

NUM_STEPS, NUM_WINDOWS, LONGEST, SLOTS = 3, 2, 5, 96
CONFIG = EnvConfig(
    agents=(AgentSpec("market_maker"), AgentSpec("execution", settings={"task": "buy"})),
    num_steps=NUM_STEPS,
    num_slots=SLOTS,
)
ENV = MarketEnv(CONFIG)
QUIET = MarketEnv(EnvConfig(agents=(AgentSpec("execution"),), num_steps=3, num_slots=SLOTS))
LENGTHS = np.array([[5, 2, 4], [3, 0, 5]])
"""Messages of each step: windows by clock time differ in length, and one step is quiet."""


@pytest.fixture(scope="module")
def windows():
    """Two windows cut from zero-intelligence flow."""
    model = ZeroIntelligence()
    params = model.default_params()

    @jax.jit
    def record(key):
        key_open, key_flow = jax.random.split(key)
        book, state = model.opening(key_open, params, CONFIG.book)
        _, _, messages, _ = simulate(model, key_flow, book, state, params, 12, CONFIG.book)
        return book, state, messages

    books, states, messages = jax.vmap(record)(jax.random.split(jax.random.key(0), NUM_WINDOWS))
    starts = np.concatenate([np.zeros((NUM_WINDOWS, 1), int), LENGTHS.cumsum(axis=1)], axis=1)
    flat = {
        name: np.asarray(getattr(messages, name)).reshape(-1)
        for name in (
            "event_type",
            "side",
            "price",
            "size",
            "order_id",
            "time_in_force",
            "time_s",
            "time_ns",
        )
    }
    return ReplayWindows(
        packed=jnp.asarray(pad_with_noops(pack_messages(**flat), LONGEST)),
        step_start=jnp.asarray(starts + 12 * np.arange(NUM_WINDOWS)[:, None], jnp.int32),
        opening=books,
        time_s=states.time_s,
        time_ns=states.time_ns,
        max_messages_per_step=LONGEST,
    )


@pytest.fixture(scope="module")
def params(windows):
    return ENV.make_params(windows)


STEP, OPEN = jax.jit(ENV.step_env), jax.jit(ENV.open_env)
QUIET_STEP, QUIET_OPEN = jax.jit(QUIET.step_env), jax.jit(QUIET.open_env)


def state_of_window(params, window, open_env=OPEN):
    """The beginning of an episode in that window."""
    return open_env(jax.random.key(0), jnp.int32(window), params)[1]


def actions(maker=0, execution=0):
    return {"market_maker": jnp.array([maker]), "execution": jnp.array([execution])}


def replayed_books(windows, window):
    """The recorded book after each step, without any agent."""
    book = jax.tree.map(lambda leaf: leaf[window], windows.opening)
    for step in range(NUM_STEPS):
        messages = step_messages(windows, window, step)
        book, _ = process_messages(book, messages, config=CONFIG.book)
        yield book


@pytest.mark.parametrize("window", range(NUM_WINDOWS))
def test_replay__without_orders_the_market_is_the_recorded_one(windows, window):
    params = QUIET.make_params(windows)
    state = state_of_window(params, window, QUIET_OPEN)
    for book in replayed_books(windows, window):
        _, state, *_ = QUIET_STEP(jax.random.key(9), state, {"execution": jnp.array([0])}, params)
        for side, recorded in ((state.book.bids, book.bids), (state.book.asks, book.asks)):
            assert np.array_equal(side.price, recorded.price)
            assert np.array_equal(side.size, recorded.size)


def test_impact__the_book_differs_from_the_recorded_one_only_by_the_agents_orders(windows, params):
    """Resting far from the touch trades with nobody: without its orders the book is the same."""
    state, compared = state_of_window(params, 0), 0
    for book in replayed_books(windows, 0):
        _, state, _, _, _, info = STEP(jax.random.key(9), state, actions(maker=4), params)
        if int(
            info["agents"]["market_maker"]["bought"][0] + info["agents"]["market_maker"]["sold"][0]
        ):
            break
        for side, recorded in ((state.book.bids, book.bids), (state.book.asks, book.asks)):
            others = np.asarray(side.agent_id) == 0
            count = int(others.sum())
            assert np.array_equal(np.asarray(side.price)[others], recorded.price[:count])
            assert np.array_equal(np.asarray(side.size)[others], recorded.size[:count])
            assert (np.asarray(side.agent_id) == 1).sum() == 1
        compared += 1
    assert compared > 0


@pytest.mark.parametrize("window", range(NUM_WINDOWS))
def test_replay__time_is_that_of_the_last_message_and_stands_still_without_one(
    windows, params, window
):
    state = state_of_window(params, window)
    previous = (int(windows.time_s[window]), int(windows.time_ns[window]))
    assert (int(state.market.time_s), int(state.market.time_ns)) == previous
    for step, length in enumerate(LENGTHS[window]):
        messages = step_messages(windows, window, step)
        if length:
            previous = (int(messages.time_s[length - 1]), int(messages.time_ns[length - 1]))
        _, state, *_ = STEP(jax.random.key(1), state, actions(), params)
        assert (int(state.market.time_s), int(state.market.time_ns)) == previous


def test_replay__every_window_is_drawn(params):
    _, states = jax.jit(jax.vmap(ENV.reset, (0, None)))(
        jax.random.split(jax.random.key(0), 64), params
    )
    counts = np.bincount(np.asarray(states.background.window))
    assert counts.min() > 15


def test_make_params__refuses_what_does_not_fit(windows):
    with pytest.raises(ValueError, match="windows have 3 steps"):
        MarketEnv(EnvConfig(num_steps=9, num_slots=SLOTS)).make_params(windows)
    with pytest.raises(ValueError, match="96 slots"):
        MarketEnv(EnvConfig(num_steps=3, num_slots=64)).make_params(windows)
    with pytest.raises(ValueError, match="flow_params"):
        ENV.make_params(windows, flow_params={})
    with pytest.raises(ValueError, match="num_openings is 0"):
        ENV.make_params(num_openings=0)


def test_calibration__worked_example():
    """The mid rises by 1 tick in the first step; the trades of it reach 1 and 2 ticks."""
    from marl_envs.calibration import calibrate
    from marl_envs.testing import ScriptedFlow

    flow = ScriptedFlow(
        asks=((101, 10), (103, 100)),
        script=(
            (
                (int(EventType.MARKET), int(Side.BID), 0, 10),
                (int(EventType.MARKET), int(Side.ASK), 0, 5),
            ),
        ),
    )
    config = EnvConfig(num_steps=2, messages_per_step=2, num_slots=8)
    params = MarketEnv(config).make_params(flow, num_openings=1)
    result = calibrate(params.background, config, jax.random.key(0))
    assert float(result.volatility) == pytest.approx(np.sqrt(1 / 2))
    assert float(result.depth_decay) == pytest.approx(1.0)


def test_calibration__is_measured_only_for_those_who_ask():
    small = {"num_steps": 2, "messages_per_step": 2, "num_slots": 16}
    plain = MarketEnv(EnvConfig(agents=(AgentSpec("market_maker"),), **small))
    closed_form = MarketEnv(EnvConfig(agents=(AgentSpec("market_maker", action="AvSt"),), **small))
    assert plain.make_params(num_openings=2).calibration is None
    calibration = closed_form.make_params(num_openings=2).calibration
    assert float(calibration.volatility) > 0
    assert float(calibration.depth_decay) > 0

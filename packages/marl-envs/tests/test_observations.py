import jax.numpy as jnp
import numpy as np
import pytest
from lob_core.types import EventType, make_messages
from marl_envs.agents.directional.observations import Signals
from marl_envs.agents.execution import observations as execution
from marl_envs.agents.market_making import observations as maker
from marl_envs.agents.token_features import Tokenizer
from marl_envs.testing import make_agent, make_book, make_market

BOOK = make_book(bids=[(99, 30)], asks=[(103, 10)])
MARKET = make_market(
    99,
    103,
    bid_size=30,
    ask_size=10,
    mid_open_half_ticks=199,
    step=2,
    steps_left=6,
    signed_volume=-4.0,
    variance=9.0,
)
MAKER = make_agent(
    99,
    103,
    num_orders=2,
    account={"inventory": 20, "cash": -30},
    bid_quote=97,
    bid_quote_size=10,
    bid_queue=25,
    ask_quote=104,
    ask_quote_size=5,
    ask_queue=0,
)


def symlog(x):
    return np.sign(x) * np.log1p(abs(x))


def named(observation, agent):
    vector = observation.observe(agent, MARKET, BOOK)
    assert vector.dtype == jnp.float32
    assert vector.shape == observation.space.shape
    return dict(zip(observation.names, np.asarray(vector).tolist(), strict=True))


MARKET_EXPECTED = {
    "mid_return": symlog(1.5),
    "spread": symlog(4),
    "bid_size": np.log1p(30),
    "ask_size": np.log1p(10),
    "imbalance": 0.5,
    "microprice": symlog(1.0),
    "signed_volume": symlog(-4),
    "volatility": np.log1p(3),
}


def test_maker_engineered__worked_example():
    """Cash -30 counts from 99, the mid at the open rounded down; 20 shares at 101 add 40."""
    expected = {
        "inventory": symlog(2),
        "cash": symlog(-3),
        "worth": symlog((-30 + 20 * (101 - 99)) / 10),
        "time_left": 0.75,
        "own_bid_distance": symlog(2),
        "own_ask_distance": symlog(1),
        "own_bid_size": np.log1p(10),
        "own_ask_size": np.log1p(5),
        "own_bid_queue": np.log1p(25),
        "own_ask_queue": 0.0,
        **MARKET_EXPECTED,
    }
    assert named(maker.Engineered(), MAKER) == pytest.approx(expected, rel=1e-5)


def test_maker_basic__is_own_state_and_spread():
    full, basic = named(maker.Engineered(), MAKER), named(maker.Basic(), MAKER)
    assert set(full) - set(basic) == set(MARKET_EXPECTED) - {"spread"}
    assert basic == pytest.approx({name: full[name] for name in basic})


@pytest.mark.parametrize("side", [1, -1])
def test_execution_engineered__worked_example(side):
    done = {"bought": 150} if side == 1 else {"sold": 150}
    agent = make_agent(99, 103, task_side=side, task_size=600, account=done)
    got = named(execution.Engineered(), agent)
    assert got["side"] == side
    assert got["executed"] == 0.25
    assert got["remaining"] == pytest.approx(symlog(45))
    far, near = (103, 99) if side == 1 else (99, 103)
    assert got["far_touch"] == pytest.approx(symlog(side * (99.5 - far)), rel=1e-5)
    assert got["near_touch"] == pytest.approx(symlog(side * (99.5 - near)), rel=1e-5)
    assert got["far_size"] == pytest.approx(np.log1p(10 if side == 1 else 30))
    assert got["near_size"] == pytest.approx(np.log1p(30 if side == 1 else 10))
    assert {name: got[name] for name in MARKET_EXPECTED} == pytest.approx(MARKET_EXPECTED, rel=1e-5)
    assert got["own_bid_distance"] == got["own_bid_queue"] == 0.0


@pytest.mark.parametrize(
    "observation", [maker.Basic(), maker.Engineered(), execution.Basic(), execution.Engineered()]
)
def test_observations__do_not_depend_on_the_price_level(observation):
    shift = 50_000
    moved_market = MARKET.replace(
        best_bid=MARKET.best_bid + shift,
        best_ask=MARKET.best_ask + shift,
        mid_open_half_ticks=MARKET.mid_open_half_ticks + 2 * shift,
    )
    moved_agent = MAKER.replace(
        best_bid=MAKER.best_bid + shift,
        best_ask=MAKER.best_ask + shift,
        bid_quote=MAKER.bid_quote + shift,
        ask_quote=MAKER.ask_quote + shift,
    )
    here = observation.observe(MAKER, MARKET, BOOK)
    there = observation.observe(moved_agent, moved_market, BOOK)
    assert np.array_equal(here, there)


@pytest.mark.parametrize("module", [maker, execution])
def test_book__shows_levels_relative_to_the_mid(module):
    book = make_book(bids=[(99, 30), (99, 5), (96, 7)], asks=[(103, 10)])
    observation = module.Book(num_levels=2)
    vector = np.asarray(observation.observe(MAKER, MARKET, book))
    assert len(observation.names) == len(vector)
    got = dict(zip(observation.names, vector.tolist(), strict=True))
    expected = {
        "bid_distance_1": symlog(2),
        "bid_distance_2": symlog(5),
        "bid_log_size_1": np.log1p(35),
        "bid_log_size_2": np.log1p(7),
        "ask_distance_1": symlog(2),
        "ask_distance_2": 0.0,
        "ask_log_size_1": np.log1p(10),
        "ask_log_size_2": 0.0,
    }
    assert {name: got[name] for name in expected} == pytest.approx(expected)
    with pytest.raises(ValueError, match="num_levels is 0"):
        module.Book(num_levels=0)


def with_messages(**columns):
    """`MARKET` (mid 101, 09:30:00) after messages."""
    recent = make_messages(**{name: np.asarray(value) for name, value in columns.items()})
    return MARKET.replace(recent=recent, time_s=jnp.int32(34200), time_ns=jnp.int32(500_000_000))


MESSAGES = with_messages(
    event_type=[EventType.NOOP, EventType.CANCEL, EventType.SUBMIT, EventType.MARKET],
    side=[1, 1, -1, 1],
    price=[0, 99, 100, 0],
    size=[0, 3, 20, 5],
    time_s=[0, 34199, 34200, 34200],
    time_ns=[0, 500_000_000, 498_000_000, 500_000_000],
)


@pytest.mark.parametrize("module", [maker, execution])
def test_messages__worked_example(module):
    """The mid is 101: the bid lies two ticks behind it, the ask one tick through it."""
    observation = module.Messages(num_messages=4)
    assert observation.num_recent_messages == 4
    vector = np.asarray(observation.observe(MAKER, MESSAGES, BOOK))
    got = dict(zip(observation.names, vector.tolist(), strict=True))
    expected = {
        4: (0, 0, 0, 0, 0, 0, 0),
        3: (0, 1, 0, 1, symlog(2), np.log1p(3), np.log1p(1000)),
        2: (1, 0, 0, -1, symlog(-1), np.log1p(20), np.log1p(2)),
        1: (0, 0, 1, 1, 0, np.log1p(5), 0),
    }
    fields = ("is_submit", "is_cancel", "is_execution", "side", "distance", "log_size", "age")
    for number, values in expected.items():
        row = [got[f"message_{number}_{field}"] for field in fields]
        assert row == pytest.approx(values, rel=1e-4), number


def test_messages__only_the_newest_are_shown():
    few, all_four = maker.Messages(num_messages=2), maker.Messages(num_messages=4)
    shown = few.observe(MAKER, MESSAGES, BOOK), all_four.observe(MAKER, MESSAGES, BOOK)
    assert np.array_equal(shown[0][-14:], shown[1][-14:])


@pytest.mark.parametrize("module", [maker, execution])
def test_tokens__worked_example(module):
    """D = 31: distances start at 128 (missing), sizes at 192, events at 216, sides at 226."""
    observation = module.Tokens(num_levels=2, num_messages=4)
    tokens = observation.observe(MAKER, MESSAGES, make_book(bids=[(99, 30), (40, 1)]))
    assert tokens.dtype == observation.space.dtype
    assert tokens.shape == observation.space.shape
    assert bool(observation.space.contains(tokens))
    assert observation.space.ns[0] == 128 + 64 + 24 + 10 + 3
    got = dict(zip(observation.names, tokens.tolist(), strict=True))
    assert got["inventory"] == 64 + int(8 * symlog(2))
    assert (got["bid_distance_1"], got["bid_distance_2"]) == (128 + 32 - 2, 128 + 1)
    assert (got["bid_log_size_1"], got["bid_log_size_2"]) == (192 + 5, 192 + 1)
    assert (got["ask_distance_1"], got["ask_log_size_1"]) == (128, 192)
    fields = ("event", "side", "distance", "size")
    rows = {n: [got[f"message_{n}_{field}"] for field in fields] for n in (1, 2, 3, 4)}
    assert rows[4] == [216, 226, 128, 192]
    assert rows[3] == [216 + EventType.CANCEL, 227, 128 + 32 - 2, 192 + 2]
    assert rows[2] == [216 + EventType.SUBMIT, 228, 128 + 32 - 1, 192 + 5]
    assert rows[1] == [216 + EventType.MARKET, 227, 128, 192 + 3]


def test_tokens__numbers_beyond_the_vocabulary_are_cut():
    tokenizer = Tokenizer()
    assert tokenizer.own(jnp.asarray([-100.0, 0.0, 100.0])).tolist() == [0, 64, 127]
    sizes = tokenizer.size(jnp.asarray([0, 1, 2, 3, 4, 2**31 - 1])) - (128 + 64)
    assert sizes.tolist() == [0, 1, 2, 2, 3, 23]


def test_messages__need_a_market_that_remembers_them():
    with pytest.raises(ValueError, match="recent is None"):
        maker.Messages().observe(MAKER, MARKET, BOOK)
    with pytest.raises(ValueError, match="num_messages is 0"):
        maker.Messages(num_messages=0)
    with pytest.raises(ValueError, match="max_distance is 0"):
        maker.Tokens(max_distance=0)


def test_signals__worked_example():
    """Mid 101, bids 30 at 99 and 10 at 95, asks 20 at 103; average distances -3 and 2."""
    book = make_book(bids=[(99, 30), (95, 10)], asks=[(103, 20)])
    market = MARKET.replace(average_volume=jnp.float32(16), fundamental=jnp.float32(106))
    observation = Signals(num_levels=2, sees_fundamental=True)
    vector = observation.observe(MAKER, market, book)
    assert vector.shape == observation.space.shape
    got = dict(zip(observation.names, np.asarray(vector).tolist(), strict=True))
    expected = {
        "depth_imbalance": (40 - 20) / 60,
        "weighted_mid": symlog((-3 + 2) / 2),
        "flow_share": -4 / 16,
        "return_score": 1.5 / np.sqrt(9 * 2 + 1),
        "fundamental_gap": symlog(5),
    }
    assert {name: got[name] for name in expected} == pytest.approx(expected, rel=1e-5)
    assert "fundamental_gap" not in Signals().names

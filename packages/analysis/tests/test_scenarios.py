"""Scenarios do what they say, on the same openings and draws as the clean market."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from lob_analysis.errors import AnalysisError
from lob_analysis.play.simulate import Player
from lob_analysis.robustness import ATTACKS, NEWCOMERS, SCENARIOS, make_scenario
from lob_analysis.robustness.disturbed import Disturbance, DisturbedBackground
from lob_analysis.robustness.scenarios import CLEAN, DISTURBANCES
from lob_core.packing import pack_messages, pad_with_noops
from lob_core.replay import ReplayWindows
from lob_core.types import EventType, Side, TimeInForce
from marl_envs import AgentSpec, EnvConfig, MarketEnv
from marl_envs.testing import make_book


def test_scenarios__all_can_be_made_and_keep_what_learners_see(lab):
    for name in (CLEAN, *SCENARIOS):
        scenario = make_scenario(lab, name)
        assert scenario.env.groups == lab.market.env.groups
        assert scenario.has_attacker == (name in ATTACKS)
        assert (scenario.env == lab.market.env) == (name in (CLEAN, *DISTURBANCES))
    with pytest.raises(AnalysisError, match="scenario is 'flood'; allowed: clean, spoofing"):
        make_scenario(lab, "flood")


def in_market(lab, **changes):
    """The same run in a market with another configuration."""
    env = MarketEnv(dataclasses.replace(lab.market.env.config, **changes))
    return dataclasses.replace(lab, market=dataclasses.replace(lab.market, env=env))


def test_scenarios__strangers_are_new_and_worse_terms_come_on_top(lab):
    config = lab.market.env.config
    among = in_market(lab, agents=(*config.agents, NEWCOMERS["noise_traders"]))
    with pytest.raises(AnalysisError, match="'noise_traders' are not new to this run"):
        make_scenario(among, "noise_traders")
    (maker,) = config.agents
    terms = {"taker_fee": (0.2,), "latency_feed_ns": 5}
    settings = dict(maker.settings) | terms
    on_terms = in_market(lab, agents=(dataclasses.replace(maker, settings=settings),))
    for name, wanted in (
        ("fees", {"taker_fee": (0.7,), "maker_fee": 0.1, "latency_feed_ns": 5}),
        ("latency", {"taker_fee": (0.2,), "latency_feed_ns": 100_000_005}),
    ):
        (spec,) = make_scenario(on_terms, name).env.config.agents
        found = dict(spec.settings)
        assert {key: found[key] for key in wanted} == wanted
        assert found.get("latency_submit_ns", 0) == (100_000_000 if name == "latency" else 0)


@pytest.fixture(scope="module")
def player(lab):
    return Player(lab.market.env, lab.learner, 64)


@pytest.fixture(scope="module")
def disturbed(lab, player):
    """The same 64 episodes of 6 steps under every disturbance, by name; one compiled program."""
    found = {}
    for name in (CLEAN, *DISTURBANCES):
        params = make_scenario(lab, name).params
        found[name] = player.play(lab.policies[0], params, jax.random.key(0))
    return found


def test_disturbed__nothing_happens_in_the_clean_market(lab):
    inner = lab.market.params["test"].background
    clean = make_scenario(lab, CLEAN).params.background
    assert (clean.num_openings, clean.num_looks) == (inner.num_openings, inner.num_looks)

    @jax.jit
    def first_look(background):
        book, market, state = background.opening(jnp.int32(3))
        flags = {"is_first": True, "is_last": jnp.asarray(False)}
        drawn = background.messages(jax.random.key(1), book, state, market, **flags)
        return (book, market, state), drawn

    (opened, (flow, *rest)), found = first_look(inner), first_look(clean)
    jax.tree.map(np.testing.assert_array_equal, opened, found[0])
    assert (found[1][0].event_type[:2] == EventType.NOOP).all()
    same = jax.tree.map(lambda leaf: leaf[2:], found[1][0])
    jax.tree.map(np.testing.assert_array_equal, (flow, *rest), (same, *found[1][1:]))


def test_disturbed__openings_are_the_same_and_twice_the_volatility_half_the_depth(disturbed):
    def ratio(name, measure):
        return measure(disturbed[name].market) / measure(disturbed[CLEAN].market)

    def volatility(market):
        return np.diff(market["mid"].astype(float), axis=0).std()

    def depth(market):
        return (market["bid_size"] + market["ask_size"]).mean()

    # 320 changes of the mid each: a standard deviation is known to 4 %, a depth to less.
    assert 1.6 < ratio("volatility_x2", volatility) < 2.4
    assert 0.35 < ratio("depth_half", depth) < 0.6
    lost = ratio("missing_messages", lambda market: market["volume"].sum())
    # Four of five market orders are left; less rests for them, and it is cancelled less.
    assert 0.65 < lost < 0.95


def test_disturbed__a_shock_stays_and_a_fat_finger_passes(disturbed):
    found = {name: disturbed[name].market for name in (CLEAN, "shock", "fat_finger")}
    clean = found.pop(CLEAN)
    moved = {name: np.abs(market["mid"] - clean["mid"]) for name, market in found.items()}
    for name, distance in moved.items():
        assert (distance[:3] == 0).all()
        assert (found[name]["volume"][3] > clean["volume"][3]).all()
    # The price goes through ten spreads of one or two ticks, and does not come back.
    assert moved["shock"][3].min() > 2
    assert moved["shock"][3].mean() > 5
    assert moved["shock"][-1].mean() > 0.8 * moved["shock"][3].mean()
    # Half of a side is eaten and comes again: what is left of the move is a small part of it.
    assert moved["fat_finger"].max(axis=0).mean() < 0.5 * moved["shock"][-1].mean()


def test_disturbed__nothing_trades_in_a_halt(disturbed):
    halted, clean = disturbed["halt"].market, disturbed[CLEAN].market
    assert halted["is_halted"].all(axis=1).tolist() == [False, False, False, True, False, False]
    assert halted["is_halted"].any(axis=1).tolist() == [False, False, False, True, False, False]
    assert (halted["volume"][3] == 0).all()
    assert (halted["volume"][:3] == clean["volume"][:3]).all()
    assert halted["volume"][4:].sum() > 0.5 * clean["volume"][4:].sum()


def test_disturbed__recorded_flow_is_stretched_thinned_and_lost():
    rows = {
        "event_type": [EventType.SUBMIT, EventType.EXECUTE_VISIBLE, EventType.DELETE],
        "side": [Side.BID, Side.ASK, Side.BID],
        "price": [98, 101, 98],
        "size": [10, 3, 10],
        "order_id": [90, 1, 90],
    }
    packed = pack_messages(**rows, time_s=[1, 2, 3], time_ns=[0] * 3)
    windows = ReplayWindows(
        packed=jnp.asarray(pad_with_noops(packed, 3)),
        step_start=jnp.asarray([[0, 3]]),
        opening=jax.tree.map(
            lambda leaf: leaf[None], make_book(bids=[(99, 8)], asks=[(101, 6)], num_slots=8)
        ),
        time_s=jnp.asarray([0]),
        time_ns=jnp.asarray([0]),
        max_messages_per_step=3,
    )
    config = EnvConfig(agents=(AgentSpec("market_maker"),), num_steps=1, num_slots=8)
    inner = MarketEnv(config).make_params(windows).background

    @jax.jit
    def first_look(disturbance):
        background = DisturbedBackground(inner, disturbance)
        book, market, state = background.opening(jnp.int32(0))
        flags = {"is_first": True, "is_last": jnp.asarray(True)}
        return market, background.messages(jax.random.key(0), book, state, market, **flags)[0]

    def play(**plan):
        market, flow = first_look(Disturbance(**plan))
        added = len(flow.size) - inner.num_messages
        quotes = [int(x) for x in (market.best_bid, market.bid_size, market.best_ask)]
        return quotes, flow.price[added:].tolist(), flow.size[added:].tolist(), flow

    quotes, prices, sizes, flow = play(stretch=2)
    assert (quotes, prices, sizes) == ([98, 8, 102], [96, 102, 96], [10, 3, 10])
    assert flow.event_type[:2].tolist() == [EventType.NOOP] * 2
    quotes, prices, sizes, _ = play(size_scale=0.5)
    assert (quotes, prices, sizes) == ([99, 4, 101], [98, 101, 98], [5, 3, 10])
    flow = play(lost=1.0, push_at=0, push_share=0.5)[-1]
    kinds = [EventType.NOOP, EventType.SUBMIT, *[EventType.NOOP] * 3]
    assert flow.event_type.tolist() == kinds
    bought = int(flow.side[1]) == Side.BID
    assert int(flow.size[1]) == (3 if bought else 4)
    assert int(flow.time_in_force[1]) == TimeInForce.IOC


def test_fees__cost_the_victim_what_it_pays_and_change_nothing_else(lab, disturbed):
    scenario, before = make_scenario(lab, "fees"), disturbed[CLEAN]
    player = Player(scenario.env, lab.learner, 64)
    played = player.play(lab.policies[0], scenario.params, jax.random.key(0))
    found, was = (x.results["market_maker"] for x in (played, before))
    assert found["traded_volume"].sum() > 0
    np.testing.assert_array_equal(found["traded_volume"], was["traded_volume"])
    made = found["maker_volume"]
    fee = 0.1 * made + 0.5 * (found["traded_volume"] - made)
    np.testing.assert_allclose(was["pnl"] - found["pnl"], fee, atol=0.01)

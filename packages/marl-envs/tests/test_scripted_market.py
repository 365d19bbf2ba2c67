"""Markets small enough to work out by hand: queues, races, closing, common random numbers."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from lob_core import EventType, Side
from marl_envs import AgentSpec, EnvConfig, MarketEnv
from marl_envs.testing import ScriptedFlow

SUBMIT, MARKET = int(EventType.SUBMIT), int(EventType.MARKET)
BUY, SELL = int(Side.BID), int(Side.ASK)


def build(*agents, flow=None, num_steps=4):
    env = MarketEnv(EnvConfig(agents=agents, num_steps=num_steps, messages_per_step=2, num_slots=8))
    params = env.make_params(ScriptedFlow() if flow is None else flow, num_openings=1)
    _, state = jax.jit(env.reset)(jax.random.key(0), params)
    step = jax.jit(env.step_env)

    def play(state, index=0, **actions):
        action = {name: jnp.atleast_1d(jnp.asarray(a)) for name, a in actions.items()}
        _, state, reward, terminated, _, info = step(jax.random.key(index), state, action, params)
        return state, reward, terminated, info

    return state, play


def test_persistent_quote__keeps_its_place_when_others_join_behind():
    """The maker joins 100 shares at 99; a later bid of 50 stands behind it; it trades first."""
    flow = ScriptedFlow(
        script=(
            ((SUBMIT, BUY, 99, 50),),
            (),
            ((MARKET, SELL, 0, 105),),
        )
    )
    state, play = build(AgentSpec("market_maker"), flow=flow)
    state, _, _, info = play(state, market_maker=0)
    agent = info["agents"]["market_maker"]
    assert int(agent["bid_quote"][0]) == 99
    assert int(state.agents["market_maker"].bid_queue[0]) == 100
    first_id = int(state.agents["market_maker"].orders.order_id[0, 0, 0])
    state, _, _, _ = play(state, market_maker=0)
    assert int(state.agents["market_maker"].bid_queue[0]) == 100
    assert int(state.agents["market_maker"].orders.order_id[0, 0, 0]) == first_id
    state, _, _, info = play(state, market_maker=0)
    assert int(info["agents"]["market_maker"]["bought"][0]) == 5
    assert int(info["agents"]["market_maker"]["maker_size"][0]) == 5
    assert float(info["agents"]["market_maker"]["buy_price"][0]) == 99.0


def test_quote__ignores_the_agents_own_orders_when_it_looks_for_the_touch():
    """Alone inside the spread it would otherwise chase itself."""
    flow = ScriptedFlow(bids=((90, 100),), asks=((110, 100),))
    state, play = build(AgentSpec("execution", settings={"task": "buy"}), flow=flow)
    for _ in range(2):
        state, _, _, info = play(state, execution=4)  # the mid, 2 q would be action 5
        assert int(info["agents"]["execution"]["bid_quote"][0]) == 100
        assert int(info["market"]["best_bid"]) == 100
        assert int(state.agents["execution"].best_bid[0]) == 90


def test_oversize_passive_order__rests_at_the_near_touch():
    state, play = build(AgentSpec("execution", settings={"task": "buy", "task_size": 30}))
    state, _, _, info = play(state, execution=9)  # near touch, 5 q, only 30 left
    agent = info["agents"]["execution"]
    assert (int(agent["bid_quote"][0]), int(agent["bid_quote_size"][0])) == (99, 30)
    assert int(agent["bought"][0]) == 0


def test_task__finishes_early_and_is_masked_from_then_on():
    state, play = build(AgentSpec("execution", settings={"task": "sell", "task_size": 50}))
    state, reward, terminated, info = play(state, execution=3)  # far touch, 5 q
    assert int(info["agents"]["execution"]["remaining"][0]) == 0
    assert bool(terminated["execution"][0])
    assert bool(info["active"]["execution"][0])
    assert float(reward["execution"][0]) == pytest.approx(50 * (99 - 100) / 600)
    state, reward, terminated, info = play(state, execution=3)
    assert not bool(info["active"]["execution"][0])
    assert bool(terminated["execution"][0])
    assert float(reward["execution"][0]) == 0.0
    assert int(info["agents"]["execution"]["sold"][0]) == 0


def test_closing__what_is_left_walks_the_book_and_is_worsened():
    """250 shares to buy: 100 at 101, 100 at 102, 50 at 103, each 5 ticks worse; arrival 100."""
    state, play = build(
        AgentSpec("execution", settings={"task": "buy", "task_size": 250}), num_steps=1
    )
    _, reward, terminated, info = play(state, execution=0)
    result = info["episode"]["execution"]
    shortfall = 100 * 6 + 100 * 7 + 50 * 8
    assert float(result["shortfall"][0]) == shortfall
    assert float(result["closing_cost"][0]) == shortfall
    assert float(result["shortfall_ticks"][0]) == pytest.approx(shortfall / 250)
    assert float(result["shortfall_bps"][0]) == pytest.approx(1e4 * shortfall / 250 / 100)
    assert int(result["unexecuted"][0]) == 250
    assert int(result["traded_volume"][0]) == 0
    assert float(reward["execution"][0]) == pytest.approx(-shortfall / 600)
    assert bool(terminated["execution"][0])


def test_closing__a_maker_pays_the_spread_for_its_inventory():
    """It buys 10 at 99 from a seller who sweeps 100 + 10; the best bid is then 98."""
    flow = ScriptedFlow(script=(((MARKET, SELL, 0, 110),),))
    state, play = build(
        AgentSpec("market_maker", reward="delta_portfolio_value", settings={"reward_scale": 1.0}),
        flow=flow,
        num_steps=1,
    )
    _, reward, _, info = play(state, market_maker=0)
    result = info["episode"]["market_maker"]
    assert int(result["inventory_end"][0]) == 10
    assert float(result["pnl"][0]) == 10 * (98 - 99)
    assert float(result["closing_cost"][0]) == 10 * (99.5 - 98)
    assert float(reward["market_maker"][0]) == 10 * (98 - 99)
    assert int(info["agents"]["market_maker"]["inventory"][0]) == 10


def test_closing__left_open_is_a_truncation():
    state, play = build(AgentSpec("market_maker", settings={"closing_price": "none"}), num_steps=1)
    _, _, terminated, info = play(state, market_maker=0)
    assert not bool(terminated["market_maker"][0])
    assert float(info["episode"]["market_maker"]["closing_cost"][0]) == 0.0


def test_empty_side__the_last_known_quote_stands_in():
    flow = ScriptedFlow(bids=((99, 10),), script=(((MARKET, SELL, 0, 10),),))
    state, play = build(AgentSpec("market_maker", action="do_nothing"), flow=flow)
    state, _, _, info = play(state, market_maker=0)
    assert int(info["market"]["bid_size"]) == 0
    assert int(info["market"]["best_bid"]) == 99
    assert bool(info["market"]["is_quoted"])


def test_empty_side__without_any_quote_nothing_is_sent():
    state, play = build(AgentSpec("market_maker"), flow=ScriptedFlow(bids=()))
    _, _, _, info = play(state, market_maker=0)
    assert not bool(info["market"]["is_quoted"])
    assert int(info["agents"]["market_maker"]["ask_quote"][0]) == 0


@pytest.mark.parametrize("index", range(3))
def test_agent_order__is_random_between_agents(index):
    """Two takers for the last 10 shares at the touch: who comes first varies with the key."""
    flow = ScriptedFlow(asks=((101, 10), (109, 100)))
    spec = AgentSpec("execution", num_agents=2, settings={"task": "buy"}, action="simplest_case")
    state, play = build(spec, flow=flow)
    bought = [
        np.asarray(play(state, key, execution=[1, 1])[3]["agents"]["execution"]["bought"])
        for key in range(8 * index, 8 * index + 8)
    ]
    assert {tuple(row) for row in bought} == {(10, 0), (0, 10)}


@dataclasses.dataclass(frozen=True)
class NoisyFlow(ScriptedFlow):
    """Sends one far bid a step whose size is drawn from the key alone."""

    def sample(self, key, book, state, params, num_messages):
        messages, state = super().sample(key, book, state, params, num_messages)
        first = jnp.arange(num_messages) == 0
        size = jax.random.randint(key, (), 1, 10_000)
        return (
            messages.replace(
                event_type=jnp.where(first, SUBMIT, 0),
                price=jnp.where(first, 50, 0),
                size=jnp.where(first, size, 0),
            ),
            state,
        )


def test_market_randomness__does_not_depend_on_action_schemes():
    """Common random numbers: the same keys give the same tasks and the same flow."""
    seen = []
    for maker, taker in (("fixed_quants", "fixed_quants"), ("do_nothing", "twap")):
        env = MarketEnv(
            EnvConfig(
                agents=(
                    AgentSpec("market_maker", action=maker),
                    AgentSpec("execution", num_agents=8, action=taker),
                ),
                num_steps=3,
                messages_per_step=2,
                num_slots=32,
            )
        )
        params = env.make_params(NoisyFlow(), num_openings=1)
        _, state = jax.jit(env.reset)(jax.random.key(5), params)
        sides = state.agents["execution"].task_side.tolist()
        action = {"market_maker": jnp.zeros(1, int), "execution": jnp.zeros(8, int)}
        step = jax.jit(env.step_env)
        for index in range(3):
            _, state, *_ = step(jax.random.key(index), state, action, params)
        far = state.book.bids
        seen.append((sides, np.asarray(far.size)[np.asarray(far.price) == 50].tolist()))
    assert seen[0] == seen[1]
    assert len(seen[0][1]) == 3
    assert len(set(seen[0][0])) == 2

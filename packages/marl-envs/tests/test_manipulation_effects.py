"""What manipulators do to a market: prices, imbalance, traffic, and who pays for it.

Scripted markets stand still by themselves, so whatever moves in them is the manipulator's doing.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from lob_core import EventType, Side
from marl_envs import AgentSpec, EnvConfig, MarketEnv
from marl_envs.testing import ScriptedFlow

SUBMIT, MARKET = int(EventType.SUBMIT), int(EventType.MARKET)
BUY, SELL = int(Side.BID), int(Side.ASK)
LADDER = ScriptedFlow(
    bids=tuple((99 - i, 20) for i in range(12)), asks=tuple((101 + i, 20) for i in range(12))
)


def play(env, params, policy, num_episodes=None):
    """Infos after every step, leaves `[T, ...]`, or `[episodes, T, ...]`; and what `see` saw."""

    def episode(key):
        obs, state = env.reset_env(key, params)

        def step(carry, key):
            obs, state = carry
            obs, state, *_, info = env.step_env(key, state, policy(obs), params)
            return (obs, state), (info, state.market.recent)

        return jax.lax.scan(step, (obs, state), jax.random.split(key, env.config.num_steps))[1]

    run = episode if num_episodes is None else jax.vmap(episode)
    key = jax.random.key(5)
    keys = key if num_episodes is None else jax.random.split(key, num_episodes)
    return jax.device_get(jax.jit(run)(keys))


def market(*agents, flow, num_steps):
    config = EnvConfig(agents=agents, num_steps=num_steps, messages_per_step=2, num_slots=64)
    env = MarketEnv(config)
    return env, env.make_params(flow, num_openings=1)


def total_gain(result):
    return sum(value for name, value in result.items() if name.startswith("gain_"))


@pytest.mark.parametrize("name", ["spoofing", "layering"])
def test_bait__moves_the_imbalance_and_a_naive_follower_of_it_pays(name):
    """The follower sells when asks outweigh bids, and buys when bids outweigh asks.

    In each step 5 shares join either touch, so by itself the market stays in balance.
    """
    joining = ((SUBMIT, BUY, 99, 5), (SUBMIT, SELL, 101, 5))
    flow = ScriptedFlow(
        bids=((99, 5), (98, 100)), asks=((101, 5), (102, 100)), script=(joining,) * 20
    )
    pnl, num_traded = {}, {}
    for bait_size in (500, 1):
        settings = {"bait_size": bait_size, "fixed_quant_value": 20}
        env, params = market(
            AgentSpec("manipulator", action=name, settings=settings),
            AgentSpec("directional", observation="signals", settings={"position_limit": 30}),
            flow=flow,
            num_steps=20,
        )
        place = env.groups["directional"].observation_names.index("depth_imbalance")

        def follow(obs, place=place):
            gap = obs["directional"][:, place]
            return {"directional": jnp.where(gap > 0.4, 1, jnp.where(gap < -0.4, 2, 0))}

        info, _ = play(env, params, follow)
        results = info["episode"]
        pnl[bait_size] = {name: float(results[name]["pnl"][-1, 0]) for name in info["agents"]}
        num_traded[bait_size] = int(results["directional"]["traded_volume"][-1, 0])
        worth = info["agents"]["manipulator"]["worth"][-1, 0]
        gains = total_gain({k: v[-1, 0] for k, v in results["manipulator"].items()})
        assert float(gains) == pytest.approx(float(worth), abs=1e-3)
    assert pnl[500]["manipulator"] > 0 > pnl[500]["directional"]
    assert num_traded[500] >= 60
    assert (num_traded[1], pnl[1]) == (0, {"manipulator": 0, "directional": 0})


def test_momentum_ignition__moves_the_mid_its_way_and_costs_when_nobody_follows():
    settings = {"burst_size": 40, "position_steps": 2, "ignite_steps": 3, "unload_steps": 3}
    env, params = market(
        AgentSpec("manipulator", action="momentum_ignition", settings=settings),
        flow=LADDER,
        num_steps=8,
    )
    info, _ = play(env, params, lambda obs: {}, num_episodes=8)
    mid, inventory = info["market"]["mid"], info["agents"]["manipulator"]["inventory"][..., 0]
    direction = np.sign(inventory[:, 4])
    assert set(direction.tolist()) == {-1, 1}
    assert (mid[:, 1] == 100).all()
    assert (direction * (mid[:, 4] - 100) == 1.5).all()  # one level of the ladder a step
    result = {k: v[:, -1, 0] for k, v in info["episode"]["manipulator"].items()}
    assert (result["pnl"] < 0).all()
    assert (result["manipulation_cost"] > 0).all()
    assert total_gain(result) == pytest.approx(info["agents"]["manipulator"]["worth"][:, -1, 0])


def test_painting_and_stuffing__push_the_last_price_and_flood_the_market():
    """The painter buys 50 at 99 from a seller in step 1, and 3 x 25 at the far touch at the end.

    The stuffer sends 2 x 3 orders in the first step; in every other it also takes most back.
    """
    flow = ScriptedFlow(bids=LADDER.bids, asks=LADDER.asks, script=((), ((MARKET, SELL, 0, 70),)))
    env, params = market(
        AgentSpec("manipulator", action="painting_the_close", name="painter",
                  settings={"direction": "buy", "paint_steps": 3, "paint_size": 25}),
        AgentSpec("manipulator", action="quote_stuffing", name="stuffer",
                  settings={"num_quotes": 3}),
        AgentSpec("directional", action="do_nothing", observation="messages",
                  settings={"num_messages": 64}),
        flow=flow,
        num_steps=5,
    )  # fmt: skip
    info, recent = play(env, params, lambda obs: {"directional": jnp.zeros(1, int)})
    mid, painter = info["market"]["mid"], info["agents"]["painter"]
    assert painter["inventory"][1, 0] == 50
    assert painter["inventory"][-1, 0] == 50 + 3 * 20
    assert mid[-1] - mid[1] == 1.5
    sent = np.bincount(recent.agent_id[-1][recent.event_type[-1] > 0], minlength=4)
    assert 6 + 4 * 10 <= sent[2] <= 6 + 4 * 12  # as the touch moves, an order may stay
    assert sent[1] <= 5
    assert info["agents"]["stuffer"]["bought"].sum() + info["agents"]["stuffer"]["sold"].sum() == 0
    assert float(info["episode"]["stuffer"]["pnl"][-1, 0]) == 0


def test_predation__makes_a_metaorder_dearer():
    """The schedule buys 100 shares evenly; each level of the ladder holds 20."""
    shortfalls = []
    for max_position in (40, 1):
        settings = {"max_position": max_position, "fixed_quant_value": 20}
        env, params = market(
            AgentSpec("schedule", settings={"task": "buy", "task_size": 100}),
            AgentSpec("manipulator", action="metaorder_predation", settings=settings),
            flow=LADDER,
            num_steps=10,
        )
        info, _ = play(env, params, lambda obs: {})
        shortfalls.append(float(info["episode"]["schedule"]["shortfall"][-1, 0]))
    assert shortfalls[0] > shortfalls[1]


def test_pinging__earns_from_a_hidden_seller_whose_refills_give_it_away():
    """From step 6 on a seller of 250 is at 93; what its refills of the ask say is known in step 3.

    Without refills the pinger buys at 101 and sells at 99 in turn, and is surprised as well.
    """
    settings = {"fixed_quant_value": 50, "num_hits": 2, "ride_steps": 5}
    info = {}
    for refill in (((SUBMIT, SELL, 101, 1),), ()):
        flow = ScriptedFlow(
            bids=LADDER.bids,
            asks=LADDER.asks,
            script=(refill,) * 6 + (((SUBMIT, SELL, 93, 250),),),
        )
        agent = AgentSpec("manipulator", action="pinging", settings=settings)
        env, params = market(agent, flow=flow, num_steps=10)
        info[bool(refill)], _ = play(env, params, lambda obs: {})
    mid, seen = info[True]["market"]["mid"], info[True]["agents"]["manipulator"]
    result = {k: v[-1, 0] for k, v in info[True]["episode"]["manipulator"].items()}
    assert mid[2] == 100
    assert mid[5] < 100  # it goes ahead of the seller: two levels of bids are gone
    assert seen["inventory"][5, 0] == -50
    assert abs(seen["inventory"][-1, 0]) <= 1
    assert result["gain_ride"] > 0 > result["gain_ping"]
    assert result["pnl"] > 100
    assert total_gain(result) == pytest.approx(seen["worth"][-1, 0], abs=1e-3)
    assert (info[False]["market"]["mid"][:6] == 100).all()
    assert np.abs(info[False]["agents"]["manipulator"]["inventory"]).max() <= 1
    assert info[False]["episode"]["manipulator"]["pnl"][-1, 0] < 0

"""Manipulators whose orders are not what they seem: spoofing, layering, stuffing, pinging."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
from flax import struct
from lob_core.types import Side

from marl_envs.agents.base import wanted_orders
from marl_envs.agents.market_making.actions import check_at_least
from marl_envs.population.manipulation import Manipulator, Plot
from marl_envs.population.memory import trade_towards
from marl_envs.types import AgentState, MarketState, Replaceable

Array = jax.Array


@dataclasses.dataclass(frozen=True)
class Layering(Manipulator):
    """`layering`: genuine orders on one side, several layers of large bait on the other.

    It accumulates q shares at the near bid while bait makes the ask side look heavy, then unloads
    them at the near ask while bait makes the bid side look heavy, and so on. Layer l = 1, 2, ...
    of `bait_size` shares lies `bait_offset` + l - 1 ticks behind the touch and moves with it, so
    that it is always cancelled before its turn comes, unless the market moves there in one step.

    Attributes:
        num_layers: layers of bait, >= 1.
        bait_size: shares of a layer, >= 1.
        bait_offset: ticks from the touch to the first layer, >= 1.

    Raises:
        ValueError: if a field is below 1.

    References:
        Cartea, Jaimungal, Wang (2020), Spoofing and price manipulation in order-driven markets,
        Applied Mathematical Finance 27(1-2).
        Wang, Hoang, Vorobeychik, Wellman (2021), Spoofing the limit order book, JAIR 70.
    """

    num_layers: int = 4
    bait_size: int = 200
    bait_offset: int = 2

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("num_layers", "bait_size", "bait_offset"):
            check_at_least(name, getattr(self, name), 1)

    @property
    def phases(self) -> tuple[str, ...]:
        """Buying low, selling high."""
        return "accumulate", "unload"

    @property
    def num_orders(self) -> int:
        """A genuine order and the layers."""
        return 1 + self.num_layers

    def init_plan(self, key: Array, market: MarketState) -> Array:
        """Whether it unloads, `[]` bool."""
        return jnp.zeros((), bool)

    def plot(self, key: Array, agent: AgentState, plan: Array, market: MarketState) -> Plot:
        """See the class."""
        inventory = agent.account.inventory
        unloads = jnp.where(plan, inventory > 0, inventory >= self.fixed_quant_value)
        side = jnp.where(unloads, Side.ASK, Side.BID)
        near = jnp.where(unloads, agent.best_ask, agent.best_bid)
        far = jnp.where(unloads, agent.best_bid, agent.best_ask)
        size = jnp.where(unloads, inventory, self.fixed_quant_value - inventory)
        layers = [
            (-side, far + side * (self.bait_offset + layer), self.bait_size)
            for layer in range(self.num_layers)
        ]
        return Plot(wanted_orders((side, near, size), *layers), unloads, unloads)


@dataclasses.dataclass(frozen=True)
class Spoofing(Layering):
    """`spoofing`: `layering` with a single, larger bait close to the touch."""

    num_layers: int = 1
    bait_size: int = 500
    bait_offset: int = 1


@dataclasses.dataclass(frozen=True)
class QuoteStuffing(Manipulator):
    """`quote_stuffing`: floods the market with orders that it takes back on the next step.

    On every step it wants `num_quotes` orders a side of q shares, one tick apart, from
    `bait_offset` ticks behind the touch; on odd steps beyond those of even steps, so that every
    order is cancelled and another sent while the touch stands still. It fills what others see of
    recent messages and hopes that nothing trades.

    Attributes:
        fixed_quant_value: q, shares.
        num_quotes: orders a side, >= 1.
        bait_offset: ticks, >= 1.

    Raises:
        ValueError: if a field is below 1.

    References:
        Egginton, Van Ness, Van Ness (2016), Quote stuffing, Financial Management 45(3).
    """

    fixed_quant_value: int = 1
    num_quotes: int = 8
    bait_offset: int = 5

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("num_quotes", "bait_offset"):
            check_at_least(name, getattr(self, name), 1)

    @property
    def phases(self) -> tuple[str, ...]:
        """One."""
        return ("stuff",)

    @property
    def num_genuine(self) -> int:
        """None: all is bait."""
        return 0

    @property
    def num_orders(self) -> int:
        """`num_quotes` a side."""
        return 2 * self.num_quotes

    def plot(self, key: Array, agent: AgentState, plan: tuple[()], market: MarketState) -> Plot:
        """See the class."""
        size = self.fixed_quant_value
        nearest = self.bait_offset + self.num_quotes * (market.step % 2)
        depths = [nearest + level for level in range(self.num_quotes)]
        bids = [(Side.BID, agent.best_bid - depth, size) for depth in depths]
        asks = [(Side.ASK, agent.best_ask + depth, size) for depth in depths]
        return Plot(wanted_orders(*bids, *asks), jnp.zeros((), jnp.int32), plan)


@struct.dataclass
class PingPlan(Replaceable):
    """What a pinging agent remembers, leaves `[]` int32.

    Attributes:
        side: of the last ping, +1 bought at the ask; 0 if it did not ping.
        price: ticks, the touch that it hit.
        size: shares that stood there before.
        traded: shares it had traded before.
        buy_hits: pings of the ask in a row after which it was refilled.
        sell_hits: likewise of the bid.
        ride: steps for which it still rides.
        target: shares it holds meanwhile.
    """

    side: Array
    price: Array
    size: Array
    traded: Array
    buy_hits: Array
    sell_hits: Array
    ride: Array
    target: Array


@dataclasses.dataclass(frozen=True)
class Pinging(Manipulator):
    """`pinging`: probes the touches with tiny orders for a large one that hides behind them.

    Every other step it takes `ping_size` shares at the best ask, in between at the best bid. A
    touch that afterwards stands where it stood with no fewer shares has been refilled. After
    `num_hits` refills of one touch in a row it takes a hidden order to be there and goes ahead of
    it: q shares short if the ask is refilled, long if the bid is. It rides for `ride_steps` steps
    and then pings again, which also brings its inventory back to zero.

    Attributes:
        ping_size: shares, >= 1.
        num_hits: refills that convince it, >= 1.
        ride_steps: steps, >= 1.

    Raises:
        ValueError: if a field is below 1.

    References:
        Clark-Joseph (2013), Exploratory trading, Harvard University working paper.
    """

    ping_size: int = 1
    num_hits: int = 3
    ride_steps: int = 10

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("ping_size", "num_hits", "ride_steps"):
            check_at_least(name, getattr(self, name), 1)

    @property
    def phases(self) -> tuple[str, ...]:
        """Probing, and trading on what was found."""
        return "ping", "ride"

    def init_plan(self, key: Array, market: MarketState) -> PingPlan:
        """Nothing pinged."""
        return PingPlan(*(jnp.zeros((), jnp.int32) for _ in dataclasses.fields(PingPlan)))

    def plot(self, key: Array, agent: AgentState, plan: PingPlan, market: MarketState) -> Plot:
        """See the class."""
        plan = self._learn(agent, plan, market)
        finds_seller = plan.buy_hits >= self.num_hits
        finds_buyer = plan.sell_hits >= self.num_hits
        starts = (plan.ride <= 0) & (finds_seller | finds_buyer)
        short, long = -self.fixed_quant_value, self.fixed_quant_value
        target = jnp.where(starts, jnp.where(finds_seller, short, long), plan.target)
        ride = jnp.where(starts, self.ride_steps, jnp.maximum(plan.ride - 1, 0))
        rides = ride > 0
        is_buy = jnp.where(
            jnp.abs(agent.account.inventory) > self.ping_size,
            agent.account.inventory < 0,
            market.step % 2 == 0,
        )
        excess = jnp.abs(agent.account.inventory)
        size = jnp.where(excess > self.ping_size, excess, self.ping_size)
        side = jnp.where(is_buy, Side.BID, Side.ASK)
        touch = jnp.where(is_buy, agent.best_ask, agent.best_bid)
        ping = wanted_orders((side, touch, size), is_immediate=True)
        ahead = trade_towards(target, agent, self.fixed_quant_value)
        wanted = jax.tree.map(lambda a, b: jnp.where(rides, a, b), ahead, ping)
        is_ping = ~rides & (size == self.ping_size)
        plan = PingPlan(
            side=jnp.where(is_ping, side, 0),
            price=touch,
            size=jnp.where(is_buy, market.ask_size, market.bid_size),
            traded=agent.account.bought + agent.account.sold,
            buy_hits=jnp.where(rides, 0, plan.buy_hits),
            sell_hits=jnp.where(rides, 0, plan.sell_hits),
            ride=ride,
            target=target,
        )
        return Plot(wanted, rides, plan)

    def _learn(self, agent: AgentState, plan: PingPlan, market: MarketState) -> PingPlan:
        """The plan with what the last ping showed."""
        is_buy = plan.side > 0
        price = jnp.where(is_buy, market.best_ask, market.best_bid)
        size = jnp.where(is_buy, market.ask_size, market.bid_size)
        hit = agent.account.bought + agent.account.sold > plan.traded
        refilled = hit & (price == plan.price) & (size >= plan.size)

        def count(hits: Array, pinged: Array) -> Array:
            return jnp.where(pinged, jnp.where(refilled, hits + 1, 0), hits)

        return plan.replace(
            buy_hits=count(plan.buy_hits, plan.side > 0),
            sell_hits=count(plan.sell_hits, plan.side < 0),
        )

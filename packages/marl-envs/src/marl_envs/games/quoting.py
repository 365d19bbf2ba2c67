"""Makers who choose how far from the mid to quote: alone with inventory, and against each other."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt

from marl_envs.base import AgentGroup, ByType, MultiAgentEnv
from marl_envs.games.one_shot import OneShotGame
from marl_envs.spaces import Box

Array = jax.Array
Floats = npt.NDArray[np.float64]


def optimal_offsets(
    fill_decay: float, intensity: float, penalty: float, max_inventory: int
) -> tuple[Floats, Floats]:
    """Stationary optimal distances of bid and ask from the mid, by inventory.

    With `h(q) = log(f(q)) / k` and `f` the positive eigenvector, for the largest eigenvalue, of
    the matrix with `-k phi q^2` on the diagonal and `A / e` beside it, the bid at inventory q is
    `1 / k + h(q) - h(q + 1)` below the mid, the ask `1 / k + h(q) - h(q - 1)` above it.

    Args:
        fill_decay: k, per unit of distance.
        intensity: A, orders a second that would reach a quote at the mid.
        penalty: phi, cost a second of a squared unit of inventory. With the CARA utility of
            Avellaneda and Stoikov it is `risk_aversion volatility^2 / 2` to first order.
        max_inventory: Q; at Q no bid is quoted, at -Q no ask.

    Returns:
        Bid offsets for inventories `-Q .. Q - 1` and ask offsets for `-Q + 1 .. Q`, each `[2 Q]`.

    References:
        Gueant, Lehalle and Fernandez-Tapia (2013), Dealing with the inventory risk, section 4, on
        the model of Avellaneda and Stoikov (2008); the criterion with a running penalty is that of
        Cartea, Jaimungal and Penalva (2015), Algorithmic and high-frequency trading, section 10.2.
    """
    inventory = np.arange(-max_inventory, max_inventory + 1, dtype=np.float64)
    return _best_offsets(fill_decay, intensity, penalty * inventory**2)


def robust_offsets(
    fill_decay: float, intensity: float, max_drift: float, max_inventory: int
) -> tuple[Floats, Floats]:
    """Distances that are optimal against the worst drift of the mid, by inventory.

    Whoever picks the drift within `+-max_drift` picks the one that goes against the inventory. It
    costs the maker `max_drift |q|` a second, as if it minded inventory (Spooner and Savani's
    result that robustness is a kind of risk aversion), so the distances are those of
    `optimal_offsets` with this cost in place of `penalty q^2`.

    Args:
        fill_decay: k, per unit of distance; the largest that can happen.
        intensity: A, orders a second that would reach a quote at the mid; the smallest.
        max_drift: units of price a second, >= 0.
        max_inventory: Q.

    Returns:
        As `optimal_offsets`.
    """
    inventory = np.arange(-max_inventory, max_inventory + 1, dtype=np.float64)
    return _best_offsets(fill_decay, intensity, max_drift * np.abs(inventory))


def _best_offsets(fill_decay: float, intensity: float, cost: Floats) -> tuple[Floats, Floats]:
    """Stationary optimal distances for a cost a second of each inventory, `[2 Q + 1]`."""
    beside = np.full(len(cost) - 1, intensity / np.e)
    matrix = np.diag(-fill_decay * cost) + np.diag(beside, 1) + np.diag(beside, -1)
    _, vectors = np.linalg.eigh(matrix)
    h = np.log(np.abs(vectors[:, -1])) / fill_decay
    rise = np.diff(h)
    return 1.0 / fill_decay - rise, 1.0 / fill_decay + rise


class QuotingState(NamedTuple):
    """State of a quoting market.

    Attributes:
        inventory: `[]` int32, units.
        step: `[]` int32, steps done.
    """

    inventory: Array
    step: Array


class SingleMaker(MultiAgentEnv[Any, QuotingState]):
    """One maker in the market of Avellaneda and Stoikov, paid for spread, charged for inventory.

    The mid moves by `volatility sqrt(dt)` times a normal draw each step. `"market_maker"` chooses
    the distances of its bid and ask from the mid (a `Box` of two entries). Each is filled by one
    unit with probability `1 - exp(-A exp(-k distance) dt)`; no bid is filled at inventory Q, no
    ask at -Q. The reward of a step is what fills earned against the mid, plus inventory times the
    move of the mid, minus `penalty * inventory^2 * dt`. It sees its inventory, one-hot; episodes
    start at a random inventory and are cut, not ended, after `num_steps` steps.

    As `dt` goes to 0 and the horizon to infinity the best distances are `optimal_offsets`: wide by
    `1 / k` when flat, and skewed so that the side that brings inventory back is nearer.

    Args:
        fill_decay: k, > 0.
        intensity: A, orders a second, > 0.
        penalty: phi, >= 0.
        volatility: of the mid, per square root of a second.
        max_inventory: Q, >= 1.
        step_seconds: dt, > 0.
        num_steps: steps of an episode.

    Raises:
        ValueError: if a number is outside its domain.
    """

    def __init__(
        self,
        fill_decay: float = 1.0,
        intensity: float = 1.0,
        penalty: float = 0.05,
        volatility: float = 0.1,
        max_inventory: int = 3,
        step_seconds: float = 0.25,
        num_steps: int = 64,
    ) -> None:
        for name, value, least in (
            ("fill_decay", fill_decay, 0.0),
            ("intensity", intensity, 0.0),
            ("step_seconds", step_seconds, 0.0),
        ):
            if not value > least:
                raise ValueError(f"{name} is {value}; it must be > {least}")
        if penalty < 0.0 or volatility < 0.0 or max_inventory < 1 or num_steps < 1:
            raise ValueError(
                f"penalty is {penalty}, volatility {volatility}, max_inventory {max_inventory}, "
                f"num_steps {num_steps}; the first two must be >= 0, the others >= 1"
            )
        self.fill_decay = fill_decay
        self.intensity = intensity
        self.penalty = penalty
        self.volatility = volatility
        self.max_inventory = max_inventory
        self.step_seconds = step_seconds
        self.num_steps = num_steps

    @property
    def groups(self) -> dict[str, AgentGroup]:
        """The maker; distances lie in `[0, 3 / k]`."""
        size = 2 * self.max_inventory + 1
        labels = tuple(f"inventory_{q}" for q in range(-self.max_inventory, self.max_inventory + 1))
        return {
            "market_maker": AgentGroup(
                "market_maker",
                "market_maker",
                1,
                Box(0.0, 1.0, (size,)),
                Box(0.0, 3.0 / self.fill_decay, (2,)),
                labels,
            )
        }

    def _observe(self, state: QuotingState) -> ByType:
        size = 2 * self.max_inventory + 1
        return {"market_maker": jax.nn.one_hot(state.inventory + self.max_inventory, size)[None]}

    def _nature(
        self, action: ByType, params: Any
    ) -> tuple[Array | float, Array | float, Array | float]:
        """Drift of the mid (a second), intensity and fill decay of this step."""
        return 0.0, self.intensity, self.fill_decay

    def reset_env(self, key: Array, params: Any) -> tuple[ByType, QuotingState]:
        """A random inventory."""
        limit = self.max_inventory
        inventory = jax.random.randint(key, (), -limit, limit + 1, jnp.int32)
        state = QuotingState(inventory, jnp.zeros((), jnp.int32))
        return self._observe(state), state

    def step_env(
        self, key: Array, state: QuotingState, action: ByType, params: Any
    ) -> tuple[ByType, QuotingState, ByType, ByType, ByType, dict[str, Any]]:
        """Fills, then the mid moves."""
        key_fill, key_mid = jax.random.split(key)
        offsets = action["market_maker"][0]
        drift, intensity, fill_decay = self._nature(action, params)
        rate = intensity * jnp.exp(-fill_decay * offsets)
        room = jnp.stack(
            [state.inventory < self.max_inventory, state.inventory > -self.max_inventory]
        )
        chance = -jnp.expm1(-rate * self.step_seconds)
        fills = ((jax.random.uniform(key_fill, (2,)) < chance) & room).astype(jnp.int32)
        inventory = state.inventory + fills[0] - fills[1]
        noise = self.volatility * jnp.sqrt(self.step_seconds) * jax.random.normal(key_mid)
        move = drift * self.step_seconds + noise
        reward = (
            jnp.sum(fills * offsets)
            + inventory * move
            - self.penalty * jnp.square(state.inventory) * self.step_seconds
        )
        after = QuotingState(inventory, state.step + 1)
        is_last = after.step >= self.num_steps
        info = {
            "active": {"market_maker": jnp.ones((1,), bool)},
            "episode": {"done": is_last},
            "market": {"inventory": inventory, "move": move},
            "counters": {},
        }
        return (
            self._observe(after),
            after,
            {"market_maker": reward[None]},
            {"market_maker": jnp.zeros((1,), bool)},
            {"market_maker": is_last[None]},
            info,
        )


def race_half_spread(num_makers: int, cost: float, softness: float) -> float:
    """Half spread that all makers quote in equilibrium: `cost + softness n / (n - 1)`."""
    return cost + softness * num_makers / (num_makers - 1)


class SpreadRace(OneShotGame):
    """Makers undercut each other for a flow of orders that mostly goes to the best quote.

    Each of `num_makers` agents of the type `"market_maker"` chooses a half spread `s` in
    `[0, limit]`. Maker i gets the share `exp(-s_i / softness) / sum_j exp(-s_j / softness)` of one
    unit of flow, and is paid `(s_i - cost)` a unit; `cost` is what serving an order costs,
    adverse selection included.

    The equilibrium is unique and symmetric: `cost + softness n / (n - 1)` (`race_half_spread`). As
    all flow goes to the best quote (softness to 0) it is the competitive spread `cost`, however
    wide makers could quote together.

    Args:
        num_makers: n >= 2.
        cost: of an order, in [0, limit).
        softness: how little flow minds the price, > 0.
        limit: widest half spread.

    Raises:
        ValueError: if a number is outside its domain.

    References:
        Anderson, de Palma and Thisse (1992), Discrete choice theory of product differentiation,
        section 7.2 (price competition with logit demand).
    """

    def __init__(
        self, num_makers: int = 2, cost: float = 0.5, softness: float = 0.1, limit: float = 3.0
    ) -> None:
        if num_makers < 2:
            raise ValueError(f"num_makers is {num_makers}; a race needs >= 2")
        if not 0.0 <= cost < limit:
            raise ValueError(f"cost is {cost}; it must lie in [0, limit={limit})")
        if not softness > 0.0:
            raise ValueError(f"softness is {softness}; it must be > 0")
        self.num_makers = num_makers
        self.cost = cost
        self.softness = softness
        self.limit = limit

    @property
    def groups(self) -> dict[str, AgentGroup]:
        """The makers."""
        seen, quote = Box(0.0, 1.0, (1,)), Box(0.0, self.limit, (1,))
        return {
            "market_maker": AgentGroup(
                "market_maker", "market_maker", self.num_makers, seen, quote, ("constant",)
            )
        }

    def draw(self, key: Array) -> Array:
        """Nothing is left to chance."""
        return jnp.zeros(())

    def observe(self, state: Array) -> ByType:
        """Makers see a constant."""
        return {"market_maker": jnp.ones((self.num_makers, 1))}

    def pay(self, key: Array, state: Array, action: ByType) -> tuple[ByType, dict[str, Array]]:
        """Divides the flow."""
        quotes = action["market_maker"][:, 0]
        reward = jax.nn.softmax(-quotes / self.softness) * (quotes - self.cost)
        return {"market_maker": reward}, {"half_spread": jnp.min(quotes)}

"""An agent type of one's own in one file: a pegger that learns how far behind the touch to rest.

    python examples/own_agent.py

An agent is an action scheme, an observation and a reward. Here all three are small classes; the
registry makes them available by name, and `check_env` tests the contract of the whole environment.
"""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
from lob_core.runtime import configure_cpu
from lob_core.types import Side
from marl_envs import AgentKind, AgentSpec, EnvConfig, MarketEnv, register_agent
from marl_envs.agents.base import ActionScheme, Observation, Reward, symlog, wanted_orders
from marl_envs.spaces import Discrete
from marl_envs.testing import check_env, sample_actions


@dataclasses.dataclass(frozen=True)
class Peg(ActionScheme):
    """Action 0 wants nothing; action a wants a bid a - 1 ticks behind the best bid of others.

    Attributes:
        peg_size: shares of the bid.
        max_depth: ticks.
    """

    peg_size: int = 5
    max_depth: int = 3

    @property
    def num_orders(self) -> int:
        """One bid."""
        return 1

    @property
    def space(self) -> Discrete:
        """Nothing, or 0 .. `max_depth` ticks behind."""
        return Discrete(self.max_depth + 2)

    def wanted(self, action, agent, market, calibration):
        """See the class."""
        size = jnp.where(action == 0, 0, self.peg_size)
        return wanted_orders((Side.BID, agent.best_bid - (action - 1), size))


@dataclasses.dataclass(frozen=True)
class PegView(Observation):
    """Inventory and spread."""

    @property
    def names(self) -> tuple[str, ...]:
        """Two entries."""
        return "inventory", "spread"

    def observe(self, agent, market, book):
        """See the class."""
        spread = market.best_ask - market.best_bid
        return jnp.stack([symlog(agent.account.inventory), symlog(spread)])


@dataclasses.dataclass(frozen=True)
class CheapShares(Reward):
    """Pays what was bought below the mid after the step, ticks times shares."""

    def reward(self, result, memory):
        """See the class."""
        return result.mid * result.bought - result.bought_value, memory


def main() -> None:
    """Registers the kind, plays it beside a market maker, and checks the environment."""
    configure_cpu()
    register_agent(
        "pegger",
        AgentKind(
            actions={"peg": Peg},
            observations={"view": PegView},
            rewards={"cheap_shares": CheapShares},
            description="Rests a bid at a distance it chooses.",
        ),
    )
    agents = (
        AgentSpec("market_maker"),
        AgentSpec("pegger", num_agents=3, settings={"peg_size": 7}),
    )
    env = MarketEnv(EnvConfig(agents=agents, num_steps=8, messages_per_step=10, num_slots=48))
    params = env.make_params(num_openings=4)
    key = jax.random.key(0)
    _, state = env.reset(key, params)
    step = jax.jit(env.step)
    for index in range(8):
        key_action, key_step = jax.random.split(jax.random.fold_in(key, index))
        _, state, reward, *_, info = step(key_step, state, sample_actions(env, key_action), params)
    print("bought in the episode:", info["episode"]["pegger"]["traded_volume"].tolist())
    print("last rewards:", reward["pegger"].tolist())
    check_env(env, params, num_steps=3)
    print("check_env: passed")


if __name__ == "__main__":
    main()

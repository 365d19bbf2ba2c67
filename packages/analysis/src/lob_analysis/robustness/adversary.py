"""An adversary that learns: it trades in the market and is paid for what its victims lose."""

from __future__ import annotations

import dataclasses
from typing import Any, Final, TypeAlias

import jax
import jax.numpy as jnp
from flax import struct
from marl_algos.learners.ippo import PPO
from marl_algos.populations.opponents import OpponentParams, WithOpponents, single_opponent
from marl_algos.settings import NetworkConfig, PPOConfig, TypeConfig
from marl_algos.types import Environment
from marl_envs import AgentSpec, EnvParams, MarketEnv
from marl_envs.base import AgentGroup, ByType
from marl_envs.types import EnvState

from lob_analysis.play.lab import Lab
from lob_analysis.play.simulate import KEEP_INVENTORY, Episodes, Player
from lob_analysis.robustness.scenarios import ATTACKER, with_agent

Array: TypeAlias = jax.Array

LEARNED_ADVERSARY: Final = "learned_adversary"
"""Name of the scenario of an adversary that learns against the policies it meets."""
SETTINGS: Final = PPOConfig(normalize_reward=True, num_minibatches=1)


@struct.dataclass
class AdversaryState:
    """State of a market with an adversary.

    Attributes:
        market: state of the market.
        victims: `[]` float32, worth of all victims, ticks times shares.
        overspent: `[]` float32, what the adversary has lost beyond its budget so far.
    """

    market: EnvState
    victims: Array
    overspent: Array


class AdversaryEnv:
    """A market in which one type is paid for the losses of the others.

    The reward of the type `ATTACKER` in a step is what the worth (cash less fees plus inventory at
    the mid) of its victims fell by, less `price` times what its own worth fell below minus
    `budget` in that step. It acts through orders only, as its kind allows.

    Attributes:
        env: the market; has the type `ATTACKER`.
        victims: types whose losses count.
        budget: what it may lose for nothing, ticks times shares.
        price: of a unit lost beyond the budget.
    """

    def __init__(
        self, env: MarketEnv, victims: tuple[str, ...], budget: float, price: float = 1.0
    ) -> None:
        self.env = env
        self.victims = victims
        self.budget = budget
        self.price = price

    @property
    def groups(self) -> dict[str, AgentGroup]:
        """The types of the market."""
        return self.env.groups

    def reset_env(self, key: Array, params: EnvParams) -> tuple[ByType, AdversaryState]:
        """Starts an episode; nobody has lost anything."""
        obs, market = self.env.reset_env(key, params)
        zero = jnp.zeros((), jnp.float32)
        return obs, AdversaryState(market, zero, zero)

    def step_env(
        self, key: Array, state: AdversaryState, action: ByType, params: EnvParams
    ) -> tuple[ByType, AdversaryState, ByType, ByType, ByType, dict[str, Any]]:
        """One step of the market."""
        obs, market, reward, terminated, truncated, info = self.env.step_env(
            key, state.market, action, params
        )
        each = [jnp.sum(info["agents"][name]["worth"]) for name in self.victims]
        victims = jnp.sum(jnp.stack(each))
        own = jnp.sum(info["agents"][ATTACKER]["worth"])
        overspent = jnp.maximum(-own - self.budget, 0.0)
        paid = (state.victims - victims) - self.price * (overspent - state.overspent)
        reward = {**reward, ATTACKER: jnp.broadcast_to(paid, reward[ATTACKER].shape)}
        after = AdversaryState(market, victims, overspent)
        return obs, after, reward, terminated, truncated, info


@dataclasses.dataclass(frozen=True)
class Adversary:
    """A trained adversary and where it plays.

    Attributes:
        trainer: made it.
        policy: what it learned.
    """

    trainer: AdversaryTrainer
    policy: Any

    def play(
        self, victims: dict[str, Any], params: EnvParams, key: Array, num_episodes: int
    ) -> Episodes:
        """Episodes of the attacked market, to compare with those without the adversary.

        Args:
            victims: policies by type.
            params: of the market.
            key: of all episodes.
            num_episodes: how many.
        """
        player = self.trainer.player(num_episodes)
        return player.play({ATTACKER: self.policy}, single_opponent(params, victims), key)

    def as_opponent(self, params: EnvParams) -> tuple[Environment, OpponentParams]:
        """The market with this adversary, frozen, for victims to learn in, and its parameters.

        Args:
            params: of the market.
        """
        opponents = single_opponent(params, {ATTACKER: self.policy})
        return self.trainer.attacked, opponents


class AdversaryTrainer:
    """Trains adversaries against frozen policies on the training split; compiled once.

    An adversary is a directional trader: each step it does nothing, buys at the ask or sells at
    the bid.

    Args:
        lab: the run.
        budget: what the adversary may lose, ticks times shares.
        num_updates: updates of its learner.
        num_envs: parallel markets.
        num_steps: steps of a rollout.

    Attributes:
        attacked: the market with an adversary who does not learn, for victims to learn in.
    """

    def __init__(
        self,
        lab: Lab,
        *,
        budget: float = 500.0,
        num_updates: int = 50,
        num_envs: int = 32,
        num_steps: int = 32,
    ) -> None:
        self._lab = lab
        config = lab.market.env.config
        market = with_agent(config, AgentSpec("directional", name=ATTACKER))
        names = tuple(lab.market.env.groups)
        self._env = WithOpponents(
            AdversaryEnv(market, names, budget), lab.learner, names, greedy=True
        )
        types = {ATTACKER: TypeConfig(SETTINGS, NetworkConfig(hidden=(32,)))}
        self._learner = PPO(
            self._env, types, num_envs=num_envs, num_steps=num_steps, num_updates=num_updates
        )
        self.attacked = WithOpponents(market, self._learner, (ATTACKER,))
        self._num_steps = config.num_steps
        self._num_updates = num_updates
        self._train = jax.jit(self._training)
        self._players: dict[int, Player] = {}

    def against(self, victims: dict[str, Any], key: Array) -> Adversary:
        """An adversary of certain policies.

        Args:
            victims: policies by type.
            key: of its exploration.
        """
        params = single_opponent(self._lab.market.params["train"], victims)
        return Adversary(self, self._train(key, params))

    def player(self, num_episodes: int) -> Player:
        """Plays adversaries of this trainer."""
        if num_episodes not in self._players:
            self._players[num_episodes] = Player(
                self._env,
                self._learner,
                num_episodes,
                num_steps=self._num_steps,
                keep=KEEP_INVENTORY,
            )
        return self._players[num_episodes]

    def _training(self, key: Array, params: OpponentParams) -> Any:
        state, _ = jax.lax.scan(
            lambda state, _: (self._learner.update(state, params)[0], None),
            self._learner.init(key, params),
            length=self._num_updates,
        )
        return state.agents[ATTACKER]


def train_adversary(
    lab: Lab,
    victims: dict[str, Any],
    *,
    budget: float = 500.0,
    num_updates: int = 50,
    key: Array,
) -> Adversary:
    """One adversary of certain policies; see `AdversaryTrainer`."""
    return AdversaryTrainer(lab, budget=budget, num_updates=num_updates).against(victims, key)

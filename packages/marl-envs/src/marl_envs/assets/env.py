"""An environment over several books: `MarketEnv` once for every asset, vmapped, on one clock.

An agent across assets has a leg in every book: an agent of kind `leg` there, with orders and an
account of its own. Its action becomes a position for every leg; its reward is what all legs gained.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import struct

from marl_envs.agents.base import symlog
from marl_envs.assets.data import stack_params
from marl_envs.assets.legs import LEG
from marl_envs.assets.risk import Risk, RiskPenalty, no_risk, risk_after
from marl_envs.assets.schemes import Allocation, PortfolioScheme, PortfolioView
from marl_envs.base import AgentGroup, ByType, MultiAgentEnv
from marl_envs.config import AgentSpec, EnvConfig
from marl_envs.market import MarketEnv
from marl_envs.spaces import Box, Discrete
from marl_envs.types import EnvParams, EnvState, MarketState, Replaceable

Array = jax.Array

RISK_NAMES = ("value", "drawdown", "volatility", "exposure")
CROSS_NAMES = ("mid_return", "spread", "imbalance")


@dataclasses.dataclass(frozen=True)
class PortfolioSpec:
    """A type of agent that trades in all assets.

    Attributes:
        scheme: what it can do.
        num_agents: instances, each with its own accounts.
        name: key in every dict.
        penalty: what risk costs it.
        reward_scale: by which gains and costs, in ticks times shares, are divided.
        settings: of its legs: terms, observation and closing of kind `leg`.
    """

    scheme: PortfolioScheme = dataclasses.field(default_factory=Allocation)
    num_agents: int = 1
    name: str = "portfolio"
    penalty: RiskPenalty = dataclasses.field(default_factory=RiskPenalty)
    reward_scale: float = 100.0
    settings: Any = ()

    def __post_init__(self) -> None:
        if not self.reward_scale > 0:
            raise ValueError(f"reward_scale is {self.reward_scale}; it must be > 0")
        items = self.settings.items() if isinstance(self.settings, Mapping) else self.settings
        object.__setattr__(self, "settings", tuple(sorted((str(k), v) for k, v in items)))


def _makers() -> EnvConfig:
    """One market maker in every book."""
    return EnvConfig(agents=(AgentSpec("market_maker"),))


@dataclasses.dataclass(frozen=True)
class AssetsConfig:
    """What fixes the shapes and rules; hashable.

    Attributes:
        num_assets: `S`, books.
        market: of one book; its agents trade in that book only, and every book has as many.
        portfolios: types of agent that trade in all books.
        observes_others: whether agents of one book also see mid return, spread and imbalance of
            every book.

    Raises:
        ValueError: if a field is out of range or a scheme does not fit.
    """

    num_assets: int = 2
    market: EnvConfig = dataclasses.field(default_factory=_makers)
    portfolios: tuple[PortfolioSpec, ...] = dataclasses.field(
        default_factory=lambda: (PortfolioSpec(),)
    )
    observes_others: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "portfolios", tuple(self.portfolios))
        if self.num_assets < 1:
            raise ValueError(f"AssetsConfig.num_assets is {self.num_assets}; it must be >= 1")
        for spec in self.portfolios:
            needed = spec.scheme.num_assets
            if needed not in (None, self.num_assets):
                raise ValueError(
                    f"the scheme of {spec.name!r} is for {needed} assets, not {self.num_assets}"
                )


@struct.dataclass
class AssetsState(Replaceable):
    """State of all books.

    Attributes:
        books: one market an asset, leaves led by `[S]`.
        risk: by portfolio type, leaves `[A]`.
    """

    books: EnvState
    risk: dict[str, Risk]


class AssetsEnv(MultiAgentEnv[EnvParams, AssetsState]):
    """Several books on one clock.

    Agents of one book appear as one type with `S * A` agents, those of the first asset first.

    Args:
        config: shapes and rules.

    Raises:
        ValueError: if an agent's specification is wrong.
    """

    def __init__(self, config: AssetsConfig) -> None:
        self.config = config
        own = tuple(
            AgentSpec(LEG, spec.num_agents, name=spec.name, settings=spec.settings)
            for spec in config.portfolios
        )
        self.market = MarketEnv(
            dataclasses.replace(config.market, agents=(*config.market.agents, *own))
        )
        self._portfolios = {spec.name: spec for spec in config.portfolios}

    def __hash__(self) -> int:
        return hash((type(self), self.config))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, AssetsEnv) and self.config == other.config

    @property
    def groups(self) -> dict[str, AgentGroup]:
        """The agent types, by name."""
        return {name: self._group(group) for name, group in self.market.groups.items()}

    def _group(self, inner: AgentGroup) -> AgentGroup:
        number = self.config.num_assets
        assets = range(number)
        spec = self._portfolios.get(inner.name)
        if spec is None:
            names = inner.observation_names
            if self.config.observes_others:
                names += tuple(f"{what}_{asset}" for asset in assets for what in CROSS_NAMES)
            space = inner.action_space
        else:
            blank = PortfolioView(*(jnp.zeros(number) for _ in range(3)))
            names = tuple(f"{what}_{asset}" for asset in assets for what in inner.observation_names)
            names += (*RISK_NAMES, *spec.scheme.features(blank))
            space = spec.scheme.space(number)
        return dataclasses.replace(
            inner,
            kind=inner.kind if spec is None else "portfolio",
            num_agents=inner.num_agents * (number if spec is None else 1),
            observation_space=Box(-jnp.inf, jnp.inf, (len(names),)),
            action_space=space,
            observation_names=names,
        )

    def make_params(
        self,
        backgrounds: Sequence[Any] | None = None,
        *,
        step_seconds: float = 1.0,
        key: Array | None = None,
        **options: Any,
    ) -> EnvParams:
        """Data and numbers of all books, leaves led by `[S]`; not to be jitted.

        Args:
            backgrounds: one for each asset, as `MarketEnv.make_params` takes it: windows of the
                same times, or flow models of the same kind; None takes the default for all.
            step_seconds: clock time of a step, which keeps the books on one clock.
            key: draws openings.
            **options: further arguments of `MarketEnv.make_params`, the same for all assets.

        Raises:
            ValueError: if the backgrounds do not fit each other or the config.
        """
        number = self.config.num_assets
        chosen = [None] * number if backgrounds is None else list(backgrounds)
        if len(chosen) != number:
            raise ValueError(f"there are {len(chosen)} backgrounds for {number} assets")
        keys = jax.random.split(jax.random.key(0) if key is None else key, number)
        made = [
            self.market.make_params(background, step_seconds=step_seconds, key=k, **options)
            for background, k in zip(chosen, keys, strict=True)
        ]
        return stack_params(made)

    def reset_env(self, key: Array, params: EnvParams) -> tuple[ByType, AssetsState]:
        """Starts an episode: the same opening of the pool in every book."""
        key_opening, key_books = jax.random.split(key)
        background = jax.tree.map(lambda leaf: leaf[0], params.background)
        index = Discrete(background.num_openings).sample(key_opening)
        keys = jax.random.split(key_books, self.config.num_assets)
        obs, books = jax.vmap(self.market.open_env, (0, None, 0))(keys, index, params)
        risk = {name: no_risk(spec.num_agents) for name, spec in self._portfolios.items()}
        state = AssetsState(books=books, risk=risk)
        return self._observe(obs, state), state

    def step_env(
        self, key: Array, state: AssetsState, action: ByType, params: EnvParams
    ) -> tuple[ByType, AssetsState, ByType, ByType, ByType, dict[str, Any]]:
        """One step of all books without auto-reset; see `MultiAgentEnv.step_env`."""
        number = self.config.num_assets
        sent = {}
        for name, inner in self.market.groups.items():
            spec = self._portfolios.get(name)
            if spec is None:
                shape = (number, inner.num_agents, *inner.action_space.shape)
                sent[name] = action[name].reshape(shape)
            else:
                view = self._view(name, state.books)
                targets = jax.vmap(spec.scheme.targets)(action[name], view)
                sent[name] = targets.T
        keys = jax.random.split(key, number)
        obs, books, reward, terminated, truncated, info = jax.vmap(self.market.step_env)(
            keys, state.books, sent, params
        )
        risk = dict(state.risk)
        flat = jax.tree.map(
            lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), (reward, terminated, truncated)
        )
        paid, ended, cut = (dict(tree) for tree in flat)
        active = {name: leaf.reshape(-1) for name, leaf in info["active"].items()}
        seen = {
            name: jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), agents)
            for name, agents in info["agents"].items()
        }
        result = {
            name: jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), outcome)
            for name, outcome in info["episode"].items()
            if name != "done"
        }
        for name, spec in self._portfolios.items():
            view = self._view(name, books)
            pnl = info["episode"][name]["pnl"].sum(0)
            gain = pnl - state.risk[name].value
            after = risk_after(state.risk[name], gain, _exposure(view))
            risk[name] = after
            cost = spec.penalty.cost(state.risk[name], after)
            acts = jnp.any(info["active"][name], axis=0)
            paid[name] = jnp.where(acts, (gain - cost) / spec.reward_scale, 0.0)
            active[name] = acts
            ended[name] = jnp.all(terminated[name], axis=0)
            cut[name] = jnp.any(truncated[name], axis=0)
            seen[name] = {**vars(after), "inventory": view.inventory}
            result[name] = {"pnl": pnl, **_totals(info["episode"][name])}
        done = jnp.all(info["episode"]["done"])
        state = AssetsState(books=books, risk=risk)
        outcome = {
            "active": active,
            "market": info["market"],
            "agents": seen,
            "episode": {"done": done, **result},
            "counters": jax.tree.map(lambda leaf: jnp.sum(leaf, axis=0), info["counters"]),
        }
        return self._observe(obs, state), state, paid, ended, cut, outcome

    def _view(self, name: str, books: EnvState) -> PortfolioView:
        """What the agents of a portfolio type see of their assets, leaves `[A, S]`."""
        inventory = books.agents[name].account.inventory.T
        shape = inventory.shape
        return PortfolioView(
            inventory=inventory,
            mid=jnp.broadcast_to(books.market.mid_half_ticks / 2, shape),
            mid_open=jnp.broadcast_to(books.market.mid_open_half_ticks / 2, shape),
        )

    def _observe(self, obs: ByType, state: AssetsState) -> ByType:
        """Observations by type, `[S * A, F]` of agents in one book and `[A, F]` of others."""
        shown = {}
        for name, rows in obs.items():
            spec = self._portfolios.get(name)
            if spec is None:
                flat = rows.reshape(-1, rows.shape[-1])
                if self.config.observes_others:
                    cross = jax.vmap(_cross_features)(state.books.market).reshape(-1)
                    cross = jnp.broadcast_to(cross, (flat.shape[0], cross.shape[0]))
                    flat = jnp.concatenate([flat, cross], axis=1)
                shown[name] = flat
                continue
            risk = state.risk[name]
            unit = spec.reward_scale
            measures = (risk.value, risk.drawdown, jnp.sqrt(risk.variance), risk.exposure)
            own = jnp.stack([symlog(measure / unit) for measure in measures], axis=1)
            features = jax.vmap(spec.scheme.features)(self._view(name, state.books))
            extra = [jnp.stack(list(features.values()), axis=1)] if features else []
            by_agent = jnp.swapaxes(rows, 0, 1).reshape(rows.shape[1], -1)
            shown[name] = jnp.concatenate([by_agent, own, *extra], axis=1).astype(jnp.float32)
        return shown


def _cross_features(market: MarketState) -> Array:
    """What agents of other books see of a book, in the order of `CROSS_NAMES`, `[3]` float32."""
    bid_size, ask_size = market.bid_size, market.ask_size
    change = (market.mid_half_ticks - market.mid_open_half_ticks) / 2
    imbalance = (bid_size - ask_size) / jnp.maximum(bid_size + ask_size, 1)
    return jnp.stack([symlog(change), symlog(market.best_ask - market.best_bid), imbalance])


def _exposure(view: PortfolioView) -> Array:
    """Absolute positions at the mid, `[A]` float32."""
    return jnp.sum(jnp.abs(view.inventory) * view.mid, axis=1).astype(jnp.float32)


def _totals(episode: dict[str, Array]) -> dict[str, Array]:
    """Sums over the legs of what can be added up, `[A]`."""
    names = ("fees", "closing_cost", "traded_volume", "maker_volume")
    return {name: episode[name].sum(0) for name in names}

"""From a configuration to a market: order flow of each split, the environment, its parameters."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias, cast

import jax
from lob_core.replay import ReplayWindows
from lob_core.types import BookConfig
from lob_data import LobDataError, PrepareOptions, Store, open_store, prepare
from lob_data.synthesize import synthesize
from marl_envs import AgentSpec, EnvConfig, EnvParams, MarketEnv
from marl_envs.background import FlowBackground

from marl_algos.conf.load import ConfigError
from marl_algos.conf.schema import AgentSection, Config
from marl_algos.markets.domains import ManyDomains, stack_domains
from marl_algos.markets.flows import make_domains, make_flow
from marl_algos.markets.trials import Trials
from marl_algos.types import Environment

Array: TypeAlias = jax.Array
Split: TypeAlias = Literal["train", "validation", "test"]

SPLITS: Final[tuple[Split, ...]] = ("train", "validation", "test")
_DEFAULT_SLOTS: Final = 128


class DataError(ValueError):
    """The data asked for is missing or cannot be used."""


@dataclasses.dataclass(frozen=True)
class Market:
    """A market and its background order flow.

    Attributes:
        env: the environment that learners train in.
        params: parameters by split. Splits share no window of recorded data, and no opening book
            of a flow model.
        description: what the data is, for the record of the run; `hash` identifies it.
        domains: parameters of further markets that learners train in.
        trial_episodes: episodes of one task that follow each other while learning.
    """

    env: MarketEnv
    params: dict[Split, EnvParams]
    description: dict[str, Any]
    domains: tuple[EnvParams, ...] = ()
    trial_episodes: int = 1

    @functools.cached_property
    def world(self) -> Environment:
        """What learners train in: the market, in any of its domains, in trials."""
        return self.in_trials(
            ManyDomains(self.env, 1 + len(self.domains)) if self.domains else self.env
        )

    @functools.cached_property
    def world_params(self) -> Any:
        """Parameters of `world`."""
        training = self.params["train"]
        return stack_domains([training, *self.domains]) if self.domains else training

    def in_trials(self, env: Environment) -> Environment:
        """An environment with the agent types of the market, as learners see it."""
        return Trials(env, self.trial_episodes) if self.trial_episodes > 1 else env


def make_market(config: Config) -> Market:
    """The market of a run.

    Raises:
        DataError: if data is missing or does not fit.
        ConfigError: if the market cannot be built from the configuration.
    """
    if config.data.kind == "embedded":
        return _embedded_market(config)
    try:
        store = open_data(config)
        return _replay_market(config, store)
    except LobDataError as error:
        raise DataError(f"data={config.data.kind}: {error}") from error


def make_env(config: Config, num_slots: int) -> MarketEnv:
    """The environment with books of `num_slots` a side.

    Raises:
        ConfigError: if an agent or a number is not accepted.
    """
    try:
        return MarketEnv(
            EnvConfig(
                agents=tuple(agent_spec(n, a) for n, a in sorted(config.env.agents.items())),
                num_steps=config.env.num_steps,
                messages_per_step=config.env.messages_per_step,
                num_slots=num_slots,
            )
        )
    except (ValueError, TypeError) as error:
        raise ConfigError(f"env: {error}") from error


def agent_spec(name: str, section: AgentSection) -> AgentSpec:
    """Specification of one agent type."""
    settings = {
        key: tuple(value) if isinstance(value, list) else value
        for key, value in section.settings.items()
    }
    return AgentSpec(
        kind=section.kind,
        num_agents=section.num_agents,
        action=section.action,
        observation=section.observation,
        reward=section.reward,
        name=name,
        settings=settings,
    )


def _embedded_market(config: Config) -> Market:
    data = config.data
    try:
        model, params = make_flow(config)
        others = make_domains(config, model, params)
    except LobDataError as error:
        raise DataError(f"fitted parameters: {error}") from error
    env = make_env(config, config.env.num_slots or _DEFAULT_SLOTS)
    key, size = jax.random.key(data.seed), data.num_openings

    def openings(flow_params: Any, number: int) -> EnvParams:
        return env.make_params(model, flow_params=flow_params, key=key, num_openings=number)

    pool = openings(params, size * len(SPLITS))
    splits = {split: _part(pool, slice(i * size, (i + 1) * size)) for i, split in enumerate(SPLITS)}
    facts: dict[str, Any] = {
        "flow": repr(model),
        "seed": data.seed,
        "num_openings": data.num_openings,
    }
    if data.params is not None:
        facts["params"] = hashlib.sha256(Path(data.params).read_bytes()).hexdigest()
    domains = tuple(openings(other, size) for other in others)
    trials = config.trials.num_episodes
    return Market(env, splits, _described("embedded", facts), domains, trials)


def _part(pool: EnvParams, rows: slice) -> EnvParams:
    """The same flow with some of the opening books."""
    flow = cast(FlowBackground, pool.background)
    books, states, market = jax.tree.map(lambda x: x[rows], (flow.books, flow.states, flow.market))
    part = dataclasses.replace(flow, books=books, states=states, market=market)
    return dataclasses.replace(pool, background=part)


def _replay_market(config: Config, store: Store) -> Market:
    slots = config.env.num_slots
    windows = {split: _windows(config, store, split, slots) for split in SPLITS}
    needed = max(w.opening.bids.price.shape[-1] for w in windows.values())
    if slots is None:
        windows = {split: _windows(config, store, split, needed) for split in SPLITS}
    env = make_env(config, needed)
    params = {split: env.make_params(w) for split, w in windows.items()}
    facts = {
        "days": [day.label for day in store.manifest.days],
        "keys": [day.key for day in store.manifest.days],
        "windows": {split: w.num_windows for split, w in windows.items()},
        "num_slots": needed,
    }
    description = _described(config.data.kind, facts)
    return Market(env, params, description, trial_episodes=config.trials.num_episodes)


def _windows(config: Config, store: Store, split: Split, slots: int | None) -> ReplayWindows:
    seconds = config.data.seconds_per_step
    messages = None if seconds is not None else config.env.messages_per_step
    length = config.env.num_steps * (messages if seconds is None else seconds)  # type: ignore[operator]
    stride = None
    if split == "train":
        stride = config.data.stride if config.data.stride is not None else length / 4
        stride = max(1, int(stride)) if seconds is None else stride
    return store.windows(
        num_steps=config.env.num_steps,
        messages_per_step=messages,
        seconds_per_step=seconds,
        stride=stride,
        split=split,
        config=None if slots is None else BookConfig(num_slots=slots),
    )


def open_data(config: Config) -> Store:
    """The prepared store of a run; raw files are prepared once, into the cache folder.

    Raises:
        DataError: if the folder does not exist.
        LobDataError: if files cannot be read or prepared.
    """
    cache = Path(config.data.cache)
    if config.data.kind == "synthetic":
        name = f"synthetic-{config.data.num_messages}-{config.data.seed}"
        raw = cache / f"{name}-raw"
        if not (cache / name / "manifest.json").exists():
            synthesize(raw, num_messages=config.data.num_messages, seed=config.data.seed)
            prepare(raw, cache / name)
        return open_store(cache / name)
    path = Path(str(config.data.path)).expanduser()
    if not path.exists():
        raise DataError(f"data.path: {path} does not exist")
    if (path / "manifest.json").exists():
        return open_store(path)
    chosen = (str(path.resolve()), config.data.ticker, config.data.level)
    digest = hashlib.sha256(repr(chosen).encode()).hexdigest()[:12]
    store = cache / f"{path.name}-{digest}"
    prepare(path, store, PrepareOptions(ticker=config.data.ticker, level=config.data.level))
    return open_store(store)


def _described(kind: str, facts: dict[str, Any]) -> dict[str, Any]:
    text = json.dumps({"kind": kind, **facts}, sort_keys=True)
    return {"kind": kind, "hash": hashlib.sha256(text.encode()).hexdigest(), **facts}

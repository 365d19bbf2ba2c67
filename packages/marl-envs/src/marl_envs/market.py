"""The shared world: background order flow and the orders of all agents, one engine call a step."""

from __future__ import annotations

from typing import Any, Final

import jax
import jax.numpy as jnp
from lob_core.flow import FlowModel, OrnsteinUhlenbeckParams
from lob_core.replay import ReplayWindows
from lob_core.types import FIRST_AGENT_ORDER_ID, make_messages

from marl_envs import accounts, feed, results
from marl_envs.agents.base import ActionScheme
from marl_envs.agents.kinds import AgentType, build_agent
from marl_envs.base import AgentGroup, ByType, MultiAgentEnv
from marl_envs.calibration import calibrate
from marl_envs.config import EnvConfig
from marl_envs.deciding import MEMORY_KEY, decide, new_agents, type_key
from marl_envs.latency import Timed, still_pending
from marl_envs.mixed import make_background
from marl_envs.netting import Requests, num_requests
from marl_envs.playing import Played, play
from marl_envs.sequencing import random_order, sequence_requests
from marl_envs.settling import close, find_bankrupt, finish, pay
from marl_envs.spaces import Discrete
from marl_envs.terms import NANOSECONDS
from marl_envs.types import AgentState, EnvParams, EnvState, MarketCounters, MarketState
from marl_envs.views import agents_after, market_after, mean_mid

Array = jax.Array

FUNDAMENTAL_KEY: Final = 1_000_037
"""Folded into the key of a reset or step to draw the fundamental value; see `deciding`."""


class MarketEnv(MultiAgentEnv[EnvParams, EnvState]):
    """A limit order book market with any number of agent types.

    In a step every agent's wanted orders become messages (cancels, then new orders). Without
    latency agents act in random order, then the background; with latency each message is played at
    the time at which it arrives. One engine call carries it all out, or several if a flow model
    looks at the book more than once in a step.

    The flow of random numbers does not depend on what agents do or on their action schemes: with
    equal keys, windows, tasks and background draws are equal.

    Args:
        config: shapes and rules.

    Attributes:
        config: shapes and rules.
        types: the agent types, in the order of their numbers.
        is_timed: whether messages of some agent arrive late.
        is_delayed: whether some agent sees the market late.
        can_fail: whether some agent can become bankrupt.
        num_recent: messages that some observation reads.

    Raises:
        ValueError: if an agent's specification is wrong, or an episode could run out of order ids.

    Example:
        >>> import jax
        >>> from marl_envs import EnvConfig, MarketEnv
        >>> env = MarketEnv(EnvConfig(num_steps=8, messages_per_step=10, num_slots=32))
        >>> params = env.make_params(num_openings=4)
        >>> obs, state = env.reset(jax.random.key(0), params)
        >>> sorted(obs)
        ['execution', 'market_maker']
    """

    def __init__(self, config: EnvConfig) -> None:
        self.config = config
        self.types: tuple[AgentType, ...] = tuple(build_agent(spec) for spec in config.agents)
        self.is_timed = any(t.terms.has_order_latency for t in self.types)
        self.is_delayed = any(t.terms.has_feed_latency for t in self.types)
        self.can_fail = any(t.terms.bankruptcy is not None for t in self.types)
        self.num_recent = max(
            0 if t.observation is None else t.observation.num_recent_messages for t in self.types
        )
        ids = max(t.action.num_orders for t in self.types) * config.num_agents * config.num_steps
        if ids >= FIRST_AGENT_ORDER_ID:
            raise ValueError(
                f"an episode could use {ids} order ids; at most {FIRST_AGENT_ORDER_ID - 1} fit"
            )

    def __hash__(self) -> int:
        return hash((type(self), self.types, self.config))

    def __eq__(self, other: object) -> bool:
        return (
            type(self) is type(other)
            and isinstance(other, MarketEnv)
            and (self.types, self.config) == (other.types, other.config)
        )

    @property
    def groups(self) -> dict[str, AgentGroup]:
        """The agent types, by name."""
        return {
            t.name: AgentGroup(
                name=t.name,
                kind=t.kind,
                num_agents=t.num_agents,
                observation_space=t.observation.space,
                action_space=t.action.space,
                observation_names=t.observation.names,
            )
            for t in self.types
            if isinstance(t.action, ActionScheme) and t.observation is not None
        }

    def make_params(
        self,
        background: ReplayWindows | FlowModel[Any, Any] | None = None,
        *,
        added_flow: FlowModel[Any, Any] | None = None,
        flow_params: Any = None,
        step_seconds: float | None = None,
        fundamental_params: OrnsteinUhlenbeckParams | None = None,
        key: Array | None = None,
        num_openings: int = 256,
    ) -> EnvParams:
        """Data and numbers of the market, made once; not to be jitted.

        Args:
            background: windows to replay, or a flow model, which looks at the book anew after
                every `refresh_every` messages; None takes zero intelligence with looks of
                `DEFAULT_LOOK` messages.
            added_flow: a flow model whose messages are merged by time with those of the windows;
                see `mixed.MixedBackground`.
            flow_params: parameters of the flow model; None takes its own.
            step_seconds: clock time of a step. With windows it must be the time for which they
                were cut; a flow model then sends what falls into that time, out of
                `messages_per_step` messages. None lets a step last until its last message.
            fundamental_params: parameters of `EnvConfig.fundamental`; None takes its own, with
                the mean opening mid as the mean.
            key: draws the openings of a flow model, and calibration runs; None takes a fixed one.
            num_openings: opening books drawn from a flow model.

        Returns:
            The params. `calibration` is measured if an action scheme needs it.

        Raises:
            ValueError: if an argument does not fit the config or the others.
        """
        key_open, key_calibrate = jax.random.split(jax.random.key(0) if key is None else key)
        made = make_background(
            self.config,
            background,
            added_flow=added_flow,
            flow_params=flow_params,
            step_seconds=step_seconds,
            key=key_open,
            num_openings=num_openings,
        )
        needs_calibration = any(t.action.uses_calibration for t in self.types)
        calibration = calibrate(made, self.config, key_calibrate) if needs_calibration else None
        law = self.config.fundamental
        if law is None and fundamental_params is not None:
            raise ValueError("fundamental_params is given, but EnvConfig.fundamental is None")
        if law is not None and fundamental_params is None:
            mean = jnp.mean(made.market.mid_open_half_ticks.astype(jnp.float32)) / 2
            fundamental_params = law.default_params().replace(mean=mean)
        return EnvParams(background=made, calibration=calibration, fundamental=fundamental_params)

    def reset_env(self, key: Array, params: EnvParams) -> tuple[ByType, EnvState]:
        """Starts an episode: gathers a random opening and draws the tasks."""
        index = Discrete(params.background.num_openings).sample(jax.random.split(key)[0])
        return self.open_env(key, index, params)

    def open_env(self, key: Array, index: Array, params: EnvParams) -> tuple[ByType, EnvState]:
        """Starts an episode from opening `index`, `[]` int32; tasks are drawn from the key."""
        key_tasks = jax.random.split(key)[1]
        book, market, background = params.background.opening(index)
        law = self.config.fundamental
        if law is not None:
            key_value = jax.random.fold_in(key, FUNDAMENTAL_KEY)
            market = market.replace(fundamental=law.initial(key_value, params.fundamental))
        if self.num_recent:
            market = market.replace(recent=make_messages(jnp.zeros(self.num_recent, jnp.int32)))
        agents, first_id = {}, 1
        for position, t in enumerate(self.types):
            key_task = jax.random.fold_in(key_tasks, position)
            key_memory = type_key(key, MEMORY_KEY, position)
            num_pending = self._num_pending(t) if t.terms.has_order_latency else 0
            agents[t.name] = new_agents(t, key_task, key_memory, first_id, market, num_pending)
            first_id += t.num_agents
        zero = jnp.zeros((), jnp.int32)
        state = EnvState(
            book=book,
            background=background,
            market=market,
            reference_price=market.mid_open_half_ticks // 2,
            rest=accounts.empty_accounts(),
            agents=agents,
            counters=MarketCounters(zero, zero, zero),
            feed=feed.open_feed(market, book, self.config.feed_depth) if self.is_delayed else (),
        )
        return self.observe(state), state

    def _num_pending(self, t: AgentType) -> int:
        """Messages of an agent that can be on their way at once."""
        return self.config.pending_steps * num_requests(t.action.num_orders)

    def step_env(
        self, key: Array, state: EnvState, action: ByType, params: EnvParams
    ) -> tuple[ByType, EnvState, ByType, ByType, ByType, dict[str, Any]]:
        """One step without auto-reset; see `MultiAgentEnv.step_env`."""
        market_before, reference = state.market, state.reference_price
        requests, tables, state = decide(
            self.types, key, state, action, params.calibration, is_timed=self.is_timed
        )
        played = self._play(key, state, requests, params)
        fills = played.outcome.fills
        flows = accounts.flows_of(fills, reference)
        market = self._market_after(key, market_before, played, params)
        mid_mean = mean_mid(played.messages, played.outcome, market, reference)
        is_last = market.steps_left <= 0
        totals = jax.tree.map(jnp.sum, fills)

        owners, accounts_after, filled = [], [], []
        first_id = 1
        for t, sent in zip(self.types, requests, strict=True):
            before = state.agents[t.name]
            rows = slice(first_id, first_id + t.num_agents)
            first_id += t.num_agents
            mine, flow = jax.tree.map(lambda leaf, rows=rows: leaf[rows], (fills, flows))
            if isinstance(sent, Timed) and t.terms.has_order_latency:
                pending = still_pending(sent, played.time, self._num_pending(t))
                before = before.replace(pending=pending)
            ids = before.next_order_id + t.action.num_orders * self.config.num_agents
            owners.append(before.replace(next_order_id=ids))
            accounts_after.append(accounts.add(before.account, accounts.charge(flow, t.terms)))
            filled.append(mine)

        agents: dict[str, AgentState] = {}
        reward, terminated, truncated, active = {}, {}, {}, {}
        info_agents, info_episode = {}, {}
        seeing = agents_after(owners, tables, accounts_after, played.book)
        for t, after, mine in zip(self.types, seeing, filled, strict=True):
            before = state.agents[t.name]
            after = after.replace(is_bankrupt=find_bankrupt(t, after, reference))
            closing = close(t, before, after, market, played.book, reference, is_last)
            after = finish(before, after, closing)
            result = results.step_results(
                before, after, market_before, market, mine, totals, closing, mid_mean,
                reference, is_last,
            )  # fmt: skip
            after, paid = pay(t, before, after, result)
            agents[t.name] = after
            info_agents[t.name] = results.agent_info(result, after, mine)
            info_episode[t.name] = results.episode_result(t, after, market, reference)
            if not t.is_rule_based:
                closes = t.closing.is_terminal
                reward[t.name] = paid
                active[t.name] = before.is_active
                terminated[t.name] = ~after.is_active | (is_last & closes)
                truncated[t.name] = (is_last & (not closes)) & after.is_active

        is_short = params.background.ran_short(played.background, played.time)
        counters = state.counters
        state = state.replace(
            book=played.book,
            background=played.background,
            market=market,
            rest=accounts.add(state.rest, jax.tree.map(lambda leaf: leaf[0], flows)),
            agents=agents,
            counters=counters.replace(flow_too_short=counters.flow_too_short + is_short),
            feed=feed.record(state.feed, market, played.book) if self.is_delayed else (),
        )
        info = {
            "active": active,
            "market": results.market_info(market),
            "agents": info_agents,
            "episode": {"done": is_last, **info_episode},
            "counters": results.counters_info(state),
        }
        return self.observe(state), state, reward, terminated, truncated, info

    def _play(
        self, key: Array, state: EnvState, requests: list[Requests], params: EnvParams
    ) -> Played:
        """The order flow of a step, agents' messages among it."""
        key_order, key_flow = jax.random.split(key)
        goes_first = None
        if self.can_fail:
            goes_first = jnp.concatenate([state.agents[t.name].is_bankrupt for t in self.types])
        order = random_order(key_order, self.config.num_agents, goes_first)
        now = (state.market.time_s, state.market.time_ns)
        return play(
            params.background,
            state.background,
            key_flow,
            state.book,
            state.market,
            self.config.book,
            sent=sequence_requests(requests, order, now),
            is_timed=self.is_timed,
            backend=self.config.backend,
        )

    def _market_after(
        self, key: Array, before: MarketState, played: Played, params: EnvParams
    ) -> MarketState:
        """Public facts after a step, the fundamental value among them."""
        market = market_after(before, played)
        law = self.config.fundamental
        if law is None:
            return market
        seconds = (market.time_s - before.time_s).astype(jnp.float32) + (
            market.time_ns - before.time_ns
        ).astype(jnp.float32) / NANOSECONDS
        key_value = jax.random.fold_in(key, FUNDAMENTAL_KEY)
        value = law.advance(key_value, before.fundamental, params.fundamental, seconds)
        return market.replace(fundamental=value)

    def observe(self, state: EnvState) -> ByType:
        """What all agents see, by type, leaves led by `[A]`."""
        obs = {}
        for t in self.types:
            if t.observation is None:
                continue
            own, market, book = state.agents[t.name], state.market, state.book
            axes: tuple[Any, ...] = (0, None, None)
            if t.terms.has_feed_latency:
                own, market, book, _ = feed.delayed(state.feed, own, market, book, t.terms)
                axes = (0, 0, book.replace(bids=0, asks=0, counters=None))
            obs[t.name] = jax.vmap(t.observation.observe, axes)(own, market, book)
        return obs

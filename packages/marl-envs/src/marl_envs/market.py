"""The shared world: background order flow and the orders of all agents, one engine call a step."""

from __future__ import annotations

from typing import Any, Final

import jax
import jax.numpy as jnp
from lob_core.flow import FlowModel, ZeroIntelligence
from lob_core.replay import ReplayWindows
from lob_core.types import FIRST_AGENT_ORDER_ID

from marl_envs import accounts, results
from marl_envs.agents.base import ActionScheme
from marl_envs.agents.kinds import AgentType, build_agent
from marl_envs.background import flow_background, replay_background
from marl_envs.base import AgentGroup, ByType, MultiAgentEnv
from marl_envs.calibration import calibrate
from marl_envs.deciding import MEMORY_KEY, decide, new_agents, type_key
from marl_envs.playing import play
from marl_envs.sequencing import random_order, sequence_requests
from marl_envs.settling import close, finish, pay
from marl_envs.spaces import Discrete
from marl_envs.types import AgentState, EnvConfig, EnvParams, EnvState
from marl_envs.views import agents_after, market_after, mean_mid

Array = jax.Array

DEFAULT_LOOK: Final = 20
"""Messages that the default flow model draws from one look at the book."""


class MarketEnv(MultiAgentEnv[EnvParams, EnvState]):
    """A limit order book market with any number of agent types.

    In a step every agent's wanted orders become messages (cancels, then new orders); agents act in
    random order, then the background. One engine call carries it all out, or several if a flow
    model looks at the book more than once in a step.

    The flow of random numbers does not depend on what agents do or on their action schemes: with
    equal keys, windows, tasks and background draws are equal.

    Args:
        config: shapes and rules.

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
        flow_params: Any = None,
        key: Array | None = None,
        num_openings: int = 256,
    ) -> EnvParams:
        """Data and numbers of the market, made once; not to be jitted.

        Args:
            background: windows to replay, or a flow model, which looks at the book anew after
                every `refresh_every` messages; None takes zero intelligence with looks of
                `DEFAULT_LOOK` messages.
            flow_params: parameters of a flow model; None takes its own.
            key: draws the openings of a flow model, and calibration runs; None takes a fixed one.
            num_openings: opening books drawn from a flow model.

        Returns:
            The params. `calibration` is measured if an action scheme needs it.

        Raises:
            ValueError: if the background does not fit the config.
        """
        key_open, key_calibrate = jax.random.split(jax.random.key(0) if key is None else key)
        if isinstance(background, ReplayWindows):
            if flow_params is not None:
                raise ValueError("flow_params is given, but the background is a replay")
            made: Any = replay_background(background, self.config)
        else:
            model = (
                ZeroIntelligence(refresh_every=DEFAULT_LOOK) if background is None else background
            )
            flow_params = model.default_params() if flow_params is None else flow_params
            made = flow_background(model, flow_params, self.config, key_open, num_openings)
        needs_calibration = any(t.action.uses_calibration for t in self.types)
        calibration = calibrate(made, self.config, key_calibrate) if needs_calibration else None
        return EnvParams(background=made, calibration=calibration)

    def reset_env(self, key: Array, params: EnvParams) -> tuple[ByType, EnvState]:
        """Starts an episode: gathers a random opening and draws the tasks."""
        key_opening, key_tasks = jax.random.split(key)
        index = Discrete(params.background.num_openings).sample(key_opening)
        book, market, background = params.background.opening(index)
        agents, first_id = {}, 1
        for position, t in enumerate(self.types):
            key_task = jax.random.fold_in(key_tasks, position)
            key_memory = type_key(key, MEMORY_KEY, position)
            agents[t.name] = new_agents(t, key_task, key_memory, first_id, market)
            first_id += t.num_agents
        state = EnvState(
            book=book,
            background=background,
            market=market,
            reference_price=market.mid_open_half_ticks // 2,
            rest=accounts.empty_accounts(),
            agents=agents,
        )
        return self._observe(state), state

    def step_env(
        self, key: Array, state: EnvState, action: ByType, params: EnvParams
    ) -> tuple[ByType, EnvState, ByType, ByType, ByType, dict[str, Any]]:
        """One step without auto-reset; see `MultiAgentEnv.step_env`."""
        key_order, key_flow = jax.random.split(key)
        market_before, reference = state.market, state.reference_price
        requests, tables, befores = decide(
            self.types, key, state.agents, action, market_before, params.calibration
        )
        order = random_order(key_order, self.config.num_agents)
        sent = sequence_requests(requests, order, market_before.time_s, market_before.time_ns)
        played = play(
            params.background,
            state.background,
            key_flow,
            state.book,
            market_before,
            self.config.book,
            sent=sent,
            backend=self.config.backend,
        )
        book, fills = played.book, played.outcome.fills
        flows = accounts.flows_of(fills, reference)
        market = market_after(market_before, book, played.messages, played.outcome, played.time)
        last_mid = (market.mid_half_ticks - 2 * reference) / 2
        mid_mean = mean_mid(played.messages, played.outcome, reference, last_mid)
        is_last = market.steps_left <= 0
        totals = jax.tree.map(jnp.sum, fills)

        agents: dict[str, AgentState] = {}
        reward, terminated, truncated, active = {}, {}, {}, {}
        info_agents, info_episode = {}, {}
        first_id = 1
        for t, table in zip(self.types, tables, strict=True):
            before = befores[t.name]
            rows = slice(first_id, first_id + t.num_agents)
            first_id += t.num_agents
            filled, flow = jax.tree.map(lambda leaf, rows=rows: leaf[rows], (fills, flows))
            next_id = before.next_order_id + t.action.num_orders * self.config.num_agents
            account = accounts.add(before.account, flow)
            after = agents_after(before, table, account, next_id, book)
            closing = close(t, after, market, book, reference, is_last)
            result = results.step_results(
                before, after, market_before, market, filled, totals, closing, mid_mean,
                reference, is_last,
            )  # fmt: skip
            after, paid = pay(t, before, finish(before, after), result)
            agents[t.name] = after
            info_agents[t.name] = results.agent_info(result, after, filled)
            info_episode[t.name] = results.episode_result(t, after, market, closing, reference)
            if not t.is_rule_based:
                closes = t.closing.is_terminal
                reward[t.name] = paid
                active[t.name] = before.is_active
                terminated[t.name] = ~after.is_active | (is_last & closes)
                truncated[t.name] = (is_last & (not closes)) & after.is_active

        state = state.replace(
            book=book,
            background=played.background,
            market=market,
            rest=accounts.add(state.rest, jax.tree.map(lambda leaf: leaf[0], flows)),
            agents=agents,
        )
        info = {
            "active": active,
            "market": results.market_info(market),
            "agents": info_agents,
            "episode": {"done": is_last, **info_episode},
            "counters": results.counters_info(state),
        }
        return self._observe(state), state, reward, terminated, truncated, info

    def _observe(self, state: EnvState) -> ByType:
        return {
            t.name: jax.vmap(t.observation.observe, (0, None, None))(
                state.agents[t.name], state.market, state.book
            )
            for t in self.types
            if t.observation is not None
        }

import dataclasses

import jax
import jax.numpy as jnp
import pytest
from marl_envs import (
    AgentKind,
    AgentSpec,
    EnvConfig,
    MarketEnv,
    available_envs,
    available_kinds,
    make,
    register_agent,
)
from marl_envs.agents.base import Observation
from marl_envs.agents.kinds import build_agent
from marl_envs.agents.market_making.actions import DoNothing
from marl_envs.agents.market_making.spooner import Spooner
from marl_envs.assets import AssetsEnv
from marl_envs.teams import TeamEnv


def test_make__builds_every_environment_with_overrides():
    for name in available_envs():
        env = make(name, num_steps=7)
        market = {AssetsEnv: lambda env: env.market, TeamEnv: lambda env: env.env}.get(type(env))
        assert (market(env) if market else env).config.num_steps == 7


@pytest.mark.parametrize(
    ("name", "agents"),
    [
        ("portfolio", {"market_maker": 2, "portfolio": 1}),
        ("index_arbitrage", {"market_maker": 3, "arbitrage": 1}),
        ("trading_desk", {"market_maker": 1, "directional": 1, "execution": 1}),
    ],
)
def test_make__environments_of_several_books_and_of_teams_have_params_and_start(name, agents):
    env = make(name, num_slots=24, messages_per_step=2)
    params = env.make_params(num_openings=1)
    obs, _ = jax.eval_shape(env.reset, jax.random.key(0), params)
    assert {name: rows.shape[0] for name, rows in obs.items()} == agents
    assert {name: group.num_agents for name, group in env.groups.items()} == agents


def test_make__overrides_the_number_of_books():
    assert make("portfolio", num_assets=3).groups["market_maker"].num_agents == 3


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: make("casino"), "environment is 'casino'"),
        (lambda: make("market", speed=3), "EnvConfig has no \\['speed'\\]"),
        (lambda: EnvConfig(num_steps=0), "num_steps is 0"),
        (lambda: EnvConfig(agents=()), "agents is empty"),
        (lambda: EnvConfig(agents=(AgentSpec("execution"),) * 2), "must differ"),
        (lambda: AgentSpec("execution", num_agents=0), "num_agents is 0"),
        (lambda: build_agent(AgentSpec("ghost")), "kind is 'ghost'"),
        (lambda: build_agent(AgentSpec("execution", action="AvSt")), "action is 'AvSt'"),
        (lambda: build_agent(AgentSpec("execution", reward="fun")), "reward is 'fun'"),
        (
            lambda: build_agent(AgentSpec("execution", settings={"tenth_action": "NA"})),
            "nothing reads: \\['tenth_action'\\]",
        ),
        (
            lambda: build_agent(AgentSpec("execution", settings={"task_size": 0})),
            "task_size is 0",
        ),
    ],
)
def test_errors__name_the_field_and_what_is_allowed(call, words):
    with pytest.raises(ValueError, match=words):
        call()


def test_build_agent__a_setting_reaches_every_piece_that_reads_it():
    spec = AgentSpec(
        "market_maker",
        reward="portfolio_value_scaled",
        settings={"fixed_quant_value": 3, "closing_penalty": 2},
    )
    agent = build_agent(spec)
    assert agent.action.fixed_quant_value == 3
    assert agent.observation.fixed_quant_value == 3
    assert agent.reward.fixed_quant_value == 3
    assert agent.closing.closing_penalty == 2


def test_spec__is_hashable_and_the_same_from_mapping_or_pairs():
    by_mapping = AgentSpec("execution", settings={"task": "buy", "task_size": 5})
    by_pairs = AgentSpec("execution", settings=(("task_size", 5), ("task", "buy")))
    assert by_mapping == by_pairs
    assert hash(by_mapping) == hash(by_pairs)


@dataclasses.dataclass(frozen=True)
class Clock(Observation):
    """Only the time."""

    @property
    def names(self):
        return ("steps_left",)

    def observe(self, agent, market, book):
        return jnp.asarray([market.steps_left], jnp.float32)


def test_register_agent__a_users_kind_plays_in_the_market():
    kind = AgentKind(
        actions={"wait": DoNothing}, observations={"clock": Clock}, rewards={"spooner": Spooner}
    )
    register_agent("watcher", kind)
    assert "watcher" in available_kinds()
    env = MarketEnv(EnvConfig(agents=(AgentSpec("watcher", num_agents=2),), num_steps=5))
    obs, _ = jax.jit(env.reset)(jax.random.key(0), env.make_params(num_openings=1))
    assert obs["watcher"].tolist() == [[5.0], [5.0]]
    with pytest.raises(ValueError, match="already registered"):
        register_agent("watcher", dataclasses.replace(kind, description="another"))


def test_two_types_of_one_kind__live_side_by_side_under_their_own_names():
    env = MarketEnv(
        EnvConfig(
            agents=(
                AgentSpec("execution", name="patient", action="simplest_case"),
                AgentSpec("execution", name="hasty", action="twap", num_agents=2),
            )
        )
    )
    assert list(env.groups) == ["patient", "hasty"]
    assert env.groups["patient"].action_space.n == 3
    assert env.groups["hasty"].num_agents == 2

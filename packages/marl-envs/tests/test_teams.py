"""Shared rewards and messages heard one step later."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from marl_envs import AgentSpec, EnvConfig, MarketEnv
from marl_envs.assets import AssetsConfig, AssetsEnv
from marl_envs.spaces import MultiDiscrete
from marl_envs.teams import Team, TeamEnv
from marl_envs.testing import ScriptedFlow, check_env

INNER = MarketEnv(
    EnvConfig(
        agents=(
            AgentSpec("market_maker", num_agents=2),
            AgentSpec("directional"),
            AgentSpec("execution"),
        ),
        num_steps=4,
        messages_per_step=2,
        num_slots=16,
    )
)


def test_team__shares_rewards_and_hears_words_one_step_later():
    env = TeamEnv(INNER, (Team(("market_maker", "directional"), share=0.5, vocabulary=3),))
    params = INNER.make_params(ScriptedFlow(), num_openings=1)
    groups = env.groups
    assert groups["market_maker"].action_space == MultiDiscrete((10, 3))
    assert groups["execution"] == INNER.groups["execution"]
    assert groups["directional"].observation_names[-1] == "heard_2_2"
    check_env(env, params, num_steps=6)

    obs, state = env.reset(jax.random.key(0), params)
    assert not np.asarray(obs["directional"][0, -9:]).any()
    own = {
        "market_maker": jnp.array([0, 1]),
        "directional": jnp.array([1]),
        "execution": jnp.array([3]),
    }
    said = {
        **own,
        "market_maker": jnp.array([[0, 2], [1, 0]]),
        "directional": jnp.array([[1, 1]]),
    }
    key = jax.random.key(1)
    _, _, alone, *_ = jax.jit(INNER.step_env)(key, state.inner, own, params)
    obs, state, reward, *_ = jax.jit(env.step_env)(key, state, said, params)
    for name in ("market_maker", "directional"):
        assert obs[name][0, -9:].tolist() == [0, 0, 1, 1, 0, 0, 0, 1, 0]
    team = np.concatenate([alone["market_maker"], alone["directional"]])
    mixed = np.concatenate([reward["market_maker"], reward["directional"]])
    assert np.abs(team).sum() > 0
    assert mixed == pytest.approx(0.5 * team + 0.5 * team.mean())
    assert np.array_equal(reward["execution"], alone["execution"])


def test_team__numbers_follow_continuous_actions():
    inner = AssetsEnv(AssetsConfig(num_assets=2))
    env = TeamEnv(inner, (Team(("portfolio",), message_size=2),))
    assert env.groups["portfolio"].action_space.shape == (4,)
    own, said = env._split("portfolio", jnp.array([[0.1, 0.2, 0.3, -4.0]]))
    assert own == pytest.approx(np.array([[0.1, 0.2]]))
    assert said == pytest.approx(np.array([[0.3, -1.0]]))


@pytest.mark.parametrize(
    ("teams", "words"),
    [
        ((Team(("nobody",)),), "no agent type"),
        ((Team(("execution",)), Team(("execution",))), "two teams"),
        ((Team(("execution",), message_size=2),), "needs Box actions"),
    ],
)
def test_team_env__refuses_teams_that_do_not_fit(teams, words):
    with pytest.raises(ValueError, match=words):
        TeamEnv(INNER, teams)


def test_team__refuses_two_channels():
    with pytest.raises(ValueError, match="one channel"):
        Team(("execution",), vocabulary=2, message_size=1)

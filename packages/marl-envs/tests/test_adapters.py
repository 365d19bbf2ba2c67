"""The adapters pass the conformance tests of the libraries they adapt to."""

import jax
import numpy as np
import pytest
from marl_envs import AgentSpec, EnvConfig, MarketEnv

BOTH = (
    AgentSpec("market_maker", settings={"closing_price": "none"}),
    AgentSpec("execution", num_agents=2, settings={"task_size": 40}),
)


def market(agents=BOTH):
    env = MarketEnv(EnvConfig(agents=agents, num_steps=5, messages_per_step=4, num_slots=24))
    return env, env.make_params(num_openings=3)


@pytest.mark.filterwarnings("ignore")
def test_pettingzoo__passes_the_api_and_seed_tests():
    pytest.importorskip("pettingzoo")
    from marl_envs.adapters.pettingzoo import PettingZooEnv
    from pettingzoo.test import parallel_api_test, parallel_seed_test

    shared = market()
    env = PettingZooEnv(*shared)
    assert env.possible_agents == ["market_maker_0", "execution_0", "execution_1"]
    parallel_api_test(env, num_cycles=12)
    parallel_seed_test(lambda: PettingZooEnv(*shared), num_cycles=6)


@pytest.mark.filterwarnings("ignore")
def test_gymnasium__passes_check_env_and_refuses_several_agents():
    gymnasium = pytest.importorskip("gymnasium")
    from gymnasium.utils.env_checker import check_env
    from marl_envs.adapters.gymnasium import GymnasiumEnv

    env = GymnasiumEnv(*market(BOTH[:1]))
    check_env(env, skip_render_check=True)
    env.reset(seed=1)
    for step in range(5):
        _, _, terminated, truncated, info = env.step(env.action_space.sample())
        assert (terminated, truncated) == (False, step == 4)
    assert "inventory" in info
    assert isinstance(env.action_space, gymnasium.spaces.Discrete)
    with pytest.raises(ValueError, match="exactly one"):
        GymnasiumEnv(*market())


def test_gymnasium__the_vector_resets_in_the_step_that_ends_and_keeps_the_last_observation():
    pytest.importorskip("gymnasium")
    from marl_envs.adapters.gymnasium import GymnasiumVectorEnv

    envs = GymnasiumVectorEnv(*market(BOTH[:1]), num_envs=3)
    obs, _ = envs.reset(seed=3)
    assert envs.observation_space.contains(obs)
    again, _ = envs.reset(seed=3)
    assert np.array_equal(obs, again)
    for step in range(6):
        obs, reward, terminated, truncated, infos = envs.step(envs.action_space.sample())
        assert envs.observation_space.contains(obs)
        assert reward.shape == terminated.shape == (3,)
        assert truncated.tolist() == [step == 4] * 3
        assert ("final_obs" in infos) == (step == 4)
        if step == 4:
            assert infos["_final_obs"].all()
            assert not np.array_equal(infos["final_obs"][0], obs[0])


def test_jaxmarl__rolls_out_under_its_own_log_wrapper():
    jaxmarl = pytest.importorskip("jaxmarl")
    from jaxmarl.wrappers.baselines import LogWrapper
    from marl_envs.adapters.jaxmarl import JaxMarlEnv, registered

    with registered("market", lambda: JaxMarlEnv(*market())):
        inner = jaxmarl.make("market")
    env = LogWrapper(inner)
    shapes = {env.observation_space(agent).shape for agent in env.agents}
    assert len(shapes) == 1
    assert {env.action_space(agent).n for agent in env.agents} == {13}
    assert inner.agent_classes["execution"] == ["execution_0", "execution_1"]

    def rollout(key):
        _, state = env.reset(key)
        avail = inner.get_avail_actions(state.env_state)

        def step(state, key):
            keys = jax.random.split(key, env.num_agents + 1)
            action = {
                agent: env.action_space(agent).sample(keys[i])[None]
                for i, agent in enumerate(env.agents)
            }
            obs, state, reward, done, info = env.step(keys[-1], state, action)
            return state, (obs, reward, done, info)

        return avail, jax.lax.scan(step, state, jax.random.split(key, 12))[1]

    avail, (obs, reward, done, info) = jax.jit(rollout)(jax.random.key(0))
    assert int(avail["market_maker_0"].sum()) == 10
    assert obs["execution_1"].shape == (12, *shapes.pop())
    assert all(np.isfinite(np.asarray(leaf)).all() for leaf in jax.tree.leaves((obs, reward)))
    assert np.flatnonzero(np.asarray(done["__all__"])).tolist() == [4, 9]
    assert np.asarray(info["returned_episode_lengths"])[4].tolist() == [5.0] * 3
    assert info["worth"].shape == (12, 3)

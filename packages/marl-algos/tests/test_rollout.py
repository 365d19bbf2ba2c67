"""The arrays that learners get, step by step, from environments of known course."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from lob_core.testing.programs import count_branches
from marl_algos import testing
from marl_algos.learners.ippo import PPO
from marl_algos.learners.mappo import joint_observation
from marl_algos.rollout import collect
from marl_algos.settings import NetworkConfig, PPOConfig, TypeConfig
from marl_algos.types import merge_actors, split_by_type

SMALL = NetworkConfig(hidden=(8,))
RECURRENT = NetworkConfig(kind="gru", hidden=(8,), gru_size=8)


def rollout(env, num_steps=7, num_envs=3):
    types = {name: TypeConfig(PPOConfig(num_minibatches=1), SMALL) for name in env.groups}
    ppo = PPO(env, types, num_envs=num_envs, num_steps=num_steps, num_updates=1)

    @jax.jit
    def run(key):
        state = ppo.init(key, None)
        after = collect(
            env,
            None,
            lambda *arguments: ppo.act(state.agents, *arguments),
            lambda *arguments: ppo.values(state.agents, *arguments),
            state.rollout,
            key,
            num_steps,
        )
        return state, after

    return ppo, *run(jax.random.key(0))


def test_collect__done_before_and_done_after_a_step_are_two_arrays():
    _, _, (_, trajectories, _, _) = rollout(testing.Memory(num_steps=3))
    row = trajectories["agent"]
    assert row.is_first[:, 0, 0].tolist() == [True, False, False, True, False, False, True]
    assert row.cut[:, 0, 0].tolist() == [False, False, True, False, False, True, False]
    assert row.terminated.tolist() == row.cut.tolist()
    assert not row.final_value.any()


@pytest.mark.parametrize("has_branches", [True, False])
def test_collect__truncation_bootstraps_from_the_observation_before_the_reset(
    monkeypatch, has_branches
):
    monkeypatch.setattr("marl_envs.batching.prefers_branches", lambda: has_branches)

    class Clock(testing.EndlessReward):
        def observe(self, state):
            return jnp.full((self.num_agents, 1), state.time, jnp.float32)

    ppo, state, (_, trajectories, _, _) = rollout(Clock())
    row = trajectories["agent"]
    assert row.cut[:, 0, 0].tolist() == [False] * 4 + [True] + [False] * 2
    assert not row.terminated.any()
    assert row.obs[4, 0, 0, 0] == 4.0
    assert row.obs[5, 0, 0, 0] == 0.0
    final = ppo.values(
        state.agents,
        {"agent": jnp.full((3, 2, 1), 5.0)},
        state.rollout.carry,
        jnp.zeros(3, bool),
    )["agent"]
    np.testing.assert_allclose(row.final_value[4], final, rtol=1e-5)
    assert not row.final_value[:4].any()


def test_collect__seeds_side_by_side_share_the_branches_of_resets_and_bootstraps():
    env = testing.EndlessReward()
    types = {name: TypeConfig(PPOConfig(num_minibatches=1), SMALL) for name in env.groups}
    ppo = PPO(env, types, num_envs=3, num_steps=4, num_updates=1)
    keys = jax.random.split(jax.random.key(0), 2)

    def update(key):
        return ppo.update(ppo.init(key, None), None)

    assert count_branches(jax.jit(update).lower(keys[0]).as_text()) == 2
    assert count_branches(jax.jit(jax.vmap(update)).lower(keys).as_text()) == 2


def test_collect__agents_that_finished_early_are_masked_until_the_next_episode():
    _, _, (_, trajectories, _, metrics) = rollout(testing.EarlyFinish())
    row = trajectories["agent"]
    assert row.active[:, 0, 0].tolist() == [True, False, False, False, True, False, False]
    assert row.reward[:, 0, 0].tolist() == [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0]
    assert row.terminated[0].all()
    assert metrics["agents"]["agent"]["reward_mean"] == 1.0
    assert metrics["episodes"] == 3.0


def test_collect__episode_results_are_nan_when_no_episode_ended():
    _, _, (_, _, _, metrics) = rollout(testing.EndlessReward(), num_steps=3)
    assert metrics["episodes"] == 0.0
    assert np.isnan(metrics["agents"]["agent"]["episode_return"])


def test_merge_actors__keeps_what_belongs_to_one_agent_together():
    x = jnp.arange(2 * 3 * 4).reshape(2, 3, 4)
    merged = merge_actors({"x": x}, axis=1)["x"]
    assert merged.shape == (2, 12)
    assert merged[1, 2 * 4 + 3] == x[1, 2, 3]


def test_split_by_type__types_explore_independently():
    keys = split_by_type(jax.random.key(0), {"a": None, "b": None})
    draws = [np.asarray(jax.random.normal(keys[name], (2000,))) for name in "ab"]
    assert abs(np.corrcoef(draws)[0, 1]) < 0.1


def test_joint_observation__holds_own_joint_and_identity():
    obs = {"a": jnp.arange(6.0).reshape(1, 2, 3), "b": jnp.full((1, 1, 2), 9.0)}
    seen = joint_observation(obs)
    joint = [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 9.0, 9.0]
    assert seen["a"][0, 1].tolist() == [3.0, 4.0, 5.0, *joint, 0.0, 1.0]
    assert seen["b"][0, 0].tolist() == [9.0, 9.0, *joint, 1.0]


def test_update__is_compiled_once():
    env = testing.ActionDecides()
    ppo = PPO(env, {"agent": TypeConfig(network=SMALL)}, num_envs=4, num_steps=4, num_updates=3)
    traces = []

    @jax.jit
    def update(state):
        traces.append(None)
        return ppo.update(state, None)

    state = jax.jit(ppo.init, static_argnums=1)(jax.random.key(0), None)
    for number in range(3):
        assert state.update == number
        state, _ = update(state)
    assert len(traces) == 1


def test_ppo__refuses_types_that_the_environment_lacks():
    with pytest.raises(ValueError, match=r"\['agent'\].*\['other'\]"):
        PPO(testing.Memory(), {"other": TypeConfig()}, num_envs=1, num_steps=4, num_updates=1)


def test_ppo__refuses_minibatches_that_do_not_divide_the_actors():
    types = {"agent": TypeConfig(PPOConfig(num_minibatches=4), RECURRENT)}
    with pytest.raises(ValueError, match="6 actors do not split into num_minibatches=4"):
        PPO(testing.Memory(), types, num_envs=3, num_steps=4, num_updates=1)


def test_mappo__refuses_shared_features():
    types = {"agent": TypeConfig(network=NetworkConfig(shared=True))}
    with pytest.raises(ValueError, match="shared"):
        PPO(
            testing.Memory(),
            types,
            num_envs=2,
            num_steps=4,
            num_updates=1,
            critic_inputs=joint_observation,
        )

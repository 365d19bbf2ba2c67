import jax
import jax.numpy as jnp
import numpy as np
from marl_envs import AgentSpec, EnvConfig, MarketEnv
from marl_envs.testing import ScriptedFlow
from marl_envs.wrappers import play_episode


def test_play_episode__logs_every_step_and_is_reproducible():
    env = MarketEnv(
        EnvConfig(
            agents=(AgentSpec("execution", action="twap", settings={"task_size": 30}),),
            num_steps=3,
            messages_per_step=1,
            num_slots=8,
        )
    )
    params = env.make_params(ScriptedFlow(), num_openings=1)
    policy = lambda key, obs: {"execution": jnp.zeros(1, jnp.int32)}  # noqa: E731
    play = jax.jit(lambda key: play_episode(env, policy, key, params, 3))
    log = play(jax.random.key(0))
    assert log["obs"]["execution"].shape[:2] == (3, 1)
    agent = log["info"]["agents"]["execution"]
    assert np.asarray(agent["bought"] + agent["sold"])[:, 0].tolist() == [10, 10, 10]
    assert np.asarray(agent["remaining"])[:, 0].tolist() == [20, 10, 0]
    assert np.asarray(log["info"]["episode"]["done"]).tolist() == [False, False, True]
    again = play(jax.random.key(0))
    assert all(
        np.array_equal(a, b) for a, b in zip(*map(jax.tree.leaves, (log, again)), strict=True)
    )

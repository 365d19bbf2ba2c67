"""Frozen policies inside an environment: who plays, what they remember, what stays equal."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from marl_algos import testing
from marl_algos.learners.ippo import PPO
from marl_algos.populations.opponents import OpponentParams, WithOpponents, single_opponent
from marl_algos.settings import NetworkConfig, PPOConfig, TypeConfig
from marl_algos.types import Move
from marl_envs.games.matrix import MatrixGame, rock_paper_scissors

KEY = jax.random.key(3)


class Scripted:
    """Policies that are one integer: the action, plus how often the policy has acted before."""

    def __init__(self, env: Any, modulus: int) -> None:
        self.env = env
        self.modulus = modulus

    def initial_carry(self, num_envs):
        return {n: jnp.zeros((num_envs, g.num_agents), int) for n, g in self.env.groups.items()}

    def play(self, agents, keys, obs, carry, is_first, *, greedy, legal):
        return {
            name: Move((agents[name] + carry[name]) % self.modulus, carry[name] + 1)
            for name in agents
        }


def scripted(payoffs):
    env = MatrixGame(payoffs)
    return WithOpponents(env, Scripted(env, env.payoffs.shape[2]), ["player_1"])


def test_opponents__leave_only_the_types_that_learn():
    env = WithOpponents(rock_paper_scissors(), Scripted(rock_paper_scissors(), 3), ["player_1"])
    assert list(env.groups) == ["player_0"]
    params = single_opponent(None, {"player_1": jnp.array(2)})
    obs, state = env.reset_env(KEY, params)
    assert list(obs) == ["player_0"]
    _, _, reward, terminated, truncated, info = env.step_env(
        KEY, state, {"player_0": jnp.array([0])}, params
    )
    assert list(reward) == list(terminated) == list(truncated) == ["player_0"]
    assert reward["player_0"].tolist() == [1.0]  # rock against scissors
    assert sorted(info["active"]) == ["player_0", "player_1"]


def test_opponents__parallel_environments_face_them_by_weight():
    env = scripted(rock_paper_scissors().payoffs)
    weights = {"player_1": jnp.array([1.0, 0.0, 3.0])}
    params = OpponentParams(None, {"player_1": jnp.arange(3)}, weights)
    _, states = jax.vmap(env.reset_env, in_axes=(0, None))(jax.random.split(KEY, 4000), params)
    share = np.bincount(np.asarray(states.choice["player_1"]), minlength=3) / 4000
    assert share == pytest.approx([0.25, 0.0, 0.75], abs=0.03)
    action = {"player_0": jnp.zeros((4000, 1), int)}
    _, _, reward, _, _, _ = jax.vmap(env.step_env, in_axes=(0, 0, 0, None))(
        jax.random.split(KEY, 4000), states, action, params
    )
    wins = np.asarray(states.choice["player_1"]) == 2
    assert (np.asarray(reward["player_0"])[:, 0] == np.where(wins, 1.0, 0.0)).all()


def test_opponents__remember_within_an_episode_and_forget_at_its_end():
    env = scripted(rock_paper_scissors().payoffs)
    params = single_opponent(None, {"player_1": jnp.array(0)})
    _, state = env.reset_env(KEY, params)
    played = []
    for _ in range(3):
        action = {"player_0": jnp.array([0])}
        _, state, reward, _, _, _ = env.step_env(KEY, state, action, params)
        played.append(float(reward["player_0"][0]))
    assert played == [0.0, -1.0, 1.0]  # rock, then paper, then scissors
    _, state = env.reset_env(KEY, params)
    assert state.carry["player_1"].tolist() == [[0]]


def test_opponents__leave_the_randomness_of_the_environment_alone():
    inner = testing.TwoTypes()
    env = WithOpponents(inner, Scripted(inner, 3), ["right"])
    params = single_opponent(None, {"right": jnp.array(1)})
    _, state = env.reset_env(KEY, params)
    _, plain = inner.reset_env(KEY, None)
    assert jax.tree.all(jax.tree.map(jnp.array_equal, state.env_state, plain))


def test_opponents__must_be_some_but_not_all_types():
    game = rock_paper_scissors()
    for names in (["nobody"], [], ["player_0", "player_1"]):
        with pytest.raises(ValueError, match="some, not all"):
            WithOpponents(game, Scripted(game, 3), names)


def test_learner__finds_the_best_response_to_a_frozen_network():
    game = rock_paper_scissors()
    network = NetworkConfig(kind="gru", hidden=(8,), gru_size=8)
    config = TypeConfig(PPOConfig(learning_rate=0.02, entropy_coef=0.0), network)
    base = PPO(game, dict.fromkeys(game.groups, config), num_envs=8, num_steps=4, num_updates=1)
    agents = base.init(jax.random.key(1), None).agents
    bias = agents["player_1"].params["params"]["policy_head"]
    loaded = jax.tree.map(lambda x: x + 9.0 * (jnp.arange(3) == 1) if x.shape == (3,) else x, bias)
    agents["player_1"].params["params"]["policy_head"] = loaded  # almost always paper
    env = WithOpponents(game, base, ["player_1"])
    params = single_opponent(None, {"player_1": agents["player_1"]})
    ppo = PPO(env, {"player_0": config}, num_envs=16, num_steps=8, num_updates=30)
    state = ppo.init(jax.random.key(0), params)
    update = jax.jit(ppo.update)
    for _ in range(30):
        state, metrics = update(state, params)
    assert metrics["agents"]["player_0"]["episode_return"] > 0.9

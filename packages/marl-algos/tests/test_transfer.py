"""What carries over from one market to another: warm starts, domains, trials, averages."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from marl_algos.learners.ippo import PPO
from marl_algos.markets.domains import ManyDomains, stack_domains
from marl_algos.markets.trials import Trials
from marl_algos.networks.heads import rescale_value_head
from marl_algos.runs.checkpoint import CheckpointError, CheckpointStore, named_leaves, read_agents
from marl_algos.settings import NetworkConfig, PPOConfig, TypeConfig
from marl_algos.testing import ActionDecides, Memory
from marl_algos.training.federated import FederatedAveraging
from marl_algos.training.transfer import warm_start

KEY = jax.random.key(5)


class Payoff(ActionDecides):
    """Action 1 pays what the parameters say; so the better action differs between domains."""

    def step_env(self, key, state, action, params):
        obs, state, reward, *rest = super().step_env(key, state, action, params)
        return obs, state, {"agent": reward["agent"] * params}, *rest


def learner(env, hidden=(8,)):
    settings = PPOConfig(learning_rate=0.03, entropy_coef=0.0, num_epochs=2, num_minibatches=2)
    config = TypeConfig(settings, NetworkConfig(hidden=hidden))
    return PPO(env, dict.fromkeys(env.groups, config), num_envs=8, num_steps=4, num_updates=100)


def test_warm_start__takes_what_fits_and_reports_the_rest(tmp_path):
    old = learner(ActionDecides()).init(KEY, None)
    folder = tmp_path / "old"
    store = CheckpointStore(folder / "checkpoints" / "last", 1)
    store.save(3, old, {})
    store.close()
    source = read_agents(folder)
    assert set(source) == set(named_leaves(old.agents))
    new = learner(ActionDecides()).init(jax.random.key(6), None).agents
    warmed, report = warm_start(new, source)
    for left, right in zip(
        jax.tree.leaves(warmed["agent"].params),
        jax.tree.leaves(old.agents["agent"].params),
        strict=True,
    ):
        assert (left == right).all()
    assert not report.reshaped
    assert not report.missing
    assert not report.unused
    assert "matched: " in str(report)

    wider = learner(Memory()).init(KEY, None).agents
    mixed, report = warm_start(wider, source)
    assert any("Dense_0.kernel: (1, 8) -> (2, 8)" in line for line in report.reshaped)
    assert report.matched
    head = next(path for path in report.matched if "policy_head" in path)
    assert (named_leaves(mixed)[head] == source[head]).all()

    _, report = warm_start({"rival": new["agent"]}, source, {"rival": "agent"})
    assert len(report.matched) > 5
    with pytest.raises(ValueError, match="nothing of the other run fits"):
        warm_start({"rival": new["agent"]}, source)


def test_read_agents__of_a_folder_without_checkpoints_is_refused(tmp_path):
    with pytest.raises(CheckpointError, match="does not exist"):
        read_agents(tmp_path)


def test_domains__are_drawn_for_every_episode_and_kept_through_it():
    env = ManyDomains(Payoff(num_agents=1), 3)
    params = stack_domains([jnp.float32(1.0), jnp.float32(-2.0), jnp.float32(5.0)])
    _, states = jax.vmap(env.reset_env, in_axes=(0, None))(jax.random.split(KEY, 3000), params)
    share = np.bincount(np.asarray(states.domain), minlength=3) / 3000
    assert share == pytest.approx([1 / 3] * 3, abs=0.03)
    action = {"agent": jnp.ones((3000, 1), int)}
    _, after, reward, _, _, _ = jax.vmap(env.step_env, in_axes=(0, 0, 0, None))(
        jax.random.split(KEY, 3000), states, action, params
    )
    assert (reward["agent"][:, 0] == params[states.domain]).all()
    assert (after.domain == states.domain).all()


def test_domains__that_differ_in_shape_are_refused():
    with pytest.raises(ValueError, match="differ in structure or shape"):
        stack_domains([jnp.zeros(2), jnp.zeros(3)])
    with pytest.raises(ValueError, match="no domains"):
        stack_domains([])


def test_trials__repeat_the_task_and_show_what_happened():
    env = Trials(Memory(num_agents=1, num_steps=2), 3)
    assert env.groups["agent"].observation_space.shape == (2 + 2 + 2,)
    obs, state = env.reset_env(KEY, None)
    assert obs["agent"][0, 2:].tolist() == [0.0] * 4
    cue, done, rewards = float(obs["agent"][0, 0]), [], []
    right = int(cue > 0)
    for step in range(6):
        obs, state, reward, terminated, _, info = env.step_env(
            jax.random.fold_in(KEY, step), state, {"agent": jnp.array([right])}, None
        )
        done.append(bool(info["episode"]["done"]))
        rewards.append(float(reward["agent"][0]))
        assert bool(terminated["agent"][0]) == done[-1]
        assert obs["agent"][0, 2:4].tolist() == [1.0 - right, float(right)]
        assert obs["agent"][0, 4:].tolist() == [rewards[-1], float(step % 2 == 1)]
        if step in (1, 3):
            assert float(obs["agent"][0, 0]) == cue  # the next episode has the same task
    assert done == [False] * 5 + [True]
    assert rewards == [0.0, 1.0] * 3


def test_federated__average_of_opposed_shards_is_decided_by_the_weights():
    shards = jnp.array([1.0, -1.0])
    federated = FederatedAveraging(
        learner(Payoff(num_agents=1)), jnp.array([3.0, 1.0]), updates_per_round=2
    )
    start = federated.init(KEY, shards)
    end, metrics = jax.jit(federated.play_round)(start, shards)
    for before, after in zip(
        jax.tree.leaves(start.agents["agent"].params),
        jax.tree.leaves(end.agents["agent"].params),
        strict=True,
    ):
        assert (before[0] == before[1]).all()
        assert (after[0] == after[1]).all()
    assert metrics["agents"]["agent"]["loss"].shape == (2, 2)
    alone = jax.vmap(federated.learner.update)(start, shards)[0].agents["agent"].params
    expected = jax.tree.map(lambda x: 0.75 * x[0] + 0.25 * x[1], alone["params"])
    once = FederatedAveraging(federated.learner, jnp.array([3.0, 1.0]), 1)
    found = once.play_round(start, shards)[0].agents["agent"].params["params"]
    del expected["value_head"], found["value_head"]  # see the test of units
    for left, right in zip(jax.tree.leaves(expected), jax.tree.leaves(found), strict=True):
        np.testing.assert_allclose(left, right[0], atol=1e-5)


def test_federated__workers_that_agree_in_other_units_agree_with_the_average():
    federated = FederatedAveraging(learner(Payoff(num_agents=1)), jnp.array([3.0, 1.0]), 1)
    states = federated.init(KEY, jnp.array([1.0, 1.0]))
    agent = states.agents["agent"]
    sample = jnp.array([[1.0, 3.0], [-40.0, 60.0]])  # value targets of two workers
    own = jax.vmap(lambda moments, x: moments.update(x, jnp.ones(2, bool), 0.0))(
        agent.value_moments, sample
    )
    apart = dataclasses.replace(
        agent,
        params=jax.vmap(rescale_value_head)(agent.params, agent.value_moments, own),
        value_moments=own,
    )
    together = federated._average(dataclasses.replace(states, agents={"agent": apart}))
    merged = together.agents["agent"]

    def values(agent):
        layer = agent.params["params"]["value_head"]["output"]
        return agent.value_moments.denormalize(jnp.ones((3, 8)) @ layer["kernel"] + layer["bias"])

    before, after = jax.vmap(values)(agent), jax.vmap(values)(merged)
    np.testing.assert_allclose(after, before, rtol=1e-3, atol=1e-3)
    plain = jax.tree.map(lambda x: 0.75 * x[0] + 0.25 * x[1], apart.params)
    naive = dataclasses.replace(jax.tree.map(lambda x: x[0], merged), params=plain)
    assert jnp.abs(values(naive) - before[0]).max() > 1.0  # what averaging numbers would do
    pooled = merged.value_moments
    assert pooled.mean[0] == pytest.approx(0.75 * 2.0 + 0.25 * 10.0)
    assert (pooled.std[0] == pooled.std[1]).all()

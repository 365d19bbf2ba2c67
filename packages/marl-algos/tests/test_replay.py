"""The ring of rollouts, and targets over several steps against sums written out by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from marl_algos.learners.replay import Experience, Replay, n_step, n_step_targets

T, B, GAMMA = 6, 2, 0.9


def experience(cut, terminated=None, seed=0):
    """Transitions [T, B, 1] whose observation is the step and whose next is the one after."""
    rng = np.random.default_rng(seed)
    cut = jnp.broadcast_to(jnp.asarray(cut).reshape(T, 1, 1), (T, B, 1))
    terminated = cut if terminated is None else jnp.broadcast_to(terminated, cut.shape)
    time = jnp.broadcast_to(jnp.arange(T, dtype=jnp.float32).reshape(T, 1, 1, 1), (T, B, 1, 1))
    return Experience(
        obs=time,
        action=jnp.zeros((T, B, 1), jnp.int32),
        reward=jnp.asarray(rng.normal(size=(T, B, 1)), jnp.float32),
        next_obs=time + 1.0,
        discount=GAMMA * (1.0 - terminated),
        cut=cut,
        is_first=jnp.zeros((T, B, 1), bool),
        active=jnp.ones((T, B, 1), bool),
        next_legal=None,
        legal=None,
    )


def by_hand(rows, following, n):
    """Targets [T, B] as nested loops: rewards until n steps, a cut or the end, then bootstrap."""
    reward, discount, cut = (np.asarray(x)[..., 0] for x in (rows.reward, rows.discount, rows.cut))
    targets = np.zeros((T, B))
    for start in range(T):
        for env in range(B):
            last = start
            while last - start + 1 < n and last + 1 < T and not cut[last, env]:
                last += 1
            weights = GAMMA ** np.arange(last - start)
            total = sum(weights * reward[start:last, env])
            total += GAMMA ** (last - start) * reward[last, env]
            bootstrap = GAMMA ** (last - start) * discount[last, env] * following[last, env]
            targets[start, env] = total + bootstrap
    return targets


@pytest.mark.parametrize("terminal", [True, False])
@pytest.mark.parametrize("n", [1, 2, 4, 9])
def test_n_step__both_ways_agree_with_the_sum_written_out(n, terminal):
    cut = [False, False, True, False, False, False]
    terminated = None if terminal else jnp.zeros((T, B, 1), bool)
    rows = experience(cut, terminated)
    following = np.random.default_rng(1).normal(size=(T, B)).astype(np.float32)
    expected = by_hand(rows, following, n)
    along = n_step_targets(
        rows.reward[..., 0], jnp.asarray(following), rows.discount[..., 0], rows.cut[..., 0], n
    )
    np.testing.assert_allclose(along, expected, rtol=1e-5)
    stored = n_step(rows, GAMMA, n)
    last = np.asarray(stored.next_obs[..., 0, 0], int) - 1
    ahead = np.take_along_axis(following, last, axis=0)
    ours = stored.reward[..., 0] + stored.discount[..., 0] * ahead
    np.testing.assert_allclose(ours, expected, rtol=1e-5)


def test_replay__keeps_the_newest_rollouts_and_never_samples_what_is_not_there():
    rows = {"agent": experience([False] * T)}
    replay = Replay.create(rows, {"agent": jnp.zeros((B, 1, 3))}, 4)

    @jax.jit
    def fill(replay, value):
        marked = jax.tree.map(lambda x: jnp.full_like(x, value), rows)
        return replay.add(marked, {"agent": jnp.full((B, 1, 3), value, jnp.float32)})

    def values(replay):
        seen = jax.jit(Replay.steps, static_argnums=2)(replay, jax.random.key(0), 500)
        return set(np.unique(seen["agent"].reward).tolist())

    for number in (1, 2):
        replay = fill(replay, number)
    assert values(replay) == {1.0, 2.0}
    for number in (3, 4, 5, 6):
        replay = fill(replay, number)
    assert values(replay) == {3.0, 4.0, 5.0, 6.0}
    stretch, carry = replay.rollouts(jax.random.key(1), 50)
    assert stretch["agent"].reward.shape == (T, 50, 1)
    assert (stretch["agent"].reward[0, :, 0] == carry["agent"][:, 0, 0]).all()


def test_replay__steps_are_uniform_with_replacement_and_keep_transitions_together():
    rows = experience([False] * T)
    mark = jnp.arange(T * B, dtype=jnp.float32).reshape(T, B, 1)
    rows = {"agent": rows.replace(reward=mark, action=mark.astype(jnp.int32))}
    replay = Replay.create(rows, {"agent": ()}, 3).add(rows, {"agent": ()})
    seen = jax.jit(Replay.steps, static_argnums=2)(replay, jax.random.key(0), 6000)["agent"]
    assert (seen.reward == seen.action).all()
    assert (seen.obs[..., 0] == seen.reward // B).all()
    counts = np.bincount(np.asarray(seen.action).reshape(-1), minlength=T * B)
    np.testing.assert_allclose(counts / 6000, 1 / (T * B), atol=0.02)

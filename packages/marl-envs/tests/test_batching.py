import jax
import jax.numpy as jnp
import numpy as np
from marl_envs import batching
from marl_envs.batching import any_in_batch, compute_if_any


def double_if(flag, x):
    """Doubles where flagged; the branch itself sees every member of the batch."""

    def compute(flag, x):
        return jnp.where(flag, 2 * x, x)

    return compute_if_any(flag, compute, x, flag, x)


FLAGS = jnp.array([[True, False, False], [False, False, False]])
X = jnp.arange(6.0).reshape(2, 3)


def test_any_in_batch__covers_every_axis_of_nested_vmaps():
    result = jax.vmap(jax.vmap(any_in_batch))(FLAGS)
    assert result.all()
    assert not jax.vmap(any_in_batch)(jnp.zeros(3, bool)).any()


def test_compute_if_any__changes_only_flagged_members():
    expected = np.where(FLAGS, 2 * X, X)
    assert np.array_equal(jax.vmap(jax.vmap(double_if))(FLAGS, X), expected)
    assert np.array_equal(jax.jit(jax.vmap(double_if))(FLAGS[0], X[0]), expected[0])
    assert float(double_if(jnp.array(True), jnp.array(3.0))) == 6.0


def test_compute_if_any__stays_a_branch_under_vmap():
    """A batched predicate would turn the branch into a select of both sides."""
    jaxpr = jax.make_jaxpr(jax.vmap(jax.vmap(double_if)))(FLAGS, X)
    conds = [eqn for eqn in jaxpr.jaxpr.eqns if eqn.primitive.name == "cond"]
    assert len(conds) == 1
    assert conds[0].invars[0].aval.shape == ()


def test_compute_if_any__computes_without_a_branch_where_branches_do_not_pay(monkeypatch):
    monkeypatch.setattr(batching, "prefers_branches", lambda: False)
    jaxpr = jax.make_jaxpr(jax.vmap(jax.vmap(double_if)))(FLAGS, X)
    assert "cond" not in str(jaxpr)
    expected = np.where(FLAGS, 2 * X, X)
    assert np.array_equal(jax.vmap(jax.vmap(double_if))(FLAGS, X), expected)

"""What the inspection of programs sees; the common suite relies on it."""

import jax
import jax.numpy as jnp
import numpy as np
from lob_core.testing.programs import (
    count_branches,
    count_launches,
    custom_calls,
    host_primitives,
    lower_for_cuda,
)

SCHEDULED = """HloModule jit_run, is_scheduled=true

%skip (p.1: f32[8]) -> f32[8] {
  ROOT %p.1 = f32[8]{0} parameter(0)
}

%work (p.2: f32[8]) -> f32[8] {
  %p.2 = f32[8]{0} parameter(0)
  %fusion.1 = f32[8]{0} fusion(%p.2), kind=kLoop, calls=%fused_add
  ROOT %sort.1 = f32[8]{0} custom-call(%fusion.1), custom_call_target="sort"
}

%body (state: (s32[], f32[8])) -> (s32[], f32[8]) {
  %state = (s32[], f32[8]{0}) parameter(0)
  %i = s32[] get-tuple-element(%state), index=0
  %x = f32[8]{0} get-tuple-element(%state), index=1
  %conditional.1 = f32[8]{0} conditional(%i, %x, %x), branch_computations={%skip, %work}
  %add.1 = s32[] fusion(%i), kind=kLoop, calls=%fused_count
  ROOT %tuple.1 = (s32[], f32[8]{0}) tuple(%add.1, %conditional.1)
}

%condition (now: (s32[], f32[8])) -> pred[] {
  %now = (s32[], f32[8]{0}) parameter(0)
  ROOT %less = pred[] fusion(%now), kind=kLoop, calls=%fused_less
}

ENTRY %main (x: f32[8]) -> f32[8] {
  %x = f32[8]{0} parameter(0)
  %copy.1 = f32[8]{0} copy(%x)
  %tuple.2 = (s32[], f32[8]{0}) tuple(%copy.1)
  %while.1 = (s32[], f32[8]{0}) while(%tuple.2), condition=%condition, body=%body, BACKEND
  ROOT %end = f32[8]{0} get-tuple-element(%while.1), index=1
}
"""


def test_count_launches__multiplies_loops_and_takes_the_longest_branch():
    known = SCHEDULED.replace("BACKEND", 'backend_config={"known_trip_count":{"n":"5"}}')
    found = count_launches(known)
    assert found.innermost == 3  # a fusion and a sort in the longest branch, and a fusion
    assert found.total == 1 + 5 * (3 + 1)  # the copy; the condition is a fusion as well
    assert found.is_exact


def test_count_launches__says_when_the_length_of_a_loop_is_unknown():
    found = count_launches(SCHEDULED.replace(", BACKEND", ""))
    assert found.total == 1 + 3 + 1
    assert not found.is_exact


def test_count_launches__reads_what_xla_prints():
    def run(x):
        return jax.lax.scan(lambda x, _: (jnp.sort(jnp.cumsum(x)), None), x, length=7)[0]

    text = jax.jit(run).lower(jnp.arange(50.0)).compile().as_text()
    found = count_launches(text)
    assert found.is_exact
    assert found.innermost >= 2
    assert found.total >= 7 * found.innermost


def test_host_primitives__finds_callbacks_at_any_depth():
    def quiet(x):
        return jax.lax.scan(lambda x, _: (jnp.sin(x), None), x, length=3)[0]

    def loud(x):
        def step(x, _):
            shape = jax.ShapeDtypeStruct((), jnp.float32)
            branch = jax.lax.cond(
                x > 0, lambda: jax.pure_callback(np.sin, shape, x), lambda: jnp.cos(x)
            )
            return branch, None

        return jax.lax.scan(step, x, length=3)[0]

    assert host_primitives(quiet, 1.0) == []
    assert host_primitives(loud, 1.0) == ["pure_callback"]


def test_lowered_programs__show_callbacks_and_branches_but_not_choices_of_a_platform():
    def chosen(x):
        return jax.lax.platform_dependent(x, cpu=jnp.sin, default=jnp.cos)

    def branch(x):
        return jax.lax.cond(x > 0, chosen, jnp.tan, x)

    def callback(x):
        return jax.pure_callback(np.sin, jax.ShapeDtypeStruct((), jnp.float32), x)

    x = jax.ShapeDtypeStruct((), jnp.float32)
    programs = [lower_for_cuda(function, x) for function in (chosen, branch)]
    assert [count_branches(program) for program in programs] == [0, 1]
    assert [custom_calls(program) for program in programs] == [[], []]
    text = jax.jit(callback).lower(x).as_text()
    assert any("callback" in name for name in custom_calls(text))

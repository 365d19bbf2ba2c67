"""What XLA makes of an environment step for an H200, found out without one.

    JAX_PLATFORMS=cpu python bench/gpu_programs.py    # jax[cuda13] 0.11, and lob-core, marl-envs

Compiles a rollout of 1 + 1 agents for a described card and prints how many kernels a step starts
and what memory the program takes. Two names of JAX in it are not public.
"""

from __future__ import annotations

import sys
import types
from typing import Any

import jax
from gpu_parts.market import make_market
from gpu_parts.plan import FULL
from jax._src.pallas.triton import gpu_info, pallas_call_registration
from jax.experimental import topologies
from lob_core import engine
from lob_core.backends import pallas_gpu
from lob_core.testing.programs import count_launches
from marl_envs import batching
from marl_envs.testing import sample_actions

NUM_STEPS = 8
H200 = """
gpu_device_info {
  threads_per_block_limit: 1024  threads_per_warp: 32  threads_per_core_limit: 2048
  shared_memory_per_block: 49152  shared_memory_per_core: 233472
  shared_memory_per_block_optin: 232448
  core_count: 132  fpus_per_core: 128  clock_rate_ghz: 1.98
  block_dim_limit_x: 2147483647  block_dim_limit_y: 65535  block_dim_limit_z: 65535
  registers_per_core_limit: 65536  registers_per_block_limit: 65536
  memory_bandwidth: 4800000000000  l2_cache_size: 52428800  device_memory_size: 150000000000
  cuda_compute_capability { major: 9 }
}
platform_name: "CUDA"
dnn_version_info { major: 9 minor: 10 patch: 0 }
device_description_str: "NVIDIA H200"
"""


def main() -> None:
    """Compiles the step with each engine and prints what came out."""
    card = topologies.get_topology_desc(
        platform="cuda", topology_name="", topology="1x1x1", target_config=H200
    ).devices[0]
    known = gpu_info.get_gpu_info_from_version(gpu_info.GpuVersion.H200)
    pallas_call_registration.gpu_info_lib.get_gpu_info = lambda: known
    engine.local_devices = lambda: [types.SimpleNamespace(platform="gpu")]
    batching.prefers_branches = lambda: False
    for backend in ("pallas", "xla"):
        pallas_gpu.is_available = lambda backend=backend: backend == "pallas"
        for num_envs, messages in ((4000, 1), (65_536, 100)):
            compiled = compile_rollout(num_envs, messages, card)
            launches = count_launches(compiled.as_text())
            memory = compiled.memory_analysis()
            sys.stdout.write(
                f"{backend}, {num_envs} environments, {messages} messages: "
                f"{launches.innermost} kernels in the loop over steps, for one of {NUM_STEPS} "
                f"steps {launches.total / NUM_STEPS:.0f} in all; arguments "
                f"{memory.argument_size_in_bytes:,} bytes, temporary "
                f"{memory.temp_size_in_bytes:,}\n"
            )
            sys.stdout.flush()


def compile_rollout(num_envs: int, messages: int, card: Any) -> Any:
    """A rollout with random actions and auto-reset, compiled for the card."""
    env, params = make_market(FULL, messages, jax.devices("cpu")[0])

    def rollout(state: Any, key: jax.Array, params: Any) -> Any:
        def step(state: Any, key: jax.Array) -> Any:
            keys = jax.random.split(key, num_envs)
            action = jax.vmap(lambda key: sample_actions(env, key))(keys)
            obs, state, reward, *_ = jax.vmap(env.step, (0, 0, 0, None))(
                keys, state, action, params
            )
            return state, (obs, reward)

        return jax.lax.scan(step, state, jax.random.split(key, NUM_STEPS))

    where = jax.sharding.SingleDeviceSharding(card)

    def on_card(tree: Any) -> Any:
        return jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=where), tree)

    key = jax.eval_shape(lambda: jax.random.key(0))
    keys = jax.eval_shape(lambda: jax.random.split(jax.random.key(0), num_envs))
    _, state = jax.eval_shape(jax.vmap(env.reset, (0, None)), keys, params)
    traced = jax.jit(rollout, donate_argnums=0).trace(*map(on_card, (state, key, params)))
    return traced.lower(lowering_platforms=("cuda",)).compile()


if __name__ == "__main__":
    main()

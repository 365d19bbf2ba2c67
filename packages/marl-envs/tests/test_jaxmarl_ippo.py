"""JaxMARL's own IPPO script, unchanged, learns in the market.

The script is part of JaxMARL's repository and not of its package: `JAXMARL_REPO` names a checkout.
It needs distrax, whose tensorflow-probability must be recent enough for the installed JAX.
"""

import importlib.util
import os
import sys
import types
from pathlib import Path

import jax
import numpy as np
import pytest
from marl_envs import AgentSpec, EnvConfig, MarketEnv

SCRIPT = Path("baselines", "IPPO", "ippo_ff_mpe.py")
CONFIG = {
    "ENV_NAME": "lob_market",
    "ENV_KWARGS": {},
    "NUM_ENVS": 4,
    "NUM_STEPS": 8,
    "TOTAL_TIMESTEPS": 64,
    "NUM_MINIBATCHES": 2,
    "UPDATE_EPOCHS": 1,
    "ACTIVATION": "tanh",
    "ANNEAL_LR": True,
    "MAX_GRAD_NORM": 0.5,
    "LR": 1e-3,
    "GAMMA": 0.99,
    "GAE_LAMBDA": 0.95,
    "CLIP_EPS": 0.2,
    "ENT_COEF": 0.01,
    "VF_COEF": 0.5,
}


@pytest.mark.slow
def test_jaxmarl_ippo__learns_in_the_market_unchanged(monkeypatch):
    folder = os.environ.get("JAXMARL_REPO")
    if not folder:
        pytest.skip("JAXMARL_REPO does not name a checkout of JaxMARL")
    pytest.importorskip("jaxmarl")
    pytest.importorskip("distrax", exc_type=Exception)
    from marl_envs.adapters.jaxmarl import JaxMarlEnv, registered

    logged = []
    wandb = types.ModuleType("wandb")
    wandb.log = logged.append
    monkeypatch.setitem(sys.modules, "wandb", wandb)
    spec = importlib.util.spec_from_file_location("ippo_ff_mpe", Path(folder, SCRIPT))
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)

    agents = (AgentSpec("market_maker"), AgentSpec("execution", settings={"task_size": 40}))
    market = MarketEnv(EnvConfig(agents=agents, num_steps=4, messages_per_step=4, num_slots=24))
    params = market.make_params(num_openings=3)
    with registered("lob_market", lambda: JaxMarlEnv(market, params)):
        train = script.make_train(dict(CONFIG))
        result = jax.block_until_ready(jax.jit(train)(jax.random.key(0)))
    assert len(logged) == 2
    assert np.isfinite(np.asarray(result["metrics"]["total_loss"])).all()
    assert np.asarray(result["metrics"]["returned_episode_lengths"]).max() > 0

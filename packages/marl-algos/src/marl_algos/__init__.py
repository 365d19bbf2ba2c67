"""Multi-agent reinforcement learning for limit order book markets, in JAX."""

from marl_algos.runs.clock import STARTED  # isort: split

from marl_algos.learners.dqn import DQN
from marl_algos.learners.ippo import PPO
from marl_algos.learners.maddpg import MADDPG
from marl_algos.learners.mappo import make_mappo
from marl_algos.learners.registry import make_learner
from marl_algos.learners.value_mixing import make_qmix, make_vdn
from marl_algos.settings import NetworkConfig, PPOConfig, TypeConfig
from marl_algos.settings_replay import DQNConfig, MADDPGConfig, MixingConfig

__all__ = [
    "DQN",
    "MADDPG",
    "PPO",
    "STARTED",
    "DQNConfig",
    "MADDPGConfig",
    "MixingConfig",
    "NetworkConfig",
    "PPOConfig",
    "TypeConfig",
    "make_learner",
    "make_mappo",
    "make_qmix",
    "make_vdn",
]

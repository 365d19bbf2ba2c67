"""Multi-agent reinforcement learning for limit order book markets, in JAX."""

from marl_algos.clock import STARTED
from marl_algos.dqn import DQN
from marl_algos.ippo import PPO
from marl_algos.learners import make_learner
from marl_algos.maddpg import MADDPG
from marl_algos.mappo import make_mappo
from marl_algos.settings import NetworkConfig, PPOConfig, TypeConfig
from marl_algos.settings_replay import DQNConfig, MADDPGConfig, MixingConfig
from marl_algos.value_mixing import make_qmix, make_vdn

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

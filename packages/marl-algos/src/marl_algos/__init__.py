"""Multi-agent reinforcement learning for limit order book markets, in JAX."""

from marl_algos.ippo import PPO
from marl_algos.mappo import make_mappo
from marl_algos.settings import NetworkConfig, PPOConfig, TypeConfig

__all__ = ["PPO", "NetworkConfig", "PPOConfig", "TypeConfig", "make_mappo"]

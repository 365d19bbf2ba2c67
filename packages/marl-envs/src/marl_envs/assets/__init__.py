"""Several assets in one environment: a book for each, agents in one book and agents across all."""

from marl_envs.assets.env import AssetsConfig, AssetsEnv, AssetsState, PortfolioSpec
from marl_envs.assets.schemes import Allocation, IndexArbitrage, IndexArbitrageRule, PortfolioScheme

__all__ = [
    "Allocation",
    "AssetsConfig",
    "AssetsEnv",
    "AssetsState",
    "IndexArbitrage",
    "IndexArbitrageRule",
    "PortfolioScheme",
    "PortfolioSpec",
]

"""Rule-based agents that act inside the market; importing this package registers their kinds."""

from marl_envs.population import kinds

__all__ = ["kinds"]

"""Market quality, realism, equilibrium and reports for multi-agent order book runs."""

from lob_analysis.agents.compare import compare_groups, group_runs
from lob_analysis.agents.results import compare_policies
from lob_analysis.errors import AnalysisError, RunError
from lob_analysis.pages.report import report
from lob_analysis.runs.load import Run, find_run, load_run
from lob_analysis.statistics.comparisons import probability_of_improvement
from lob_analysis.statistics.estimates import (
    Estimate,
    bootstrap,
    interquartile_mean,
    paired_difference,
    sharpe,
    two_way_bootstrap,
)

__all__ = [
    "AnalysisError",
    "Estimate",
    "Run",
    "RunError",
    "bootstrap",
    "compare_groups",
    "compare_policies",
    "find_run",
    "group_runs",
    "interquartile_mean",
    "load_run",
    "paired_difference",
    "probability_of_improvement",
    "report",
    "sharpe",
    "two_way_bootstrap",
]

"""A small made-up run folder, for tests, examples and trying out the report."""

from lob_analysis.testing.runs import POLICIES, RECORDED, write_run
from lob_analysis.testing.studies import write_populations, write_studies

__all__ = ["POLICIES", "RECORDED", "write_populations", "write_run", "write_studies"]

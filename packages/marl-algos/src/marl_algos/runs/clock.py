"""When the process began, as far as this package can tell."""

import time
from typing import Final

STARTED: Final = time.perf_counter()
"""Time of the first import: the package imports this module before all others and before JAX."""

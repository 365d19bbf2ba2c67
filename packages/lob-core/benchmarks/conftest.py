import sys
from pathlib import Path

from lob_core.runtime import configure_cpu

sys.path.insert(0, str(Path(__file__).parent))  # for while_loop_engine
configure_cpu()

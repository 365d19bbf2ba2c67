"""Makes a notebook of every percent file here, executes it, and says how long each took.

    python packages/analysis/notebooks/run.py            # all of them
    python packages/analysis/notebooks/run.py 03 07      # those whose names begin so

The executed notebooks go to `executed/` beside this file. The first error ends the run with exit
code 1 and names notebook and cell.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import jupytext
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError

FOLDER = Path(__file__).parent
OUTPUT = FOLDER / "executed"
CELL_TIMEOUT = 600
"""Seconds that one cell may take."""


def sources(prefixes: list[str]) -> list[Path]:
    """Notebooks to execute, in order.

    Raises:
        SystemExit: if a prefix names no notebook.
    """
    found = sorted(FOLDER.glob("[0-9][0-9]_*.py"))
    unknown = [prefix for prefix in prefixes if not any(p.name.startswith(prefix) for p in found)]
    if unknown:
        raise SystemExit(f"no notebook begins with {unknown}; there are {[p.stem for p in found]}")
    return [path for path in found if not prefixes or path.name.startswith(tuple(prefixes))]


def execute(source: Path) -> float:
    """Executes one notebook and writes it with its outputs.

    Returns:
        Seconds that it took.

    Raises:
        SystemExit: if a cell fails, after what was executed has been written.
    """
    notebook = jupytext.read(source)
    resources = {"metadata": {"path": str(FOLDER)}}
    client = NotebookClient(notebook, timeout=CELL_TIMEOUT, resources=resources)
    begin, index = time.perf_counter(), 0
    try:
        with client.setup_kernel():
            for index, cell in enumerate(notebook.cells):
                client.execute_cell(cell, index)
    except (CellExecutionError, CellTimeoutError, DeadKernelError) as error:
        raise SystemExit(f"{source.name}, cell {index}: {error}") from error
    finally:
        jupytext.write(notebook, OUTPUT / f"{source.stem}.ipynb")
    return time.perf_counter() - begin


def main() -> None:
    """Executes the notebooks named by the arguments, or all."""
    os.environ.setdefault("PLOTLY_RENDERER", "notebook+plotly_mimetype")  # Jupyter and the docs
    OUTPUT.mkdir(exist_ok=True)
    for source in sources(sys.argv[1:]):
        print(f"{source.stem:26s} {execute(source):6.1f} s", flush=True)


if __name__ == "__main__":
    main()

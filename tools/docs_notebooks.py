"""A notebook as a page: its text, its code, and its outputs where it has been executed."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import jupytext

PLOTLY = "application/vnd.plotly.v1+json"
_DISPLAY = re.compile(r"\s*\$\$\s*(.+?)\s*\$\$\s*", re.DOTALL)
SCRIPT = "assets/plotly.min.js"
"""Where the page finds plotly."""


def notebook_page(source: Path, executed: Path, plotly: str) -> str:
    """Markdown of a notebook.

    Args:
        source: percent file.
        executed: the same with outputs; it may not exist, or be of an older source.
        plotly: address of plotly's script from the page.

    Returns:
        The page. Outputs are shown if the executed cells are those of the source.
    """
    notebook = jupytext.read(source)
    outputs: list[list[Any]] = [[] for _ in notebook.cells]
    if executed.is_file():
        done = jupytext.read(executed)
        if [cell.source for cell in done.cells] == [cell.source for cell in notebook.cells]:
            outputs = [list(cell.get("outputs", [])) for cell in done.cells]
    parts = []
    for number, (cell, shown) in enumerate(zip(notebook.cells, outputs, strict=True)):
        if cell.cell_type == "markdown":
            parts.append(_DISPLAY.sub(r"\n\n$$\n\1\n$$\n\n", cell.source))
            continue
        parts.append(f"```python\n{cell.source}\n```")
        parts += [_output(item, f"output-{number}-{i}") for i, item in enumerate(shown)]
    if not any(outputs):
        parts.insert(1, "*Not executed here: `nox -s notebooks` adds the outputs.*")
    elif any(PLOTLY in item.get("data", {}) for shown in outputs for item in shown):
        parts.insert(1, f'<script src="{plotly}"></script>')
    return "\n\n".join(parts) + "\n"


def _output(output: Any, key: str) -> str:
    """One output of a cell as HTML or a block of text; nothing for kinds that cannot be shown."""
    if output.output_type == "stream":
        return f"```text\n{output.text.rstrip()}\n```"
    data = output.get("data", {})
    if PLOTLY in data:
        figure = json.dumps({"data": data[PLOTLY]["data"], "layout": data[PLOTLY]["layout"]})
        figure = figure.replace("</", "<\\/")
        call = f'Plotly.newPlot("{key}", Object.assign({figure}, {{config: {{responsive: true}}}}))'
        return f'<div id="{key}"></div><script>{call}</script>'
    if "image/png" in data:
        return f'<img alt="output" src="data:image/png;base64,{data["image/png"].strip()}">'
    if "text/plain" in data:
        return f"```text\n{data['text/plain'].rstrip()}\n```"
    return ""

"""One self-contained page about a run: opens offline, on a phone too."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

import plotly.offline
from polars.exceptions import PolarsError

from lob_analysis.agents.results import PolicyResult
from lob_analysis.pages import matrix_section, population_section, sections, study_sections
from lob_analysis.pages.markup import escape
from lob_analysis.pages.trading_section import trading_section
from lob_analysis.pages.verdicts import headlines, sentences
from lob_analysis.runs.load import Run, load_run

REPORT: Final = "report.html"

_CSS: Final = """
:root{color-scheme:light}
*{box-sizing:border-box}
body{margin:0 auto;max-width:60rem;padding:1rem;font:16px/1.5 system-ui,sans-serif;color:#24292f;
background:#fff}
h1{font-size:1.5rem;margin:.2rem 0}h2{font-size:1.2rem;margin:2.2rem 0 .6rem;padding-top:.6rem;
border-top:1px solid #e6e8eb}h3{font-size:1rem;margin:1.2rem 0 .3rem}h4{font-size:.9rem;
margin:1rem 0 .2rem}
.status{display:inline-block;padding:.1rem .6rem;border-radius:1rem;font-size:.85rem;
background:#e6e8eb}.status.finished{background:#d8f0e3;color:#14603e}
.status.failed,.status.running{background:#fdecc8;color:#7a4d00}
.lead{font-size:1.02rem}.lead li{margin:.25rem 0}.lead ul{padding-left:1.2rem}
.notice{background:#fdf3dc;border-left:4px solid #d9822b;padding:.6rem .8rem;margin:.5rem 0}
.note,figcaption,small{color:#5b616b}.note,figcaption{font-size:.88rem}
figure{margin:1rem 0 1.6rem}figcaption{margin-top:.2rem}figure h3{margin-bottom:0}
.wide{overflow-x:auto}table{border-collapse:collapse;width:100%;font-size:.9rem;
font-variant-numeric:tabular-nums}
th,td{text-align:left;padding:.3rem .6rem .3rem 0;border-bottom:1px solid #e6e8eb;
vertical-align:top}th{font-weight:600;color:#5b616b;font-size:.82rem}
.n{text-align:right;white-space:nowrap}.good{color:#14703f;font-weight:600}
.bad{color:#b3261e;font-weight:600}
details{margin:.8rem 0}summary{cursor:pointer;color:#1f5fa8;padding:.3rem 0}
pre{overflow-x:auto;background:#f6f8fa;padding:.8rem;font-size:.82rem}
td small{white-space:nowrap}
@media(max-width:40rem){body{padding:.7rem;font-size:15px}table{font-size:.82rem}
td small{display:block}th,td{padding-right:.5rem}th.n{white-space:normal}.modebar{display:none}}
"""

_SCRIPT: Final = """
document.querySelectorAll('details').forEach(function(part){
  part.addEventListener('toggle',function(){
    if(part.open){part.querySelectorAll('.plotly-graph-div').forEach(function(plot){
      Plotly.Plots.resize(plot);});}
  });
});
if(window.matchMedia('(pointer: coarse)').matches){
  document.querySelectorAll('.plotly-graph-div').forEach(function(plot){
    Plotly.relayout(plot,{dragmode:false});
  });
}
"""


def page(title: str, body: str) -> str:
    """A whole page with style and plotly inlined once."""
    return (
        "<!DOCTYPE html><html lang=en><head><meta charset=utf-8>"
        '<meta name=viewport content="width=device-width, initial-scale=1">'
        '<link rel=icon href="data:,">'
        f"<title>{escape(title)}</title><style>{_CSS}</style>"
        f"<script>{plotly.offline.get_plotlyjs()}</script></head>"
        f"<body>{body}<script>{_SCRIPT}</script></body></html>\n"
    )


def render(run: Run, results: dict[str, list[PolicyResult]] | None = None) -> str:
    """The report of a run as HTML.

    Args:
        run: the run.
        results: its results, if they have been computed; see `verdicts.headlines`.
    """
    found = headlines(run) if results is None else results
    notices = "".join(f"<p class=notice>{escape(text)}</p>" for text in run.notices)
    lines = "".join(f"<li>{escape(line)}</li>" for line in sentences(found))
    lead = f"<div class=lead><ul>{lines}</ul></div>" if lines else ""
    status = escape(run.status)
    head = (
        f"<header><h1>{escape(run.name)} "
        f"<span class='status {status}'>{status}</span></h1>{notices}{lead}</header>"
    )
    parts: dict[str, Callable[[], str]] = {
        "Results": lambda: sections.result_section(run, found),
        "Who plays against whom": lambda: matrix_section.matrix_section(run),
        "How they traded": lambda: trading_section(run),
        "An episode": lambda: sections.episode_section(run),
        "Deviations": lambda: study_sections.exploitability_section(run),
        "Attacks and stress": lambda: study_sections.robustness_section(run),
        "Transfer": lambda: study_sections.transfer_section(run),
        "The population": lambda: population_section.population_section(run),
        "Learning": lambda: sections.learning_section(run, found),
        "Counters": lambda: sections.counter_section(run),
        "Facts": lambda: sections.facts_section(run),
    }
    body = "".join(_shown(title, make) for title, make in parts.items())
    return page(f"Run {run.name}", f"{head}<main>{body}</main>")


def _shown(title: str, make: Callable[[], str]) -> str:
    """A part of the page, or a notice in its place if the run does not hold what it needs."""
    try:
        return make()
    except (KeyError, IndexError, TypeError, ValueError, PolarsError) as error:
        reason = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
        return (
            f"<p class=notice>{escape(title)} cannot be shown, because a file of the run holds "
            f"something else than it should ({escape(reason)}). Write it again with this version."
            "</p>"
        )


def write_text(path: Path, text: str) -> Path:
    """Writes a file whole or not at all: a reader never sees half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial-{os.getpid()}")
    try:
        partial.write_text(text, encoding="utf-8")
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    return path


def report(run: Run | Path | str, out: Path | str | None = None) -> Path:
    """Writes the report of a run.

    Args:
        run: a run, or its folder.
        out: file to write; None takes `report.html` in the run folder.

    Returns:
        The file.

    Raises:
        RunError: if the folder holds nothing of a run.
    """
    loaded = run if isinstance(run, Run) else load_run(run)
    return write_text(Path(out) if out else loaded.path / REPORT, render(loaded))

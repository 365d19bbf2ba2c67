"""Hook of MkDocs: makes a page of every README, docs file, module, example and notebook.

Nothing is copied by hand. A link from one source to another becomes a link between their pages, a
link to another file of the repository becomes plain text, and a link to nothing is an error.
"""

from __future__ import annotations

import ast
import os
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import plotly.offline
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files

sys.path.insert(0, str(Path(__file__).parent))

from docs_notebooks import SCRIPT, notebook_page

ROOT = Path(__file__).parent.parent
PACKAGES = ("lob-core", "lob-data", "marl-envs", "marl-algos", "analysis")
GUIDES = ("ARCHITECTURE.md", "CONTRIBUTING.md", "BENCHMARKING.md")
_LINK = re.compile(r"(!?)\[([^\]]*)\]\(([^)\s]+)\)")
_CODE = re.compile(r"(^```.*?^```|`[^`\n]*`)", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Page:
    """One page of the site.

    Attributes:
        source: file of the repository that it shows.
        address: path within the site, ending in `.md`.
        title: in the navigation; empty takes that of the page.
    """

    source: Path
    address: str
    title: str = ""


def modules(package: str) -> list[Path]:
    """Public modules of a package, each package before what it holds."""
    source = ROOT / "packages" / package / "src"
    found = [
        path
        for path in source.rglob("*.py")
        if not any(
            part.startswith("_") and part != "__init__.py"
            for part in path.relative_to(source).parts
        )
    ]
    return sorted(found, key=module_name)


def module_name(path: Path) -> str:
    """Dotted name of a module file."""
    parts = path.relative_to(next(p for p in path.parents if p.name == "src")).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def outline() -> list[tuple[str, list[Page]]]:
    """The site: titles of its parts with their pages in order."""
    docs = ROOT / "docs"
    parts = [
        (
            "Start",
            [Page(ROOT / "README.md", "index.md", "Start")]
            + [Page(ROOT / name, name.lower(), name.split(".")[0].capitalize()) for name in GUIDES]
            + [Page(path, path.name) for path in sorted(docs.glob("*.md"))],
        ),
        ("Environments", [Page(p, f"envs/{p.name}") for p in sorted(docs.glob("envs/*.md"))]),
    ]
    for package in PACKAGES:
        folder = ROOT / "packages" / package
        pages = [Page(folder / "README.md", f"packages/{package}/index.md", package)]
        pages += [
            Page(path, f"packages/{package}/{path.name}")
            for path in sorted(folder.glob("docs/*.md"))
        ]
        pages.append(Page(folder / "CHANGELOG.md", f"packages/{package}/changelog.md", "Changes"))
        pages += [
            Page(path, f"packages/{package}/api/{module_name(path)}.md", module_name(path))
            for path in modules(package)
        ]
        parts.append((package, pages))
    notebooks = sorted((ROOT / "packages/analysis/notebooks").glob("[0-9][0-9]_*.py"))
    parts.append(("Notebooks", [Page(p, f"notebooks/{p.stem}.md") for p in notebooks]))
    examples = sorted((ROOT / "examples").glob("*.py"))
    parts.append(("Examples", [Page(p, f"examples/{p.stem}.md", p.stem) for p in examples]))
    decisions = sorted(docs.glob("decisions/*.md"))
    parts.append(("Decisions", [Page(p, f"decisions/{p.name}") for p in decisions]))
    return parts


def content(page: Page) -> str:
    """Markdown of a page before its links are followed."""
    if "/api/" in page.address:
        name = module_name(page.source)
        return f"# `{name}`\n\n::: {name}\n"
    if page.address.startswith("notebooks/"):
        executed = page.source.parent / "executed" / f"{page.source.stem}.ipynb"
        return notebook_page(page.source, executed, f"../{SCRIPT}")
    if page.source.suffix == ".py":
        text = page.source.read_text(encoding="utf-8")
        first = (ast.get_docstring(ast.parse(text)) or page.title).splitlines()[0]
        return f"# {first}\n\n`{page.source.relative_to(ROOT)}`\n\n```python\n{text}```\n"
    return page.source.read_text(encoding="utf-8")


def followed(text: str, page: Page, addresses: dict[Path, str]) -> str:
    """Text whose links to files of the repository lead to their pages.

    Raises:
        PluginError: if a link leads nowhere.
    """

    def replace(match: re.Match[str]) -> str:
        mark, label, link = match.groups()
        if re.match(r"[a-z]+:|#", link):
            return match.group()
        name, _, anchor = link.partition("#")
        target = (page.source.parent / name).resolve()
        if not target.exists():
            raise PluginError(f"{page.source.relative_to(ROOT)}: {link} leads nowhere")
        address = addresses.get(target)
        if address is None:
            return f"{label} (`{target.relative_to(ROOT)}`)" if not mark else match.group()
        relative = os.path.relpath(address, Path(page.address).parent)
        return f"{mark}[{label}]({relative}{'#' + anchor if anchor else ''})"

    pieces = _CODE.split(text)
    return "".join(
        piece if _CODE.fullmatch(piece) else _LINK.sub(replace, piece) for piece in pieces
    )


def on_config(config: Any) -> Any:
    """Writes the navigation."""
    nav = []
    for title, pages in outline():
        entries: list[Any] = []
        reference: list[Any] = []
        for page in pages:
            entry: Any = {page.title: page.address} if page.title else page.address
            (reference if "/api/" in page.address else entries).append(entry)
        if reference:
            entries.append({"Reference": reference})
        nav.append({title: entries})
    config["nav"] = nav
    return config


def on_files(files: Files, config: Any) -> Files:
    """Replaces what lies in the docs folder by the pages of the outline."""
    for file in list(files):
        if file.is_documentation_page():
            files.remove(file)
    pages = [page for _, part in outline() for page in part]
    addresses = {page.source.resolve(): page.address for page in pages}
    for page in pages:  # a link to a folder leads to its first page
        addresses.setdefault(page.source.parent.resolve(), page.address)
    for page in pages:
        text = followed(content(page), page, addresses)
        files.append(File.generated(config, page.address, content=text))
    script = plotly.offline.get_plotlyjs()
    files.append(File.generated(config, SCRIPT, content=script))
    return files

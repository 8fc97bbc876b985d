"""Sphinx's settings of the documentation: `make site` builds it into site/ (decision 066).

Pages are Markdown that also reads well in the repository. Nothing is loaded from other hosts.
"""

import re
import sys
from os.path import normpath, relpath
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from llmproxy import __version__  # noqa: E402 - the folder above is not installed everywhere

project = "LLMProxy"
author = copyright = "The LLMProxy authors"
version = release = __version__

extensions = ["myst_parser"]
myst_enable_extensions = ["alert", "fieldlist"]
myst_heading_anchors = 4
source_suffix = {".md": "markdown"}
exclude_patterns = ["_*"]
nitpicky = True

html_theme = "furo"
html_title = f"LLMProxy {version}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sphinx = False
html_permalinks_icon = "#"
pygments_style = "a11y-high-contrast-light"
pygments_dark_style = "a11y-high-contrast-dark"

# Files of the repository's root that are pages of the site, too: file -> page.
FROM_ROOT = {
    "README.md": "index.md",
    "CHANGELOG.md": "project/changelog.md",
    "CONTRIBUTING.md": "project/contributing.md",
    "SECURITY.md": "project/reporting.md",
    "bench/RESULTS.md": "project/results.md",
}
INDEXES = ("index", "README")
NAMED_LINK = re.compile(r"\[([^\]]+)\]\((?!\w+:)([^)\s#]+)\)")
LINK = re.compile(r"\]\((?!\w+:)([^)\s#]+)")


def show_root_files(_: Any, docname: str, source: list[str]) -> None:
    """Replace a stub under project/ by its file, and point links to such files at their pages."""
    page = f"{docname}.md"
    file = next((file for file, shown in FROM_ROOT.items() if shown == page != "index.md"), None)
    text = (ROOT / file).read_text(encoding="utf-8") if file else source[0]
    folder = Path(file or f"docs/{page}").parent

    def moved(link: re.Match[str]) -> str:
        target = normpath(folder / link[1])
        target = str(Path("docs", FROM_ROOT[target])) if target in FROM_ROOT else target
        return f"]({relpath(target, Path('docs', page).parent)}"

    def without_folder(link: re.Match[str]) -> str:
        is_folder = (ROOT / normpath(folder / link[2])).is_dir()
        return link[1] if is_folder else link[0]  # the site has files, and no list of a folder

    source[0] = LINK.sub(moved, NAMED_LINK.sub(without_folder, text))


def add_contents(_: Any, docname: str, source: list[str]) -> None:
    """Give the index of a folder its tree of contents: the pages and folders in its tables."""
    if Path(docname).name not in INDEXES:
        return
    folder = Path(docname).parent
    rows = "\n".join(line for line in source[0].splitlines() if line.startswith("|"))
    linked = [normpath(folder / link).removesuffix(".md") for link in LINK.findall(rows)]
    parts = [name for name in dict.fromkeys(linked) if name != docname and parent(name) == folder]
    if parts:
        listed = "\n".join(f"/{name}" for name in parts)
        source[0] += f"\n```{{toctree}}\n:hidden:\n\n{listed}\n```\n"


def parent(page: str) -> Path:
    """Return the folder in whose index a page belongs."""
    path = Path(page)
    return path.parent.parent if path.name in INDEXES else path.parent


def setup(app: Any) -> None:
    """Connect the functions above; Sphinx calls this."""
    app.connect("source-read", show_root_files)
    app.connect("source-read", add_contents)

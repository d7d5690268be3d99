"""Pages of the API reference, generated while the site is built (mkdocs hook): every public name, from its docstring.

A page docs/reference/NAME.md holds examples; after them comes, for each name of the namespace, what its docstring says.
"""

from __future__ import annotations

import importlib
from typing import Any

import dfpde

MARK = "<!-- names -->"
#: A name that several pages have is described on the first of them.
PAGES = ("dfpde", *(name for name in sorted(dfpde._NAMESPACES)), "errors", "case_files")


def names_of(page: str) -> list[str]:
    """Dotted paths where the names of a reference page are defined: those of `dfpde` itself, or of a namespace."""
    if page == "dfpde":
        return [_path(f"dfpde.{home}", name) for name, home in sorted(dfpde._NAMES.items())]
    if page == "errors":
        return ["dfpde.errors"]
    if page == "case_files":
        return ["dfpde.cases.case.Case", "dfpde.cases.case.Setup"]
    home = f"dfpde.{dfpde._NAMESPACES[page]}"
    return [_path(home, name) for name in importlib.import_module(home).__all__]


def _path(home: str, name: str) -> str:
    """Where a name is defined: classes and functions say so, others are found by imports."""
    try:
        thing = getattr(importlib.import_module(home), name)
    except dfpde.DfpdeError:  # KSP without petsc4py
        return f"{home}.{name.lower()}.{name}"
    if getattr(thing, "__qualname__", "") == name:
        return f"{thing.__module__}.{name}"
    return f"{home}.{name}"


def section(page: str) -> str:
    """The names of a page: links to those that an earlier page describes, directives for the others."""
    first = {path: other for other in reversed(PAGES) for path in names_of(other)}
    elsewhere, here = [], []
    for path in names_of(page):
        name = path.rpartition(".")[2]
        if first[path] == page:
            here.append(f"::: {path}")
        else:
            elsewhere.append(f"[`{name}`]({first[path]}.md#{path})")
    links = f"On other pages: {', '.join(elsewhere)}.\n\n" if elsewhere else ""
    return links + "\n\n".join(here)


def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> str:
    """Replace the mark of a reference page by its names."""
    folder, _, name = page.file.src_uri.removesuffix(".md").rpartition("/")
    if folder != "reference" or MARK not in markdown:
        return markdown
    return markdown.replace(MARK, section(name))

"""What mkdocs does beyond its plugins: pages of the API reference from docstrings, and no script of other hosts.

A page docs/reference/NAME.md holds examples; after them comes, for each name of the namespace, what its docstring says.
"""

from __future__ import annotations

import importlib
import re
from typing import Any

import dfpde

MARK = "<!-- names -->"
#: The script for search on pages read from the disk: where the plugin `offline` wants it from, and our copy.
SHIM, OWN_SHIM = "https://unpkg.com/iframe-worker/shim", "assets/iframe-worker.js"
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


def on_post_page(output: str, page: Any, config: Any) -> str:
    """The finished page, with our copy of the script for search.

    Raises
    ------
    ValueError
        Markdown took asterisks of a formula or a shape in a docstring for emphasis, and dropped them.
    """
    for words in re.findall(r"<em>(.*?)</em>", output, re.DOTALL) if page.file.src_uri.startswith("reference/") else ():
        if re.search(r"[^\w -]", words):
            raise ValueError(f"{page.file.src_uri} loses asterisks around {words!r}: write formulas in backticks")
    return _from_here(output, "../" * page.file.dest_uri.count("/"))


def on_post_template(output_content: str, template_name: str, config: Any) -> str:
    """The same for 404.html, whose own addresses begin at the root of a server: the site may lie in a folder."""
    if not template_name.endswith(".html"):
        return output_content
    output_content = re.sub(r'\b(href|src)="/(?!/)', r'\1="', output_content)
    return _from_here(output_content.replace('"base": "/"', '"base": "."'), "")


def _from_here(output: str, root: str) -> str:
    """A page that loads nothing from other hosts.

    Raises
    ------
    ValueError
        It would: a warning would not stop the build.
    """
    output = output.replace(SHIM, root + OWN_SHIM)
    foreign = re.findall(r'<(?:script|link|img)[^>]*(?:src|href)="?(https?://[^" >]+)', output)
    if foreign:
        raise ValueError(f"a page loads {foreign[0]}: keep a copy in docs/assets")
    return output

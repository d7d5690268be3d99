"""A run as one HTML page that needs no other file: figures, film, tables, manifest, citation."""

from __future__ import annotations

import base64
import io
import json
import math
import tempfile
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path
from typing import Any

from ..runs.describe import leaves
from . import pictures
from .stored import Stored

CAPTIONS = {
    "field": "The field Φ(θ) at output times.",
    "film": "The field over all output times.",
    "error": "Relative error ‖Φ(θ) − u‖/‖u‖ in the norm of the quadrature.",
    "history": "Every accepted step: step size, defect ‖Jθ̇ − f‖, estimated error of the step, ε.",
    "spectrum": "Singular values of the tangent at the last output; the regularization decides what lies below ε.",
}

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #222; max-width: 1060px; margin: 2em auto; padding: 0 1em }
h1 { font-size: 1.5em; margin-bottom: 0 } h2 { font-size: 1.15em; margin-top: 2em; border-bottom: 1px solid #ccc }
table { border-collapse: collapse; font-variant-numeric: tabular-nums } figure { margin: 1em 0 }
td, th { padding: .15em .8em; text-align: right; border-bottom: 1px solid #eee } th { font-weight: 600 }
td:first-child, th:first-child { text-align: left } .scroll { max-height: 24em; overflow: auto }
img { max-width: 100%; height: auto } figcaption, .note { color: #666; font-size: .9em }
pre { background: #f6f6f6; padding: .8em; overflow: auto; font-size: .85em }
"""


def page(stored: Stored) -> str:
    """The whole page."""
    manifest = stored.manifest
    title = manifest["parameters"].get("title", stored.directory.resolve().name)
    text = json.dumps(manifest, indent=1)
    parts = [
        f"<h1>{escape(str(title))}</h1>",
        f'<p class="note">{escape(str(stored.directory.resolve()))}, status: {escape(str(manifest["status"]))}</p>',
        _section("Summary", _pairs(_summary(stored))),
        _section("Pictures", "\n".join(_picture(name, kind, data) for name, kind, data in _images(stored))),
        _section("Output times", _outputs(stored)),
        _section("Method", _pairs(list(leaves(manifest.get("method", {})).items()))),
        _section("Problem", _pairs(list(leaves(manifest.get("problem", {})).items()))),
        _section("Sessions", _sessions(manifest)),
        _section("Citation", "<ul>" + "".join(f"<li>{escape(text)}</li>" for text in manifest["citation"]) + "</ul>"),
        _section("Manifest", f"<details><summary>JSON</summary><pre>{escape(text)}</pre></details>"),
    ]
    body = "\n".join(part for part in parts if part)
    return (
        f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(str(title))}</title>\n'
        f'<link rel="icon" href="data:,"><style>{STYLE}</style></head>\n<body>\n{body}\n</body></html>\n'
    )


def _images(stored: Stored) -> Iterable[tuple[str, str, bytes]]:
    """(name, type, content) of all pictures, the film after the field."""
    for name, figure in pictures.figures(stored).items():
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", dpi=100)
        yield name, "png", buffer.getvalue()
        if name == "field":
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder) / "film.gif"
                if pictures.film(stored, path):
                    yield "film", "gif", path.read_bytes()


def _picture(name: str, kind: str, data: bytes) -> str:
    source = base64.b64encode(data).decode()
    caption = escape(CAPTIONS.get(name, name))
    image = f'<img alt="{caption}" src="data:image/{kind};base64,{source}">'
    return f"<figure>{image}<figcaption>{caption}</figcaption></figure>"


def _section(title: str, content: str) -> str:
    return f"<h2>{escape(title)}</h2>\n{content}" if content else ""


def _summary(stored: Stored) -> list[tuple[str, Any]]:
    manifest = stored.manifest
    rows: list[tuple[str, Any]] = []
    if stored.states:
        last = stored.states[-1]
        rows += [("t", last.t), ("accepted steps", last.step), ("rejected steps", last.statistics.rejected)]
        rows += [("parameters", last.theta.size), ("relative defect of the last step", last.statistics.relative_defect)]
        error = stored.errors()[-1]
        rows += [] if error is None else [("relative error at the end", error)]
    rows += [("started", manifest["started"]), ("seconds of the last session", manifest["seconds"])]
    rows += [("ranks", manifest["mpi"]["size"]), ("revision", manifest["revision"] or "not under git")]
    rows += [("unreadable", text) for text in stored.damaged]
    return rows


def _outputs(stored: Stored) -> str:
    heads = ["t", "step", "dt", "relative defect", "error of a step", "ε", "effective dimension", "relative error"]
    rows = []
    for state, error in zip(stored.states, stored.errors(), strict=True):
        s = state.statistics
        step = s.error if s.dt > 0 else None  # a start's error is the misfit of its fit
        rows.append([state.t, state.step, s.dt, s.relative_defect, step, s.eps, s.effective_dimension, error])
    if all(row[-1] is None for row in rows):  # no solution is known
        heads, rows = heads[:-1], [row[:-1] for row in rows]
    return f'<div class="scroll">{_table(heads, rows)}</div>' if rows else ""


def _sessions(manifest: dict[str, Any]) -> str:
    heads = ["started", "status", "ranks", "seconds", "up to t", "up to step"]
    rows = []
    for entry in [*manifest.get("sessions", []), {**manifest, "ranks": manifest["mpi"]["size"]}]:
        beat = entry.get("heartbeat") or {}
        rows.append([entry.get(key) for key in heads[:4]] + [beat.get("t"), beat.get("step")])
    return _table(heads, rows)


def _pairs(rows: Sequence[tuple[str, Any]]) -> str:
    return "<table>" + "".join(f"<tr><td>{escape(name)}</td>{_cell(value)}</tr>" for name, value in rows) + "</table>"


def _table(heads: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    top = "".join(f"<th>{escape(head)}</th>" for head in heads)
    body = "".join(f"<tr>{''.join(_cell(value) for value in row)}</tr>" for row in rows)
    return f"<table><tr>{top}</tr>{body}</table>"


def _cell(value: Any) -> str:
    if isinstance(value, str) and "\n" in value:
        return f'<td style="text-align:left"><pre>{escape(value)}</pre></td>'
    return f"<td>{escape(_text(value))}</td>"


def _text(value: Any) -> str:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "–"
    return f"{value:.6g}" if isinstance(value, float) else str(value)

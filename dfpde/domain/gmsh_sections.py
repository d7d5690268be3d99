"""Sections of gmsh's files, and the numbers in them, as text or binary in either byte order."""

from __future__ import annotations

import re
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import MeshError

Array = NDArray[Any]
Section = tuple[int, int]  # first and last byte


def sections(data: bytes) -> dict[str, Section]:
    """Name → first and last byte of what stands between $Name and $EndName; of sections that repeat the first."""
    found: dict[str, Section] = {}
    at = 0
    heading = re.compile(rb"\$(\w+)[ \t]*\r?\n")
    while match := heading.search(data, at):
        name = match[1].decode()
        ending = (b"\n$END" if name in ("NOD", "ELM") else b"\n$End") + match[1]  # a line of its own: names may hold it
        end = data.find(ending, match.end() - 1) + 1
        if end == 0:
            raise ValueError(f"section ${name} does not end")
        found.setdefault(name, (match.end(), end))
        at = end + len(name) + 4
    if not found:
        raise ValueError("no section of gmsh's format")
    return found


@dataclass(frozen=True, eq=False)
class Format:
    """Version, and how numbers are stored: none of `codes` for text, else the types of int, size_t and double."""

    data: bytes
    version: float
    codes: dict[str, str] | None

    def numbers(self, section: Section) -> Numbers:
        """A reader of this section."""
        return Numbers(self, *section)


class Numbers:
    """Reads the numbers of a section one table after the other."""

    def __init__(self, form: Format, start: int, end: int) -> None:
        self.form, self.at, self.end = form, start, end
        self.values: Any = None if form.codes else _text(form.data[start:end])
        self.place = 0

    def table(self, count: int, kinds: str) -> Array:
        """The next `count` rows of numbers of these kinds (i, s, d), as floats (count, kinds): exact to 2⁵³."""
        width = len(kinds)
        if self.values is not None:
            part = self.values[self.place : self.place + count * width]
            self.place += part.size
            if part.size < count * width:
                raise ValueError("a section is shorter than it says")
            rows: Array = part.reshape(count, width)
            return rows
        if width == 0 or count == 0:
            return np.zeros((count, width))
        codes = self.form.codes or {}
        record = np.dtype([(str(i), codes[kind]) for i, kind in enumerate(kinds)])
        if self.at + count * record.itemsize > self.end:
            raise ValueError("a section is shorter than it says")
        raw = np.frombuffer(self.form.data, record, count, self.at)
        self.at += raw.nbytes
        return np.stack([raw[name].astype(float) for name in record.names or ()], axis=1)

    def integers(self, kinds: str) -> list[int]:
        """The next row, of integers."""
        return [int(value) for value in self.table(1, kinds)[0]]

    def listed(self) -> list[int]:
        """A list of int with its length, a size_t, before it."""
        (count,) = self.integers("s")
        return self.integers("i" * count)

    def line(self) -> int:
        """A number that stands on a line of its own, as text in binary files too."""
        if self.values is not None:
            return self.integers("i")[0]
        end = self.form.data.index(b"\n", self.at)
        number = int(self.form.data[self.at : end])
        self.at = end + 1
        return number


def _text(text: bytes) -> Array:
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # at a word NumPy 1 warns, and later versions raise
        try:
            return np.fromstring(text.decode("latin-1"), sep=" ")
        except (DeprecationWarning, ValueError) as error:
            raise ValueError("something that is no number") from error


def format_of(data: bytes, found: dict[str, Section]) -> Format:
    """Version and storage of a file with these sections."""
    if "NOD" in found:
        return Format(data, 1.0, None)
    start, end = found["MeshFormat"]
    words = data[start:end].split(None, 3)
    version, binary, size = float(words[0]), int(words[1]), int(words[2])
    if version not in (2.0, 2.1, 2.2, 4.0, 4.1):
        raise MeshError(f"version {version:g} of gmsh's format", "save in version 4.1 (1, 2, 4.0 and 4.1 are read)")
    if not binary:
        return Format(data, version, None)
    one = data[data.index(b"\n", start) + 1 :][:4]
    order = "<" if one == b"\x01\x00\x00\x00" else ">"
    return Format(data, version, {"i": f"{order}i4", "s": f"{order}u{size}", "d": f"{order}f8"})

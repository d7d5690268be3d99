"""Comparisons of an ansatz's methods, and their table."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Check:
    """One comparison: passed when error <= tolerance, both relative to the largest value compared."""

    name: str
    error: float
    tolerance: float
    where: str = ""

    @property
    def passed(self) -> bool:
        """error <= tolerance."""
        return bool(self.error <= self.tolerance)  # False for NaN

    def __str__(self) -> str:
        mark = "ok   " if self.passed else "WRONG"
        return f"{mark} {self.name:<34} {self.error:9.1e} (<= {self.tolerance:.0e}) {self.where}".rstrip()


@dataclass(frozen=True)
class AnsatzReport:
    """What `check_ansatz` found.

    Attributes
    ----------
    title : str
        Which ansatz, how many parameters and points.
    checks : tuple of Check
        All comparisons.
    missing : tuple of str
        What the ansatz does not provide (no mistake, but a PDE may need it).
    """

    title: str
    checks: tuple[Check, ...]
    missing: tuple[str, ...] = ()

    @property
    def failed(self) -> tuple[Check, ...]:
        """Checks that were not passed."""
        return tuple(check for check in self.checks if not check.passed)

    def __str__(self) -> str:
        absent = [f"not provided: {', '.join(self.missing)}"] if self.missing else []
        return "\n".join([self.title, *map(str, self.checks), *absent])


def flag(name: str, good: bool, what: str) -> Check:
    """A comparison that is right or wrong, without a tolerance."""
    return Check(name, 0.0, 0.0) if good else Check(name, np.inf, 0.0, what)

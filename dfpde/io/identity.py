"""What a checkpoint belongs to: ansatz, metric, points and methods of a run, noted so that others are refused.

Texts for what must be equal, sums Σ_k w_k exp(i m φ(x_k)) for points and weights: they do not depend on the number
of ranks, on the order of the points, or (beyond rounding) on the machine.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from mpi4py import MPI
from numpy.typing import NDArray

from ..ansatz.base import Ansatz
from ..model import Model
from ..parallel.replicated import describe, differences

Array = NDArray[Any]

#: Relative difference of sums and scales that is rounding: another number of ranks sums in another order.
ROUNDING = 1e-9

#: Waves m = 0, ..., WAVES of the sums.
WAVES = 4


def identity(problem: Model | None, label: str | None, methods: Mapping[str, Any]) -> dict[str, Any]:
    """What is known of a run, as JSON; parts that are not given are left out; collective over the problem's ranks."""
    found: dict[str, Any] = {"texts": describe(**methods)}
    if label is not None:
        found["label"] = label
    if problem is not None:
        blocks = {name: f"{place.start}:{place.stop}" for name, (place, _) in problem.ansatz.slices().items()}
        found["texts"] |= describe(into=(Ansatz,), ansatz=problem.ansatz, conditions=tuple(problem.conditions))
        found["texts"] |= describe(parameters=blocks)
        found["scale"] = None if problem.scale is None else problem.scale.tolist()
        rule = getattr(getattr(problem, "quadrature", None), "rule", None)
        if rule is not None:  # the points move with the solution
            found["texts"] |= describe(measure=rule)
        else:
            found["points"] = _sums(problem.points, problem.weights, problem.comm)
    return found


def different(noted: Mapping[str, Any], here: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """(name, noted, here) of what differs among the parts that both know."""
    found = []
    if {"label"} <= noted.keys() & here.keys() and noted["label"] != here["label"]:
        found.append(("label", repr(noted["label"]), repr(here["label"])))
    heads = {_head(name) for name in noted["texts"]} & {_head(name) for name in here["texts"]}
    a, b = ({name: text for name, text in part["texts"].items() if _head(name) in heads} for part in (noted, here))
    found += differences(a, b)
    if {"scale"} <= noted.keys() & here.keys():
        found += _scales(noted["scale"], here["scale"])
    if {"points"} <= noted.keys() & here.keys():
        found += _points(noted["points"], here["points"])
    return found


def _head(name: str) -> str:
    return name.split(".")[0].split("[")[0]


def _scales(noted: list[float] | None, here: list[float] | None) -> list[tuple[str, str, str]]:
    texts = ("None" if noted is None else f"{len(noted)} numbers", "None" if here is None else f"{len(here)} numbers")
    if noted is not None and here is not None and len(noted) == len(here):
        a, b = np.array(noted), np.array(here)
        apart = np.abs(a - b) / np.maximum(np.abs(a), np.abs(b)).clip(np.finfo(float).tiny)
        first = int(np.argmax(apart > ROUNDING))
        if not apart[first] > ROUNDING:
            return []
        texts = f"{a[first]:.12g} at index {first}", f"{b[first]:.12g}"
    return [] if noted is here else [("scale", *texts)]


def _points(noted: Mapping[str, Any], here: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    for name in ("number", "dim"):
        if noted[name] != here[name]:
            return [("points", f"{noted['number']} in {noted['dim']}-D", f"{here['number']} in {here['dim']}-D")]
    a, b = np.array(noted["sums"]), np.array(here["sums"])
    total = max(abs(a[0]), abs(b[0]))
    if abs(noted["extent"] - here["extent"]) <= ROUNDING * here["extent"] and np.all(np.abs(a - b) <= ROUNDING * total):
        return []
    return [("points or weights", _place(noted), _place(here))]


def _place(points: Mapping[str, Any]) -> str:
    return f"Σ w = {points['sums'][0]:.12g}, largest |x_j| = {points['extent']:.12g}, wave {points['sums'][1]:.12g}"


def _sums(x: Array, w: Array, comm: MPI.Comm) -> dict[str, Any]:
    """Number and extent of the points, Σ w and the waves of points and weights."""
    extent, count = float(np.max(np.abs(x), initial=0.0)), w.size
    if comm.size > 1:
        extent, count = comm.allreduce(extent, op=MPI.MAX), comm.allreduce(count)
    direction = np.sqrt([2.0, 3.0, 5.0, 7.0, 11.0, 13.0])  # no two axes count alike
    phase = np.resize(direction, len(x)) @ x / (extent or 1.0)
    waves = np.exp(1j * np.arange(WAVES + 1)[:, None] * phase) @ w
    sums = np.concatenate([waves.real, waves.imag[1:]])
    if comm.size > 1:
        comm.Allreduce(MPI.IN_PLACE, sums)
    return {"number": int(count), "dim": len(x), "extent": extent, "sums": sums.tolist()}

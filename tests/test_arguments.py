"""Every public entry point with wrong arguments: one named error each, that says what is expected.

A row of the table is a valid call and, for each argument, wrong values of its kind.
"""

from __future__ import annotations

import inspect
import io
import math
import tempfile
import warnings
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import skfem
from mpi4py import MPI
from scipy import sparse
from skfem.helpers import dot, grad

import dfpde as df
from dfpde import ansatz as ansatze
from dfpde import (
    closed_form,
    domain,
    evolution,
    fem,
    integrators,
    learning,
    leastsquares,
    measures,
    parallel,
    regularization,
    steppers,
)
from dfpde.errors import DfpdeError
from dfpde.leastsquares import DualCholesky, GramCholesky, Nystrom, PivotedCholesky, Sampled

if MPI.COMM_WORLD.size > 1:
    pytest.skip("arguments are checked on each rank: one process says it all", allow_module_level=True)

SELF, NAN, INF = MPI.COMM_SELF, math.nan, math.inf
THING = object()

# -- kinds of wrong values -----------------------------------------------------------------------------------
TYPES = ("x", [1.0], 1j, THING, True)  # none of them is a number
REAL = (NAN, INF, -INF, 1e400, 10**400, -(10**400), None, *TYPES)
POSITIVE = (*REAL, 0.0, -1.0)
LIMIT = tuple(v for v in POSITIVE if v is not None)  # None: no limit
SHARE = (*REAL, -0.1, 1.5)
WHOLE = (2.5, NAN, INF, 2**63, -(10**400), None, "3", [1], 1j, THING, True)
COUNT = (*WHOLE, 0, -1)
COUNT_OR_NONE = tuple(v for v in COUNT if v is not None)
RAGGED = [[1.0, 2.0], [3.0]]
VECTOR = ("x", THING, RAGGED, ["a", "b"], np.array([NAN] * 3), np.array([INF] * 3), np.ones(3) + 1j, np.ones(2),
          np.ones((2, 2, 2)), [], np.ma.array(np.ones(3), mask=[0, 1, 0]))  # fmt: skip
ONCE = iter(())  # an iterator can be read once only: what is in it would be lost for the second reader
UNORDERED = ({0.05}, sparse.eye(3), ONCE)
TIMES = (*UNORDERED, None, 3.0, "x", THING, [NAN], [0.2, 0.1], [9.0], ["x"], [None], [[0.1]])
FUNCTION = (3.0, "f", [1], THING, None)
MAYBE = FUNCTION[:-1]  # None: none
COMM = ("world", 3, THING, MPI.Comm)
PATH = (3, 1.5, THING, ["a"], "a\0b")
TEXT = (3, THING, ["a"])
WORDS = (*TEXT, "nonsense", "")
TRUTH = ("yes", 2, None, THING, [True])


def objects(cls: Any = THING, *more: Any) -> tuple[Any, ...]:
    """What is no object of a class; the class itself is a frequent slip."""
    return (3.0, "x", [1], THING, cls, *more)


# -- what valid calls are made of ----------------------------------------------------------------------------
G = df.GaussianMixture.isotropic(1, 1)
G2 = df.GaussianMixture.isotropic(2, 1)
THETA = np.array([1.0, 0.0, 2.0])
Q = df.Quadrature.gauss((-3.0, 3.0), 6, 3)
P = df.Problem(G, Q, lambda t, x, u: -u.value)
STATE = df.State(0.0, THETA)
FOLDER = tempfile.TemporaryDirectory()  # until the tests end
SAVED = Path(FOLDER.name) / "state.npz"
df.save(SAVED, STATE, SELF)
TRIANGLES = skfem.MeshTri().refined(1).with_boundaries({"left": lambda x: x[0] == 0})
MESH = df.Mesh.from_skfem(TRIANGLES)
SPACE = fem.Space(MESH, skfem.ElementTriP1())
EDGE = df.Quadrature.boundary(TRIANGLES, "left", 2)
MASS = skfem.BilinearForm(lambda u, v, w: u * v)
LAPLACE = skfem.BilinearForm(lambda u, v, w: dot(grad(u), grad(v)))
GRID = steppers.PeriodicGrid((0.0, 1.0), 8)
TIKHONOV, FIXED = df.Tikhonov(1e-3), df.Fixed(0.05)


def zero(t: float, x: np.ndarray) -> np.ndarray:
    return np.zeros(x.shape[1])


@dataclass(frozen=True)
class Row:
    """A public name, a valid call of it, and wrong values by argument."""

    name: str
    call: Any
    valid: dict[str, Any]
    wrong: dict[str, tuple[Any, ...]] = field(default_factory=dict)

    def __call__(self, **changed: Any) -> Any:
        result = self.call(**(self.valid | changed))
        return list(result) if inspect.isgenerator(result) else result


def of(name: str, call: Any, valid: dict[str, Any], /, **wrong: tuple[Any, ...]) -> Row:
    return Row(name, call, valid, wrong)


def without(values: tuple[Any, ...], *fine: Any) -> tuple[Any, ...]:
    """Wrong values but for those that an argument takes."""
    return tuple(v for v in values if not any(v is f or (type(v) is type(f) and repr(v) == repr(f)) for f in fine))


MODELS = objects(df.Problem, None)
ANSATZE = objects(df.GaussianMixture, None)
RULES = objects(df.Inertia, df.State(0.0, np.ones(3)))
SOLVERS = objects(df.LSQR)
SCHEMES = objects(integrators.ExplicitRungeKutta, None, range(3), slice(3))  # which have a `step`, too
STATES = objects(df.State, None, np.ones(3))

OPERATOR = closed_form.Operator((0.0,), (), ([[0.5]],))
STREAM = {"dim": 2, "first": 0, "count": 4, "seed": 0, "step": 0}
STATE2 = df.State(0.0, np.array([1.0, 0.5, 0.5, 9.0]))
MARKED = measures.MarkedCells(MESH, 2, lambda points: lambda t, x, u: -u.value)
CELL_POINTS = measures.CellPoints.of(MESH, 2, np.arange(2))
MEASURE_ROWS = [
    *(of(draw.__name__, draw, STREAM, dim=COUNT, **dict.fromkeys(("first", "count", "seed", "step"), (*WHOLE, -1)))
      for draw in (measures.independent, measures.sobol)),
    of("sobol", measures.sobol, STREAM, dim=(10**5,), first=(2**30 - 3,), count=(2**31,)),
    of("Draws", measures.Draws, {"n": 4, "seed": 0, "step": 0, "comm": SELF}, comm=COMM, n=COUNT, seed=(*WHOLE, -1),
       step=(*WHOLE, -1), source=FUNCTION),
    of("Components", measures.Components, {}, widen=POSITIVE, even=SHARE),
    of("FittedGaussian", measures.FittedGaussian, {}, widen=POSITIVE),
    of("FittedStudent", measures.FittedStudent, {}, widen=POSITIVE, freedom=POSITIVE),
    of("Uniform", measures.Uniform, {"bounds": [(0.0, 1.0)]}, bounds=(None, 3.0, "x", THING, RAGGED, [(1.0, 0.0)],
       [(0.0, NAN)], [(0.0, 1.0, 2.0)], (0.0, 1.0))),
    of("Written", measures.Written, {"map": lambda c, u: u, "q": lambda c, x: x[0]}, map=FUNCTION, q=FUNCTION),
    of("Blend", measures.Blend, {"parts": [measures.Components()], "shares": [1.0]},
       parts=(None, 3.0, "x", THING, [3], [], [measures.Components]), shares=(None, 3.0, "x", THING, [0.0], [-1.0],
       [NAN], [], [1.0, 2.0])),
    of("Moving", measures.Moving, {"proposal": measures.Components(), "n": 8},
       proposal=objects(measures.Components, None), n=(*COUNT, 1), seed=(*WHOLE, -1), weight=MAYBE, every=COUNT,
       source=FUNCTION, per_direction=(*REAL, -1.0), candidates=COUNT),
    of("Moving.start", measures.Moving(measures.Components(), 64).start, {"problem": P, "state": STATE},
       problem=MODELS, state=STATES),
    of("Moving.problem", lambda **k: measures.Moving(measures.Components(), 64).problem(**k),
       {"problem": P, "state": STATE.with_(
           measure_carry=(np.array([0.0, 64.0, 0.0, 0.0]), THETA, np.zeros(1), np.eye(1), THETA))},
       problem=MODELS, state=(*STATES, STATE)),
    of("Transported", measures.Transported, {"flow": lambda t, x, u: (x, x[0])}, flow=FUNCTION, weight=MAYBE,
       substeps=COUNT),
    of("Transported.start", measures.Transported(lambda t, x, u: (x, x[0])).start,
       {"problem": P, "state": STATE, "points": np.array([[0.1, 0.5]]), "density": np.ones(2)}, problem=MODELS,
       state=STATES, points=(None, 3.0, "x", THING, [1.0, 2.0], [[NAN, 0.0]], [[0.0, 1.0, 2.0]]),
       density=(None, 3.0, "x", THING, [1.0], [1.0, -1.0], [NAN, 1.0], [[1.0, 1.0]])),
    of("split", ansatze.split, {"mixture": df.GaussianMixture.isotropic(1, 2), "share": 0.1,
       "theta": np.array([1.0, 1.0, 0.0, 0.0, 2.0, 2.0])}, mixture=ANSATZE, theta=without(VECTOR, []),
       share=(*POSITIVE, 1.0), seed=(*WHOLE, -1)),
    of("Walkers", measures.Walkers, {}, steps=COUNT, tau=POSITIVE, seed=(*WHOLE, -1)),
    of("Walkers.start", measures.Walkers().start, {"problem": P, "state": STATE, "points": np.linspace(-1, 1, 9)[None]},
       problem=MODELS, state=STATES, points=(None, "x", THING, RAGGED, np.ones(4), np.ones((2, 4)), np.ones((1, 1)),
       np.full((1, 4), NAN))),
    of("MarkedCells", measures.MarkedCells, {"mesh": MESH, "order": 2}, mesh=objects(df.Mesh, None), order=(*WHOLE, -1),
       equation=MAYBE, tolerance=POSITIVE, rest=(*WHOLE, -1), seed=(*WHOLE, -1), every=COUNT),
    of("MarkedCells.start", MARKED.start, {"problem": G2, "state": STATE2}, problem=MODELS, state=STATES),
    of("MarkedCells.problem", lambda **k: MARKED.problem(**k), {"problem": MARKED.start(G2, STATE2)[0],
       "state": MARKED.start(G2, STATE2)[1]}, problem=MODELS, state=(*STATES, STATE2)),
    of("CellPoints.of", measures.CellPoints.of, {"mesh": MESH, "order": 2, "chosen": [0]}, mesh=objects(df.Mesh, None),
       order=(*WHOLE, -1), chosen=(None, 3.0, "x", THING, RAGGED, [0.5], [99], [-1])),
    of("Function.at", fem.Function(SPACE, np.zeros(SPACE.nodes.n)).at, {"points": CELL_POINTS},
       points=objects(measures.CellPoints, None)),
    of("in_turn", lambda adapt=zero: measures.in_turn(adapt), {}, adapt=FUNCTION),
    of("present_metric", measures.present_metric, {"problem": P, "state": STATE}, problem=MODELS, state=STATES),
    of("sampling", measures.sampling, {"quadrature": Q, "values": np.ones(Q.n)},
       quadrature=objects(df.Quadrature, None), values=("x", None, THING, RAGGED, np.ones(3))),
    of("unseen_defect", measures.unseen_defect, {"problem": P, "state": STATE.with_(velocity=THETA)}, problem=MODELS,
       state=(*STATES, STATE)),
    of("Quadrature.samples", df.Quadrature.samples, {"x": np.ones((1, 2)), "density": np.ones(2)},
       x=("x", None, THING, RAGGED, np.ones(2), np.full((1, 2), NAN)), density=("x", None, THING, RAGGED, np.ones(3),
       np.zeros(2), -np.ones(2), np.full(2, NAN), np.full(2, INF)), weight=("x", THING, RAGGED, np.ones(3), -np.ones(2),
       np.full(2, NAN)), comm=COMM, replicated=TRUTH),
    of("Operator", closed_form.Operator, {"potential": [0.0], "drift": [[1.0]], "diffusion": [[[0.5]]]},
       **dict.fromkeys(("potential", "drift", "diffusion"), (None, 3.0, "x", THING, [np.ones((1, 1, 1, 1))], ["x"],
       [NAN], [np.ones((2, 3))]))),
    of("Operator.ornstein_uhlenbeck", closed_form.Operator.ornstein_uhlenbeck,
       {"rate": np.eye(2), "source": np.zeros(2), "noise": np.eye(2)}, rate=without(VECTOR, []), source=(*VECTOR[:5],
       np.ones(3)), noise=VECTOR[:5]),
    of("Operator.schroedinger", closed_form.Operator.schroedinger, {"potential": [0.0, [0.0]]},
       potential=(None, 3.0, "x", THING, ["x"], [NAN])),
    of("ClosedForm", closed_form.ClosedForm, {"ansatz": G, "operator": OPERATOR}, ansatz=ANSATZE, operator=FUNCTION,
       scale=(*without(VECTOR, []), np.zeros(3)), comm=COMM),
]  # fmt: skip
RULE_ROWS = [
    of("Inertia", df.Inertia, {"eps": 1e-3}, eps=POSITIVE, rho=SHARE),
    of("InertiaFromMass", df.InertiaFromMass, {"mass": 1e-8}, mass=(*REAL, -1.0, 0.0), friction=(*REAL, -1.0)),
    of("Tikhonov", df.Tikhonov, {"eps": 1e-3}, eps=POSITIVE),
    of("AutoInertia", df.AutoInertia, {}, tolerance=(*POSITIVE, 1.0), rho=SHARE, safety=POSITIVE,
       free=(*REAL, -0.1), iterated=TRUTH),
    of("TruncatedSVD", regularization.TruncatedSVD, {"eps": 1e-3}, eps=POSITIVE),
    of("RandomSparse", regularization.RandomSparse, {"columns": 2, "eps": 1e-3}, columns=COUNT, eps=POSITIVE,
       seed=(*WHOLE, -1)),
    of("Onsager", regularization.Onsager, {"eps": 1e-3}, eps=POSITIVE, strength=(*REAL, -1.0), average=SHARE),
]  # fmt: skip
STEP_ROWS = [
    of("Fixed", df.Fixed, {"dt": 0.1}, dt=POSITIVE),
    *(of(name, getattr(integrators, name), {"rtol": 1e-3}, rtol=(*REAL, -1.0, 0.0), atol=(*REAL, -1.0), first=LIMIT,
         dt_min=(*REAL, -1.0), dt_max=(*without(REAL, INF, 1e400), 0.0, -1.0)) for name in ("PI", "PID")),
    of("Event", df.Event, {"g": lambda t, s: t}, g=FUNCTION, action=MAYBE, direction=(2, 0.5, "up", None, NAN, [1])),
    of("State", df.State, {"t": 0.0, "theta": THETA}, t=REAL, theta=(*without(VECTOR, [], np.ones(2)), None),
       step=(*WHOLE, -1),
       velocity=VECTOR, anchor=VECTOR, dt=LIMIT, scale=(*VECTOR, np.array([1.0, 0.0, 1.0]), -np.ones(3)),
       at_end=TRUTH, statistics=objects(evolution.Statistics, None)),
    of("evolve", lambda **k: list(df.evolve(**k)),
       {"problem": P, "state": STATE, "until": 0.1, "regularization": TIKHONOV, "controller": FIXED},
       problem=MODELS, state=STATES, until=(*REAL, -1.0), times=TIMES, every_step=TRUTH, regularization=RULES,
       controller=objects(df.PI), integrator=SCHEMES, solver=SOLVERS,
       events=(*UNORDERED, None, 3, "x", THING, [3], [None], df.Event(lambda t, s: t)),
       adapt=(*MAYBE, lambda p, s: "x", lambda p, s: (p, 3), lambda p, s: (s, p)), rescue=MAYBE,
       max_steps=COUNT_OR_NONE, max_seconds=without(LIMIT, INF, 1e400),
       on_unresolved=("rise", None, 3, THING, np.ones(3))),
    of("solve", df.solve,
       {"problem": P, "initial": STATE, "times": [0.0, 0.05, 0.1], "regularization": TIKHONOV, "rtol": 1e-2},
       problem=MODELS, initial=(None, 3.0, "x", THING, np.ones(3)),
       times=(None, 3.0, "x", THING, [NAN], [0.2, 0.1], [], [0.0], ["x"], [None], [-1.0, 0.1]),
       rtol=POSITIVE, regularization=RULES, integrator=SCHEMES, solver=SOLVERS, quantities=(3, "x", [1],
       {"q": 3}),
       max_steps=COUNT_OR_NONE, max_seconds=without(LIMIT, INF, 1e400)),
    of("fit", df.fit, {"problem": P, "initial": lambda x: np.exp(-x[0] ** 2), "guess": THETA}, problem=MODELS,
       initial=(None, 3.0, "x", THING, np.ones(3), lambda x: "x", lambda x: np.nan * x[0], lambda x: x, [1, 2]),
       guess=without(VECTOR, []), linear=("amplitude", 3, THING, [3]), starts=COUNT, seed=(*WHOLE, -1), t=REAL,
       rtol=(*POSITIVE, 1.0), max_iterations=(*WHOLE, -1), solver=SOLVERS),
    of("ExplicitRungeKutta", integrators.ExplicitRungeKutta, {"tableau": df.RK4.tableau}, tableau=objects(
        integrators.Tableau, None)),
    of("ImplicitRungeKutta", integrators.ImplicitRungeKutta, {"tableau": integrators.SDIRK2.tableau},
       tableau=objects(integrators.Tableau, None), rtol=(*POSITIVE, 1.0), iterations=COUNT),
    of("LinearlyImplicit", integrators.LinearlyImplicit, {}, gamma=POSITIVE, error_order=COUNT_OR_NONE),
    of("ContinuousInertia", integrators.ContinuousInertia, {"tableau": df.RK4.tableau},
       tableau=objects(integrators.Tableau, None), observe=MAYBE),
    of("BlackBox", integrators.BlackBox, {"advance": lambda t, u, dt: u}, advance=FUNCTION, order=COUNT_OR_NONE),
    of("FieldStep", df.FieldStep, {"stepper": integrators.BlackBox(lambda t, u, dt: u)}, stepper=(*FUNCTION, THING),
       rtol=(*without(POSITIVE, None), 1.0), rho=SHARE, substeps=COUNT, atol=(*REAL, -1.0),
       projection=objects(integrators.FieldProjection, None)),
    of("FieldProjection", integrators.FieldProjection, {}, floor=(*POSITIVE, 1.5), eps=(*POSITIVE, 1.0),
       iterations=COUNT, curved=TRUTH),
    of("Growing", evolution.Growing,
       {"larger": lambda a: a, "candidates": lambda x: [], "limit": 1e-3, "most": 10}, larger=FUNCTION,
       candidates=FUNCTION, limit=POSITIVE, most=COUNT, gain=(*POSITIVE, 1.0)),
]  # fmt: skip
SOLVER_ROWS = [
    of("LSQR", df.LSQR, {}, rtol=(*POSITIVE, 1.0), max_it=COUNT_OR_NONE, preconditioner=objects(df.Dense)),
    of("Dense", df.Dense, {}, rcond=(*REAL, -1.0, 1.0)),
    *([of("KSP", df.KSP, {}, rtol=(*POSITIVE, 1.0), max_it=COUNT_OR_NONE, prefix=(*TEXT, None),
          preconditioner=objects(df.Dense))] if find_spec("petsc4py") else []),
]  # fmt: skip
SPACE_ROWS = [
    of("Quadrature", df.Quadrature, {"x": np.ones((1, 2)), "w": np.ones(2)},
       x=("x", None, THING, RAGGED, np.ones(2), np.ones((1, 3)), np.full((1, 2), NAN), np.ones((1, 2)) + 1j),
       w=("x", None, THING, RAGGED, np.ones((1, 2)), np.ones(3), np.full(2, INF), -np.ones(2), np.zeros(2)),
       comm=COMM, offset=(2.5, "x", None, [1], THING, NAN), normals=("x", THING, RAGGED, np.ones(2), np.full((1, 2),
       NAN)),
       replicated=TRUTH),
    *(of("Quadrature." + name, getattr(df.Quadrature, name), {"bounds": (0.0, 1.0), number: 4} | more,
         bounds=(None, 3.0, "x", "ab", THING, (1.0, 0.0), (0.0, NAN), (0.0, INF), (0.0,), (0.0, "x"), (0.0, 1.0, 2.0),
                 [(0.0, 1.0), (0.0,)], (0.0, 1j), []),
         comm=COMM, **{number: (*without(COUNT, [1]), [2, 2], [2.5], ["x"])}, **{key: (*WHOLE, -1) for key in more})
      for name, number, more in (("periodic", "n", {}), ("gauss", "cells", {"order": 3}))),
    of("Quadrature.from_mesh", df.Quadrature.from_mesh, {"mesh": TRIANGLES, "order": 2},
       mesh=objects(skfem.MeshTri, None, "file.msh"), order=(*WHOLE, -1), comm=COMM,
       subdomain=("nowhere", *TEXT, np.ones(3))),
    of("Quadrature.boundary", df.Quadrature.boundary, {"mesh": TRIANGLES, "name": "left", "order": 2},
       mesh=objects(skfem.MeshTri, None), name=("nowhere", *TEXT, np.ones(3)), order=(*WHOLE, -1), comm=COMM),
    of("Quadrature.from_basis", df.Quadrature.from_basis, {"basis": skfem.Basis(TRIANGLES, skfem.ElementTriP1())},
       basis=objects(skfem.Basis, None, TRIANGLES), comm=COMM, split=TRUTH),
    of("Quadrature.integrate", Q.integrate, {"values": np.ones(Q.n)},
       values=("x", None, THING, RAGGED, 1.0, np.ones(3), np.full(Q.n, NAN), ["a"] * Q.n)),
    of("Quadrature.inner", Q.inner, {"u": np.ones(Q.n), "v": np.ones(Q.n)},
       u=("x", None, THING, RAGGED, np.ones(3), np.full(Q.n, NAN)), v=("x", None, THING, RAGGED, np.ones(3),
       np.full(Q.n, NAN))),
    of("Quadrature.norm", Q.norm, {"u": np.ones(Q.n)}, u=("x", None, THING, RAGGED, np.ones(3), np.full(Q.n, NAN))),
    of("Mesh.from_skfem", df.Mesh.from_skfem, {"mesh": TRIANGLES}, mesh=objects(skfem.MeshTri, None), comm=COMM,
       weights=("x", THING, RAGGED, np.ones(2), np.full(8, NAN), -np.ones(8))),
    of("read_mesh", df.read_mesh, {"path": Path(__file__).parents[1] / "meshes" / "channel.msh"}, path=(None, *PATH,
       "no/such/file.msh", "."), comm=COMM,
       dim=COUNT_OR_NONE, repair=TRUTH),
    of("Problem", df.Problem, {"ansatz": G, "quadrature": Q, "rhs": lambda t, x, u: u.value},
       ansatz=(*ANSATZE, G2), quadrature=objects(df.Quadrature, None), rhs=FUNCTION,
       conditions=(*UNORDERED, None, 3, "x", THING, [3], [None]), scale=(*VECTOR, np.zeros(3), -np.ones(3)),
       storage=(*WHOLE, -1)),
    of("Problem.scaled", P.scaled, {"state": STATE}, state=objects(df.State, None, np.ones(2), np.full(3, NAN))),
    of("Problem.field", P.field, {"state": STATE},
       state=objects(df.State, None, np.ones(2)), x=("x", THING, RAGGED, np.ones(2), np.ones((2, 2)))),
    of("Problem.norm", P.norm, {"state": STATE}, state=objects(df.State, None, np.ones(2))),
    of("Dirichlet", df.Dirichlet, {"quadrature": Q, "g": zero}, quadrature=objects(df.Quadrature, None), g=FUNCTION,
       weight=POSITIVE, decay=(*REAL, -1.0), g_t=MAYBE),
]  # fmt: skip
ANSATZ_ROWS = [
    *(of("GaussianMixture." + name, getattr(df.GaussianMixture, name), {"dim": 1, "n": 2}, dim=COUNT, n=COUNT)
      for name in ("isotropic", "diagonal", "full")),
    *(of("PositiveMixture." + name, getattr(ansatze.PositiveMixture, name), {"dim": 1, "n": 2}, dim=COUNT, n=COUNT)
      for name in ("isotropic", "diagonal", "full")),
    of("PositiveMixture", ansatze.PositiveMixture, {"dim": 1, "n": 2, "factor": G.factor}, dim=(*COUNT, 2), n=COUNT,
       factor=objects(type(G.factor), None)),
    of("GaussianMixture", df.GaussianMixture, {"dim": 1, "n": 2, "factor": G.factor}, dim=(*COUNT, 2), n=COUNT,
       factor=objects(type(G.factor), None)),
    *(of("PeriodicGaussianMixture" + name, call, {"periods": (1.0,), "n": 2},
         periods=({1.0}, None, "x", THING, [], [None], [NAN], [INF], [0.0], [-1.0], ["x"], [1j], [[1.0]]), n=COUNT)
      for name, call in (("", df.PeriodicGaussianMixture), (".isotropic", df.PeriodicGaussianMixture.isotropic),
                         (".diagonal", df.PeriodicGaussianMixture.diagonal))),
    of("PeriodicGaussianMixture", df.PeriodicGaussianMixture, {"periods": 1.0, "n": 2}, periods=(True, 1j, NAN, INF,
       0.0),
       factor=objects(type(G.factor))),
    of("WavePackets", df.WavePackets, {"dim": 1, "n": 2}, dim=COUNT, n=COUNT,
       width=("x", THING, RAGGED, np.ones(3), [[NAN]], [[-1j]], np.eye(2))),
    of("Network", df.Network, {"dim": 1, "widths": (3,)}, dim=COUNT, widths=(None, 3, "x", THING, [], [0], [2.5],
       ["x"], [None]),
       activation=objects(ansatze.Tanh), embedding=objects(df.PeriodicEmbedding, df.PeriodicEmbedding((1.0, 1.0))),
       residual=TRUTH, outputs=COUNT_OR_NONE),
    of("Network.initial", df.Network(1, (3,)).initial, {"seed": 0}, seed=(*WHOLE, -1)),
    of("PeriodicEmbedding", df.PeriodicEmbedding, {"periods": (1.0,)},
       periods=({1.0}, None, 1.0, "x", THING, [], [NAN], [INF], [0.0], [-1.0], ["x"], [1j], [True]), frequencies=COUNT,
       shifts=COUNT),
    *(of(cls.__name__, cls, {}) for cls in (ansatze.Gaussian, ansatze.Rational, ansatze.Sine, ansatze.Softplus,
                                            ansatze.Swish, ansatze.Tanh)),
    *(of(cls.__name__, lambda cls=cls, a=G, b=G, **k: cls(a, b, **k), {}, a=ANSATZE, b=(*ANSATZE, G2),
         names=("x", 3, THING, ["a"], [1, 2], ["a", "a"]), shared=(None, 3, THING, ["nothing"], [3]))
      for cls in (df.Stack, df.Sum, df.Product)),
    of("Known", ansatze.Known, {"dim": 1, "derivatives": {(0,): lambda x: x[0]}}, dim=COUNT,
       derivatives=(None, 3, "x", THING, {}, {(0, 0): zero}, {(0,): 3.0}, {0: zero}), shape=(None, "x", 2.5, THING,
       [-1], ["x"]),
       dtype=(None, "x", int, THING)),
    of("Polynomial", ansatze.Polynomial, {"coefficients": {(0,): 1.0}},
       coefficients=(None, 3, "x", THING, {}, {(0,): NAN}, {(0,): "x"}, {0: 1.0}, {(0,): 1.0, (0, 0): 1.0},
       {(-1,): 1.0}, {(0.5,): 1.0})),
    of("Polynomial.box", ansatze.Polynomial.box, {"lower": [0.0], "upper": [1.0]},
       lower=("x", None, THING, [0.0, 0.0], [NAN], [2.0], ["x"]), upper=("x", None, THING, [1.0, 1.0], [INF], [-1.0],
       ["x"])),
    of("Masked", ansatze.Masked, {"ansatz": G, "distance": ansatze.Polynomial({(0,): 1.0})}, ansatz=(*ANSATZE, G2),
       distance=(*ANSATZE, G), lift=objects(df.GaussianMixture, G)),
    of("Transform", ansatze.Transform, {"ansatz": G, "function": ansatze.exp}, ansatz=ANSATZE, function=FUNCTION),
    of("Frozen", ansatze.Frozen, {"ansatz": G, "theta": THETA}, ansatz=ANSATZE, theta=(*VECTOR, None),
       names=(None, 3, THING, ["nothing"], [3]), indices=("x", THING, [99], [0.5], [-99])),
    of("Periodic", ansatze.Periodic, {"ansatz": G2, "periods": (1.0,)}, ansatz=(*ANSATZE, G),
       periods=({1.0}, None, 1.0, "x", THING, [], [NAN], [INF], [0.0], ["x"], [1j])),
    of("Symmetric", ansatze.Symmetric, {"ansatz": G, "reflections": [((-1,), 1)]}, ansatz=ANSATZE,
       reflections=(None, 3, "x", THING, [3], [((-1,),)], [((0.5,), 1)], [((-1,), 0)], [((-1, 1), 1)], [("x", 1)]),
       center=("x", THING, 0.0, [0.0, 0.0], [NAN], ["x"])),
    of("pack", G.pack, {"amplitudes": 1.0, "centers": 0.0, "scales": 1.0},
       amplitudes=("x", None, THING, [1.0, 2.0], NAN, 1j), centers=("x", None, THING, np.ones((3, 3)), INF)),
    of("value", G.check_theta, {"theta": THETA}, theta=(*VECTOR[:4], *VECTOR[6:], None)),
    of("points", G.check_points, {"x": np.ones((1, 2))}, x=("x", None, THING, RAGGED, np.ones(2), np.ones((2, 2)),
       np.ones((1, 2)) + 1j)),
    of("check_ansatz", df.check_ansatz, {"ansatz": G, "x": np.ones((1, 2)), "theta": THETA}, ansatz=ANSATZE,
       x=("x", None, THING, RAGGED, np.ones(2), np.ones((2, 2)), np.full((1, 2), NAN), np.ones((1, 2)) + 1j),
       theta=VECTOR, order=(*WHOLE, -1), rtol=POSITIVE, step=POSITIVE, seed=(*WHOLE, -1)),
    of("insert", ansatze.insert, {"ansatz": G, "larger": df.GaussianMixture.isotropic(1, 2), "theta": THETA,
       "velocity": None, "new": {"amplitudes": 0.0, "centers": 0.0, "scales": 1.0}}, ansatz=ANSATZE,
       larger=(*ANSATZE, G2), theta=(*VECTOR, None), velocity=VECTOR, new=(None, 3, "x", THING, {}, {"x": 1.0})),
    of("remove", ansatze.remove, {"ansatz": df.GaussianMixture.isotropic(1, 2), "smaller": G, "theta": np.ones(6),
       "velocity": None, "components": [0]}, ansatz=ANSATZE, smaller=(*ANSATZE, G2), theta=(*VECTOR, None),
       velocity=VECTOR, components=(None, "x", THING, [5], [0.5], [], [-1])),
]  # fmt: skip
MATRIX = SPACE.matrix(MASS)
NODES = SPACE.nodes
MATRICES = objects(None, np.eye(2))
SEMI = {"ansatz": G2, "mass": MATRIX, "rhs": lambda t, u: 0 * u.value, "nodes": NODES}
FORMS = [skfem.BilinearForm(lambda u, v, w, c=c: c * u * v, dtype=type(c)) for c in (0.0, NAN, INF, 1j)]
STIFF = fem.StiffModel(NODES, MATRIX, SPACE.matrix(LAPLACE))
SPACES = objects(fem.Space, None, TRIANGLES)
FEM_ROWS = [
    of("fem.Robin", fem.Robin, {"quadrature": EDGE, "g": zero}, quadrature=objects(df.Quadrature, None, Q), g=FUNCTION,
       beta=REAL, weight=POSITIVE, decay=(*REAL, -1.0), g_t=MAYBE),
    of("fem.nitsche", fem.nitsche, {"diffusion": 1.0, "gamma": 10.0}, diffusion=POSITIVE, gamma=POSITIVE),
    of("fem.Space", fem.Space, {"mesh": MESH, "element": skfem.ElementTriP1()}, mesh=objects(df.Mesh, None),
       element=objects(skfem.ElementTriP1, None, skfem.ElementQuad1(), skfem.ElementTetP1()),
       intorder=(*COUNT[:2], "3", [1], THING, True, -1)),
    of("fem.Elliptic", fem.Elliptic, {"space": SPACE, "form": LAPLACE, "dirichlet": {"left": 0.0}}, space=SPACES,
       form=(*FUNCTION, *FORMS), boundary=(3, "x", [1], {"left": 3}),
       load=("x", THING, RAGGED, np.ones(2), np.full(9, NAN)),
       dirichlet=(3, "x", [1], {"nowhere": 0.0}), prefix=(*TEXT, None), rtol=(*POSITIVE, 1.0)),
    of("fem.Projection", fem.Projection, {"space": SPACE}, space=SPACES, prefix=(*TEXT, None)),
    of("fem.Function", fem.Function, {"space": SPACE, "nodal": np.ones(9)}, space=SPACES,
       nodal=("x", None, THING, RAGGED, np.full(9, NAN))),
    of("fem.load", lambda path, **k: None if path == "unused" else fem.load(path, **k), {"path": "unused"},
       path=(None, *PATH, "no.vtu")),
    of("fem.Evaluation", fem.Evaluation, {"space": SPACE, "x": np.full((2, 1), 0.5)}, space=SPACES,
       x=("x", None, THING, RAGGED, np.ones(2), np.full((2, 1), NAN), np.full((2, 1), 9.0), np.ones((2, 1)) + 1j),
       outside=("x", [1.0], 1j, THING, NAN)),
    of("fem.Nodes", fem.Nodes, {"x": np.zeros((2, 3)), "comm": SELF},
       x=("x", None, THING, RAGGED, np.ones(3), np.full((2, 3), NAN)), comm=(*COMM, None),
       numbers=("x", THING, [0.5, 1, 2], [0, 0, 1], [0, 1], [0, 1, 5])),
    of("fem.FixedNodes", fem.FixedNodes, {"nodes": np.array([0])}, nodes=("x", None, THING, [0.5], RAGGED), rate=MAYBE),
    of("fem.SemiDiscrete", fem.SemiDiscrete, SEMI, ansatz=(*ANSATZE, G), mass=MATRICES, rhs=FUNCTION,
       nodes=objects(fem.Nodes, None), conditions=(*UNORDERED, None, 3, "x", THING, [3]),
       fixed=objects(fem.FixedNodes, [0]),
       scale=(*VECTOR, -np.ones(4)), prefix=(*TEXT, None)),
    of("fem.StiffModel", fem.StiffModel, {"nodes": NODES, "mass": MATRIX, "stiffness": MATRIX},
       nodes=objects(fem.Nodes, None), mass=MATRICES, stiffness=(*MATRICES, []), load=MAYBE,
       fixed=("x", THING, [0.5], RAGGED), values=MAYBE, prefix=(*TEXT, None)),
    of("fem.CrankNicolson", fem.CrankNicolson, {"model": STIFF}, model=objects(fem.StiffModel, None)),
    of("fem.ImplicitExplicit", fem.ImplicitExplicit, {"model": STIFF}, model=objects(fem.StiffModel, None),
       tableau=objects(steppers.ImexTableau, None, df.RK4.tableau)),
    of("fem.square_root", fem.square_root, {"mass": MATRIX}, mass=objects(None)),
    of("fem.partition", fem.partition, {"mesh": TRIANGLES, "comm": SELF}, mesh=(3, THING, None, "no/such/file.msh"),
       comm=COMM),
]  # fmt: skip
MASS_OF_U = df.diagnostics.Functional.linear()
ENERGY = df.diagnostics.Functional.squared_norm()
ANCHORED = (3.0, "x", THING, None, df.AutoInertia())
SYSTEM = P.system(0.0, THETA)
SPECTRUM = df.diagnostics.spectrum(SYSTEM.tangent)
TOOLS = [
    of("Functional", df.diagnostics.Functional, {"density": ENERGY.density, "variation": ENERGY.variation},
       density=FUNCTION, variation=FUNCTION, name=(*TEXT, None)),
    of("Functional.linear", df.diagnostics.Functional.linear, {"weight": 1.0}, weight=("x", None, THING, NAN, RAGGED)),
    of("ParameterFunctional", df.diagnostics.ParameterFunctional, {"formula": np.sum, "slope": np.ones_like},
       formula=FUNCTION, slope=FUNCTION, name=(*TEXT, None)),
    of("ParameterFunctional.mass", df.diagnostics.ParameterFunctional.mass, {"mixture": G}, mixture=(None, 3, THING)),
    of("Conserving", df.constraints.Conserving,
       {"problem": P, "quantities": [MASS_OF_U], "regularization": TIKHONOV, "start": STATE}, problem=MODELS,
       quantities=(None, 3, "x", THING, [], [3]), regularization=(*RULES, None), start=objects(df.State, None,
       np.ones(2)),
       rtol=(*POSITIVE, 1.0)),
    of("NullSpace", df.constraints.NullSpace, {"inner": Sampled()}, inner=objects(df.Dense, None)),
    of("ErrorBound", df.diagnostics.ErrorBound, {"problem": P, "state": STATE, "bound": 0.0}, problem=MODELS,
       state=STATES,
       bound=(*REAL, -1.0), rate=REAL),
    of("FieldStepBound", df.diagnostics.FieldStepBound, {"value": 0.0}, value=(*REAL, -1.0), rate=REAL,
       safety=(*REAL, 0.5)),
    of("growth_rate", df.diagnostics.growth_rate, {"model": P, "state": STATE}, model=MODELS, state=STATES,
       rcond=(*POSITIVE, 1.0)),
    of("EnergyLedger", df.diagnostics.EnergyLedger, {"problem": P, "potential": ENERGY,
       "regularization": df.Inertia(1e-3)},
       problem=MODELS, potential=objects(df.diagnostics.Functional, None), regularization=ANCHORED),
    of("sensitivities", df.diagnostics.sensitivities, {"problem_of": lambda c: P, "coefficients": np.ones(1),
       "start": STATE,
       "until": 0.1, "steps": 2, "regularization": TIKHONOV}, problem_of=FUNCTION,
       coefficients=("x", None, THING, RAGGED, np.ones((1, 1)), [NAN]), start=STATES, initial=("x", THING, RAGGED,
       np.ones(3)),
       until=(*REAL, -1.0), steps=COUNT, regularization=ANCHORED, integrator=objects(integrators.ExplicitRungeKutta,
       None),
       solver=SOLVERS),
    of("spectrum", df.diagnostics.spectrum, {"tangent": SYSTEM.tangent}, tangent=(3.0, "x", THING, None, P),
       k=COUNT_OR_NONE,
       scale=(*VECTOR, np.zeros(3)), oversampling=(*WHOLE, -1), iterations=(*WHOLE, -1), seed=(*WHOLE, -1)),
    of("check_epsilon", df.diagnostics.check_epsilon, {"system": SYSTEM, "found": SPECTRUM, "eps": 1e-3},
       system=(3.0, "x", THING, None), found=objects(df.diagnostics.Spectrum, None), eps=POSITIVE, anchor=VECTOR,
       rho=SHARE,
       tolerance=POSITIVE),
    of("History", df.History, {}, path=PATH, quantities=(3, "x", [1], {"q": 3}, {1: zero}), problem=objects(df.Problem),
       comm=COMM),
    of("History.read", lambda path: None if path is None else df.History.read(path), {"path": None},
       path=(*PATH, "no/such/file.csv", ".")),
    of("History.record", df.History().record, {"state": STATE}, state=STATES, problem=objects(df.Problem)),
    of("save", df.save, {"path": SAVED, "state": STATE}, path=(None, *PATH, "."), state=STATES,
       comm=COMM, problem=objects(df.Problem), label=TEXT),
    of("load", df.load, {"path": SAVED}, path=(None, *PATH, ".", "no/such/file.npz"), comm=COMM,
       problem=objects(df.Problem), label=TEXT),
    of("progress", df.progress, {"states": [STATE], "until": 1.0, "stream": io.StringIO()}, states=(None, 3, THING,
       [3]),
       until=REAL, comm=COMM, stream=(3, "x", THING), every=(*LIMIT[:3], *TYPES, -1.0), since=objects(df.State)),
    of("ParaViewWriter", df.ParaViewWriter, {"path": "unused", "mesh": TRIANGLES}, path=(None, *PATH),
       mesh=objects(skfem.MeshTri, None), comm=COMM, refine=(*WHOLE, -1), keep_until=(NAN, *TYPES)),
    of("VTKHDFWriter", df.io.VTKHDFWriter, {"path": "unused", "mesh": TRIANGLES}, path=(None, *PATH),
       mesh=objects(skfem.MeshTri, None), comm=COMM, refine=(*WHOLE, -1), keep_until=(NAN, *TYPES)),
    of("RunManifest", lambda path, **k: None if path == "unused" else df.io.RunManifest(path, **k),
       {"path": "unused", "comm": SELF}, path=(None, *PATH)),
]  # fmt: skip
GIVEN = learning.Given(lambda theta: theta @ theta, lambda theta: 2 * theta)
NEWTON = learning.Newtonian(GIVEN)
LEARNING_ROWS = [
    of("Given", learning.Given, {"value": GIVEN.value, "gradient": GIVEN.gradient}, value=FUNCTION, gradient=FUNCTION),
    of("Misfit", learning.Misfit, {"ansatz": G, "quadrature": Q, "target": np.ones(Q.n)}, ansatz=ANSATZE,
       quadrature=objects(df.Quadrature, None), target=("x", None, THING, RAGGED, np.ones(3), np.full(Q.n, NAN))),
    of("gradient_flow", learning.gradient_flow, {"ansatz": G, "quadrature": Q, "slope": lambda x, u: u.value},
       ansatz=ANSATZE,
       quadrature=objects(df.Quadrature, None), slope=FUNCTION),
    of("gauss_newton_flow", learning.gauss_newton_flow, {"ansatz": G, "quadrature": Q, "target": np.ones(Q.n)},
       ansatz=ANSATZE, quadrature=objects(df.Quadrature, None), target=("x", None, THING, RAGGED, np.ones(3),
       np.full(Q.n, NAN))),
    of("Newtonian", learning.Newtonian, {"loss": GIVEN}, loss=objects(learning.Given, None), mass=POSITIVE,
       friction=(*REAL, -1.0), noise=(*REAL, -1.0), seed=(*WHOLE, -1)),
    of("Motion", learning.Motion, {"t": 0.0, "theta": np.ones(3), "velocity": np.ones(3)}, t=REAL,
       theta=(*without(VECTOR, [], np.ones(2)), None), velocity=(*without(VECTOR, [], np.ones(2)), None),
       step=(*WHOLE, -1), lost=REAL),
    of("learn", learning.learn, {"dynamics": NEWTON, "start": np.ones(3), "dt": 0.1, "steps": 2},
       dynamics=objects(learning.Newtonian, None), start=("x", None, THING, RAGGED, np.full(3, NAN), np.ones((3, 1))),
       dt=POSITIVE, steps=(*WHOLE, -1), scheme=objects(learning.Splitting, None, "VERLET"), every=COUNT),
]  # fmt: skip
FOURIER = {"grid": GRID, "linear": lambda k: -np.sum(k**2, axis=0), "nonlinear": lambda t, x, u: 0 * u.value}
GRIDS = objects(steppers.PeriodicGrid, None, Q)
STEPPER_ROWS = [
    of("PeriodicGrid", steppers.PeriodicGrid, {"bounds": (0.0, 1.0), "n": 8},
       bounds=(None, 3.0, "x", THING, (1.0, 0.0), (0.0, NAN), (0.0,), (0.0, "x")), n=(*without(COUNT, [1]), [2, 2]),
       comm=COMM),
    *(of(cls.__name__, cls, FOURIER, grid=GRIDS, linear=FUNCTION, nonlinear=FUNCTION, dealias=TRUTH)
      for cls in (steppers.ETDRK4, steppers.ETDRK32)),
    of("IMEX", steppers.IMEX, FOURIER, grid=GRIDS, linear=FUNCTION, nonlinear=FUNCTION, dealias=TRUTH,
       tableau=objects(steppers.ImexTableau, None, df.RK4.tableau)),
    of("Characteristics", steppers.Characteristics, {"feet": lambda t, x, h: x}, feet=FUNCTION, source=MAYBE,
       order=COUNT_OR_NONE),
    of("SplitStep", steppers.SplitStep, {"grid": GRID, "potential": lambda t, x, density: 0 * x[0]}, grid=GRIDS,
       potential=FUNCTION, order=(*COUNT, 3)),
]  # fmt: skip
def jax_function(**arguments: Any) -> Any:
    import jax

    jax.config.update("jax_enable_x64", True)
    return df.JaxFunction(**arguments)


FIELD = P.field(STATE)
ORDER = (2.5, NAN, None, "3", [1], 1j, THING, -1)
CALCULUS_ROWS = [
    *(of(call.__name__, call, {"u": FIELD}, u=(3.0, "x", None, THING, np.ones(3))) for call in (df.grad, df.laplacian)),
    of("dx", df.dx, {"u": FIELD}, u=(3.0, "x", None, THING, np.ones(3)), order=ORDER),
    of("div", df.div, {"u": df.Problem(df.Stack(G), Q, zero).field(STATE)}, u=(3.0, "x", None, THING, np.ones(3),
       FIELD)),
    of("dot", df.dot, {"a": np.ones((1, 3)), "b": np.ones((1, 3))}, a=(3.0, "x", None, THING, np.ones((2, 3))),
       b=(3.0, "x", None, THING, np.ones((1, 4)))),
    of("Field", lambda order: FIELD.derivative(order), {"order": 1}, order=ORDER),
]  # fmt: skip
GROWING = evolution.Growing(lambda a: a, lambda x: [], 1e6, 10)
MORE_ROWS = [
    of("FiniteElement", df.FiniteElement, {"basis": skfem.Basis(TRIANGLES, skfem.ElementTriP1())},
       basis=objects(skfem.Basis, None, TRIANGLES)),
    *([of("JaxFunction", jax_function, {"fn": lambda theta, x: theta[0] * x[0], "theta0": np.ones(1), "dim": 1},
          fn=FUNCTION, dim=COUNT, chunk=COUNT_OR_NONE)] if find_spec("jax") else []),
    *([of("TorchFunction", df.TorchFunction, {"fn": lambda theta, x: theta[0] * x[0], "theta0": np.ones(1), "dim": 1},
          fn=FUNCTION, dim=COUNT, chunk=COUNT_OR_NONE)] if find_spec("torch") else []),
    *(of(cls.__name__, cls, {}, keep=(*without(LIMIT, INF, 1e400), None)) for cls in (GramCholesky, DualCholesky)),
    of("PivotedCholesky", PivotedCholesky, {}, keep=(*without(LIMIT, INF, 1e400), None), max_rank=COUNT_OR_NONE),
    of("Nystrom", Nystrom, {}, rank=COUNT, max_rank=COUNT_OR_NONE, seed=(*WHOLE, -1)),
    of("Sampled", Sampled, {}),
    of("run", lambda comm: parallel.run(comm).__enter__(), {"comm": SELF}, comm=(None, *COMM)),
    of("evolve_growing", lambda **k: list(evolution.evolve_growing(**k)),
       {"problem": P, "state": STATE, "growing": GROWING, "regularization": TIKHONOV, "until": 0.1,
       "controller": FIXED},
       problem=MODELS, state=STATES, growing=objects(evolution.Growing, None), regularization=(*RULES, None),
       until=(*REAL, -1.0)),
    of("change", ansatze.change, {"ansatz": G, "theta": THETA, "other": G, "other_theta": THETA, "x": Q.x,
       "norm": Q.norm},
       ansatz=ANSATZE, theta=VECTOR[:4], other=ANSATZE, other_theta=VECTOR[:4], x=("x", None, THING, RAGGED,
       np.ones(2)),
       norm=FUNCTION),
    of("save_grid", lambda path, **k: None if path == "unused" else df.io.save_grid(path, **k),
       {"path": "unused", "axes": [np.arange(3.0)], "t": 0.0, "fields": {}}, path=(None, *PATH)),
    of("fem.LinearSolver", fem.LinearSolver, {"nodes": NODES, "matrix": NODES.matrix(MATRIX), "prefix": "args_"},
       matrix=(*objects(None), np.ones(3)),
       nodes=objects(fem.Nodes, None), prefix=(*TEXT, None), fixed=("x", THING, [0.5], [99], RAGGED),
       ksp=(*WORDS, None),
       pc=(*WORDS, None), rtol=(*POSITIVE, 1.0), max_it=COUNT),
    of("Run", df.Run, {"directory": "unused", "problem": P}, directory=(None, *PATH), problem=MODELS,
       every_steps=COUNT_OR_NONE, every_seconds=LIMIT, keep=COUNT, max_seconds=LIMIT, overwrite=TRUTH,
       accept_changes=TRUTH, show_progress=TRUTH, quantities=(3, "x", [1], {"q": 3}), rescue=MAYBE),
]  # fmt: skip
ROWS = [
    *RULE_ROWS, *STEP_ROWS, *SOLVER_ROWS, *SPACE_ROWS, *ANSATZ_ROWS, *FEM_ROWS, *TOOLS, *LEARNING_ROWS, *STEPPER_ROWS,
    *CALCULUS_ROWS, *MORE_ROWS, *MEASURE_ROWS,
]  # fmt: skip
CASES = [(row, argument) for row in ROWS for argument in row.wrong]


def outcome(row: Row, argument: str, value: Any) -> str:
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            row(**{argument: value})
    except DfpdeError as error:
        return "" if error.remedy or error.what else f"no message: {error!r}"
    except Exception as error:
        return f"{type(error).__name__}: {str(error)[:200]}"
    return "no error"

#: Public names without a row: why.
EXEMPT = {
    "protocols and bases": "Ansatz Controller Integrator Loss Preconditioner Proposal Regularization Rows SeriesWriter "
    "Solver Stepper",
    "results and errors, which users are given": "AnsatzReport Decision DfpdeError Entry EpsilonReport EpsilonWarning "
    "Sensitivity Solution Spectrum StageContext Statistics Step Velocity Leverage Sampling SamplingWarning Cloud",
    "tables of coefficients": "ImexTableau Splitting Tableau",
    "called in every stage": "anchored collective_errors raise_on_all require_finite same_on_all_ranks multi_index exp "
    "softplus square fisher relative block_metric leverage real_rows right_singular root_weights singular_values "
    "truncated",
    "parts of a solve, made by the library": "Constrained DenseRows LeastSquares MatrixFreeRows MetricRows Products "
    "Projector SparseRows Tangent default_solver partition_cells",
    "optional packages": "KSP JaxFunction TorchFunction",
}


# -- tests ---------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_valid_calls_work(row):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        row()


@pytest.mark.parametrize(("row", "argument"), CASES, ids=lambda part: getattr(part, "name", part))
def test_wrong_values_and_types_give_a_named_error(row, argument):
    if row.name == "fem.LinearSolver" and argument in ("ksp", "pc") and find_spec("petsc4py") is None:
        pytest.skip("types of solvers are PETSc's: without petsc4py SuperLU takes their place")
    failed = {repr(value)[:60]: said for value in row.wrong[argument] if (said := outcome(row, argument, value))}
    assert not failed, failed


def test_every_public_name_has_its_row():
    missing = set() if find_spec("petsc4py") else {"KSP"}
    known = sorted(set(df.__all__) - missing)
    spaces = [df, domain, leastsquares, *(part for name in known if inspect.ismodule(part := getattr(df, name)))]
    parts = [(name, getattr(space, name)) for space in spaces for name in set(space.__all__) - missing]
    public = {name for name, part in parts if callable(part) and not inspect.ismodule(part)}
    tried = {row.name.removeprefix("fem.").split(".")[0] for row in ROWS}
    assert public - tried <= {name for names in EXEMPT.values() for name in names.split()}
    assert sum(len(values) for row in ROWS for values in row.wrong.values()) >= 3000

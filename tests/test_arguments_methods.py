"""Public methods with wrong arguments: as tests/test_arguments.py, one named error each."""

from __future__ import annotations

import tempfile
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import skfem

import dfpde as df
from dfpde import ansatz as ansatze
from dfpde import fem, learning, steppers
from dfpde.leastsquares import LeastSquares
from tests.test_arguments import (
    EDGE,
    ENERGY,
    FIELD,
    FIXED,
    FUNCTION,
    GIVEN,
    GRID,
    INF,
    LAPLACE,
    MASS,
    MATRIX,
    MODELS,
    NAN,
    NODES,
    RAGGED,
    REAL,
    SELF,
    SPACE,
    SPECTRUM,
    STATE,
    STATES,
    STIFF,
    SYSTEM,
    THETA,
    THING,
    TIKHONOV,
    TRIANGLES,
    P,
    Q,
    Row,
    objects,
    of,
    outcome,
)

FOLDER = tempfile.TemporaryDirectory()  # until the tests end
OUT = Path(FOLDER.name)
G = df.GaussianMixture.isotropic(1, 2)
G2 = df.GaussianMixture.full(2, 1)
ANSATZE = {
    "mixture": G,
    "full": G2,
    "positive": ansatze.PositiveMixture.isotropic(1, 2),
    "periodic": df.PeriodicGaussianMixture.isotropic((2.0,), 2),
    "packets": df.WavePackets(1, 1),
    "network": df.Network(1, (3,)),
    "embedded": df.Network(1, (3, 3), None, df.PeriodicEmbedding((2.0,))),
    "stack": df.Stack(G, G),
    "sum": df.Sum(G, df.Network(1, (2,))),
    "product": df.Product(G, G),
    "masked": ansatze.Masked(G, ansatze.Polynomial.box([0.0], [1.0])),
    "transform": ansatze.Transform(G, ansatze.exp),
    "frozen": ansatze.Frozen(G, np.ones(G.size), names=["amplitudes"]),
    "symmetric": ansatze.Symmetric(G, [((-1,), 1)]),
}


def array_but(*shape: int) -> tuple[Any, ...]:
    """What is no real array of this shape."""
    longer = (shape[0] + 1, *shape[1:])
    return (
        "x",
        None,
        THING,
        RAGGED,
        3.0,
        np.ones(longer),
        np.ones((*shape, 2)),
        np.ones(shape) + 1j,
        np.full(shape, "a"),
    )


def evaluations(name: str, ansatz: Any) -> list[Row]:
    """The methods of an ansatz at two points."""
    theta = np.linspace(0.5, 1.0, ansatz.size)
    x = np.full((ansatz.dim, 2), 0.3)
    at, one = {"theta": theta, "x": x}, (0,) * ansatz.dim
    wrong = {"theta": array_but(ansatz.size), "x": (*array_but(*x.shape)[:6], np.ones(2), x + 1j)}
    orders = (None, 3, "x", THING, (*one, 0), (-1, *one[1:]), (0.5, *one[1:]), ("a", *one[1:]))
    alphas = (None, 3, "x", THING, [(*one, 0)], [3])
    u = ansatz.value(theta, x)
    rows = [
        of(f"{name}.{m}", getattr(ansatz, m), at, **wrong)
        for m in ("value", "tangent", "gradient", "laplacian", "hessian")
    ]
    rows += [
        of(f"{name}.{m}", getattr(ansatz, m), at | {"alpha": one}, alpha=orders, **wrong)
        for m in ("derivative", "tangent_derivative")
    ]
    rows += [
        of(f"{name}.{m}", getattr(ansatz, m), at | {"alphas": [one]}, alphas=alphas, **wrong)
        for m in ("derivatives", "evaluate")
    ]
    rows += [of(f"{name}.jvp", ansatz.jvp, at | {"v": theta}, v=array_but(ansatz.size), **wrong)]
    rows += [of(f"{name}.vjp", ansatz.vjp, at | {"y": u}, y=("x", None, THING, RAGGED, 3.0, np.ones((7, 7))), **wrong)]
    rows += [of(f"{name}.unpack", ansatz.unpack, {"theta": theta}, theta=wrong["theta"])]
    return rows


SEMI = fem.SemiDiscrete(G2, MATRIX, lambda t, u: 0 * u, NODES)
VALUES = array_but(Q.n)
HISTORY = df.History()
SOLUTION = df.solve(P, STATE, times=[0.0, 0.05, 0.1], regularization=TIKHONOV, rtol=1e-2)
BOUND = df.diagnostics.ErrorBound(P, STATE, 0.0)
LATER = df.State(0.1, THETA)
TIMES = (None, "x", THING, NAN, 1e9, -1.0, [0.0, 9.0], ["a"], 1j)


def run(**arguments: Any) -> Any:
    """A run of its own for each call."""
    with df.Run(OUT / "run", P, overwrite=True) as begun:
        return list(begun.evolve(**arguments))


MODEL_ROWS = [
    *(
        row
        for name, model, theta in (("Problem", P, THETA), ("SemiDiscrete", SEMI, np.ones(G2.size)))
        for row in (
            of(f"{name}.tangent", model.tangent, {"theta": theta}, theta=array_but(theta.size)),
            of(f"{name}.norm", model.norm, {"state": theta}, state=array_but(theta.size)),
            of(
                f"{name}.field",
                model.field,
                {"state": theta},
                state=array_but(theta.size),
                x=(3.0, "x", THING, RAGGED, np.ones(3)),
            ),
            of(f"{name}.scaled", model.scaled, {"state": theta}, state=array_but(theta.size)),
            of(
                f"{name}.weigh",
                model.weigh,
                {"values": model.field(theta).value},
                values=array_but(model.points.shape[1])[:6],
            ),
            of(f"{name}.system", model.system, {"t": 0.0, "theta": theta}, theta=array_but(theta.size)),
            of(
                f"{name}.with_ansatz",
                model.with_ansatz,
                {"ansatz": model.ansatz, "scale": None},
                ansatz=objects(df.GaussianMixture, None),
                scale=("x", THING, RAGGED, np.ones(99), -np.ones(theta.size)),
            ),
        )
    ),
    *(
        of(f"SemiDiscrete.{method.__name__}", method, {"values": np.ones(NODES.n)}, values=array_but(NODES.n)[:6])
        for method in (SEMI.own, SEMI.with_ghosts)
    ),
    of("Problem.time_derivative", P.time_derivative, {"t": 0.0, "u": P.field(THETA)}, u=(3.0, "x", None, THING)),
    of("Field()", FIELD, {"x": Q.x}, x=("x", None, THING, RAGGED, 3.0, np.ones(3), np.ones((2, 2)), Q.x + 1j)),
    of(
        "State.with_",
        STATE.with_,
        {"theta": THETA},
        theta=("x", None, THING, RAGGED, np.full(3, NAN), THETA + 1j),
        t=REAL,
        dt=(0.0, -1.0, "x", NAN),
        scale=(np.ones(2), -THETA),
        velocity=(np.ones(2), np.full(3, INF), "x"),
    ),
    of("History.record", HISTORY.record, {"state": STATE}, state=STATES, problem=objects(df.Problem)),
    of(
        "History.resume",
        lambda path, **k: None if path == "unused" else df.History.resume(path, STATE, **k),
        {"path": "unused"},
        path=(None, 3, THING, OUT),
    ),
    of(
        "Solution()",
        SOLUTION,
        {"t": 0.05, "x": Q.x},
        t=TIMES,
        x=("x", None, THING, RAGGED, 3.0, np.ones((2, 2)), Q.x + 1j),
    ),
    of(
        "Solution.errors",
        SOLUTION.errors,
        {"reference": lambda t, x: np.exp(-(x[0] ** 2))},
        reference=(*FUNCTION, lambda t, x: "x", lambda t, x: np.ones(3), lambda t, x: np.nan * x[0]),
    ),
    of("ErrorBound.after", BOUND.after, {"state": LATER}, state=(*STATES, STATE, df.State(1.0, np.ones(5)))),
    of(
        "FieldStepBound.after",
        df.diagnostics.FieldStepBound(0.0).after,
        {"state": STATE.counted(error=0.0, defect=0.0, dt=0.1)},
        state=STATES,
    ),
    of("Functional.value", ENERGY.value, {"problem": P, "theta": THETA}, problem=MODELS, theta=array_but(3)),
    of("Functional.gradient", ENERGY.gradient, {"problem": P, "theta": THETA}, problem=MODELS, theta=array_but(3)),
    *(
        of(f"{rule}.coefficients", rule.coefficients, {"tau": 0.1}, tau=(*REAL[:-1], 0.0))
        for rule in (df.InertiaFromMass(1e-3),)
    ),
    *(
        of(
            f"{solver}.solve",
            solver.solve,
            {"system": LeastSquares(SYSTEM.tangent, SYSTEM.rhs, 1e-3)},
            system=(
                *objects(LeastSquares, None),
                LeastSquares(SYSTEM.tangent, SYSTEM.rhs[1:], 1e-3),
                LeastSquares(SYSTEM.tangent, np.nan * SYSTEM.rhs, 1e-3),
                LeastSquares(SYSTEM.tangent, SYSTEM.rhs, NAN),
                LeastSquares(SYSTEM.tangent, SYSTEM.rhs, -1.0),
                LeastSquares(SYSTEM.tangent, SYSTEM.rhs, 1e-3, -THETA),
            ),
        )
        for solver in (df.LSQR(), df.Dense())
    ),
    of(
        "Run.evolve",
        run,
        {"start": STATE, "until": 0.1, "controller": FIXED, "regularization": TIKHONOV},
        start=(3.0, "x", [1], THING, None, df.State(0.0, np.ones(5))),
        until=REAL,
        times=(3.0, "x", THING, [NAN], [0.2, 0.1]),
        events=(3, "x", THING, [3]),
    ),
    of("Spectrum.effective_rank", SPECTRUM.effective_rank, {"eps": 1e-3}, eps=(*REAL, -1.0, 0.0)),
    of(
        "Spectrum.weak_parameters",
        SPECTRUM.weak_parameters,
        {"ansatz": P.ansatz, "eps": 1e-3},
        ansatz=objects(df.GaussianMixture, None),
        eps=REAL,
    ),
    of("Spectrum.weakness", SPECTRUM.weakness, {"v": THETA, "eps": 1e-3}, v=array_but(3), eps=REAL),
]
NODAL = np.ones(NODES.n)
WRITER = df.ParaViewWriter(OUT / "series", TRIANGLES, SELF)
ELLIPTIC = fem.Elliptic(SPACE, LAPLACE, dirichlet={"left": 0.0})
CHECKED_NODAL = ("x", None, THING, RAGGED, np.ones(99), np.full(NODES.n, NAN), ["a"] * NODES.n)
FEM_ROWS = [
    of("Space.matrix", SPACE.matrix, {"form": MASS}, form=FUNCTION, boundary=(3, "nowhere", THING)),
    of(
        "Space.vector",
        SPACE.vector,
        {"form": skfem.LinearForm(lambda v, w: v)},
        form=FUNCTION,
        boundary=(3, "nowhere", THING),
    ),
    of(
        "Space.integral",
        SPACE.integral,
        {"form": skfem.Functional(lambda w: 1.0 + 0 * w.x[0])},
        form=FUNCTION,
        boundary=(3, "nowhere", THING),
    ),
    of(
        "Space.boundary_nodes",
        lambda name: SPACE.boundary_nodes(name),
        {"name": "left"},
        name=("nowhere", 3, THING, None),
    ),
    of("Space.facet_basis", SPACE.facet_basis, {"name": "left"}, name=("nowhere", 3, THING, ["a"])),
    of("Elliptic.solve", ELLIPTIC.solve, {"source": np.ones(SPACE.quadrature.n)}, source=CHECKED_NODAL),
    of(
        "Projection.apply",
        fem.Projection(SPACE).apply,
        {"u": lambda x: x[0]},
        u=("x", THING, None, lambda x: "x", lambda x: np.ones(3)),
    ),
    of(
        "Evaluation.value", fem.Evaluation(SPACE, np.full((2, 1), 0.5)).value, {"nodal": NODAL}, nodal=CHECKED_NODAL[:5]
    ),
    of(
        "Evaluation.gradient",
        fem.Evaluation(SPACE, np.full((2, 1), 0.5)).gradient,
        {"nodal": NODAL},
        nodal=CHECKED_NODAL[:5],
    ),
    *(
        of(f"Nodes.{m}", getattr(NODES, m), {"local": NODAL}, local=CHECKED_NODAL[:5])
        for m in ("sum", "gather", "smallest")
    ),
    of("Nodes.matrix", NODES.matrix, {"local": MATRIX}, local=(3.0, "x", None, THING, np.ones((2, 3)))),
    of("StiffModel.apply_mass", STIFF.apply_mass, {"u": NODAL}, u=CHECKED_NODAL[:5]),
    of("StiffModel.apply_stiffness", STIFF.apply_stiffness, {"u": NODAL}, u=CHECKED_NODAL[:5]),
    of(
        "StiffModel.solve",
        STIFF.solve,
        {"shift": 0.1, "load": NODAL, "t": 0.0},
        shift=(NAN, "x", None, THING),
        load=CHECKED_NODAL,
    ),
    of(
        "ParaViewWriter.write",
        WRITER.write,
        {"t": 0.0, "u": lambda x: x[0]},
        t=REAL,
        u=("x", 3.0, THING, None, lambda x: "x", lambda x: np.ones(3), np.ones(3)),
    ),
    of(
        "Robin.rows",
        fem.Robin(EDGE, lambda t, x: 0 * x[0]).rows,
        {"t": 0.0, "theta": np.ones(G2.size), "ansatz": G2},
        theta=array_but(G2.size),
        ansatz=(*objects(df.GaussianMixture, None), G),
    ),
]
MISFIT = learning.Misfit(P.ansatz, Q, np.ones(Q.n))
ETDRK = steppers.ETDRK4(GRID, lambda k: -np.sum(k**2, axis=0), lambda t, x, u: 0 * u.value)
U = np.ones(8)
OTHER_ROWS = [
    *(of(f"Misfit.{m}", getattr(MISFIT, m), {"theta": THETA}, theta=array_but(3)) for m in ("value", "gradient")),
    of(
        "Newtonian.energy",
        learning.Newtonian(GIVEN).energy,
        {"motion": learning.Motion(0.0, np.ones(3), np.ones(3))},
        motion=objects(learning.Motion, None),
    ),
    *(
        of(f"PeriodicGrid.{m}", getattr(GRID, m), {"values": U}, values=array_but(8)[:6])
        for m in ("forward", "gather", "local")
    ),
    of("ETDRK4()", ETDRK, {"t": 0.0, "u": U, "dt": 0.1}, u=array_but(8)[:6], dt=(NAN, "x", None, THING)),
    of("guess", G.guess, {"x": np.linspace(0, 1, 9)[None]}, x=array_but(1, 9)[:6], seed=(2.5, None, "x", THING, -1)),
    of(
        "pack",
        G.pack,
        {"amplitudes": 1.0, "centers": 0.0, "scales": 1.0},
        scales=("x", None, THING, RAGGED, np.ones(7), NAN),
    ),
    of(
        "Frozen.full",
        ANSATZE["frozen"].full,
        {"theta": np.ones(ANSATZE["frozen"].size)},
        theta=array_but(ANSATZE["frozen"].size),
    ),
    of("Frozen.free", ANSATZE["frozen"].free, {"whole": np.ones(G.size)}, whole=array_but(G.size)),
]
ROWS = [
    *(row for name, ansatz in ANSATZE.items() for row in evaluations(name, ansatz)),
    *MODEL_ROWS,
    *FEM_ROWS,
    *OTHER_ROWS,
]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_valid_calls_work_and_wrong_arguments_are_named(row):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        row()
    failed = {}
    for argument, values in row.wrong.items():
        failed |= {f"{argument} = {value!r:.50}": said for value in values if (said := outcome(row, argument, value))}
    assert not failed, failed


def test_so_many_are_tried():
    assert sum(len(values) for row in ROWS for values in row.wrong.values()) >= 2000

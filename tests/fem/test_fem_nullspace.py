"""Elliptic problems that do not see constants: solved with mean zero when they can be, refused by name when not."""

from __future__ import annotations

import numpy as np
import pytest
import skfem
from mpi4py import MPI
from skfem.helpers import dot, grad
from skfem.models import laplace

from dfpde import fem
from dfpde.errors import DfpdeWarning, ParameterError


def space_on(comm, mesh, element):
    return fem.Space(fem.partition(mesh if comm.rank == 0 else None, comm), element)


def square(n):
    mesh = skfem.MeshTri.init_tensor(np.linspace(0, 1, n + 1), np.linspace(0, 1, n + 1))
    return mesh.with_boundaries({"left": lambda x: x[0] == 0, "right": lambda x: x[0] == 1})


def apart(n):
    """[0, 1] x [0, 1] and [2, 3] x [0, 1]."""
    one = square(n)
    return skfem.MeshTri(np.hstack([one.p, one.p + np.array([[2], [0]])]), np.hstack([one.t, one.t + one.p.shape[1]]))


def mean(space, c):
    return space.quadrature.integrate(c.value) / space.quadrature.measure


@pytest.mark.mpi
@pytest.mark.filterwarnings("ignore:the mean of the source")  # the rules of coarse meshes do not integrate cosines to 0
@pytest.mark.parametrize(("element", "order"), [(skfem.ElementTriP1(), 2), (skfem.ElementTriP2(), 3)])
def test_pure_neumann_converges_with_mean_zero(comm, element, order):
    """−Δc = 2π² cos πx cos πy."""
    errors = []
    for n in (8, 16):
        space = space_on(comm, square(n), element)
        x = space.quadrature.x
        exact = np.cos(np.pi * x[0]) * np.cos(np.pi * x[1])
        c = fem.Elliptic(space, laplace).solve(2 * np.pi**2 * exact)
        assert abs(mean(space, c)) < 1e-12
        errors.append(space.quadrature.norm(c.value - exact))
    assert np.log2(errors[0] / errors[1]) == pytest.approx(order, abs=0.15)


@pytest.mark.mpi
def test_hermite_elements_have_a_constant_of_other_coefficients(comm):
    space = space_on(comm, skfem.MeshLine(np.linspace(0, 1, 21)), skfem.ElementLineHermite())
    exact = np.cos(np.pi * space.quadrature.x[0])
    c = fem.Elliptic(space, laplace).solve(np.pi**2 * exact)
    assert space.quadrature.norm(c.value - exact) < 1e-5 and abs(mean(space, c)) < 1e-12


@pytest.mark.mpi
def test_a_source_is_balanced_by_fluxes(comm):
    """−c'' = 1, c'(0) = 0, −c'(1) = 1: c = 1/6 − x²/2."""
    space = space_on(comm, square(8), skfem.ElementTriP2())
    flux = space.vector(skfem.LinearForm(lambda v, w: -v), "right")
    x = space.quadrature.x
    c = fem.Elliptic(space, laplace, load=flux).solve(np.ones(space.quadrature.n))
    np.testing.assert_allclose(c.value, 1 / 6 - x[0] ** 2 / 2, atol=1e-9)


@pytest.mark.mpi
def test_every_separate_part_has_mean_zero(comm):
    space = space_on(comm, apart(8), skfem.ElementTriP2())
    x = space.quadrature.x
    second = x[0] > 1.5
    f = np.where(second, -3.0, 1.0) * np.pi**2 * np.cos(np.pi * x[0])
    problem = fem.Elliptic(space, laplace)
    c = problem.solve(f)
    exact = np.where(second, -3.0, 1.0) * np.cos(np.pi * x[0])
    assert space.quadrature.norm(c.value - exact) < 1e-3
    for chosen in (second, ~second):
        assert abs(space.quadrature.integrate(chosen * c.value)) < 1e-12
    with pytest.raises(ParameterError, match="each of 2 separate parts") as caught:
        problem.solve(np.where(second, -1.0, 1.0))  # mean zero on the whole only
    assert caught.value.collective


@pytest.mark.mpi
def test_one_part_may_be_held(comm):
    """Values on the first square only: constants are lost on the second."""
    mesh = apart(8).with_boundaries({"left": lambda x: x[0] == 0})
    space = space_on(comm, mesh, skfem.ElementTriP2())
    x = space.quadrature.x
    second = x[0] > 1.5
    c = fem.Elliptic(space, laplace, dirichlet={"left": 5.0}).solve(np.where(second, np.cos(np.pi * x[0]), 1.0))
    exact = np.where(second, np.cos(np.pi * x[0]) / np.pi**2, 5.0 + x[0] - x[0] ** 2 / 2)
    assert space.quadrature.norm(c.value - exact) < 1e-4


@pytest.mark.mpi
@pytest.mark.parametrize("f", [lambda x: np.exp(x[0]), lambda x: 1.0 + 0 * x[0], lambda x: 1e-2 + np.cos(np.pi * x[0])])
def test_a_source_with_a_mean_has_no_solution(comm, f):
    space = space_on(comm, square(6), skfem.ElementTriP1())
    with pytest.raises(ParameterError, match="has no solution: constants on the mesh") as caught:
        fem.Elliptic(space, laplace).solve(f(space.quadrature.x))
    assert caught.value.collective and "subtract the mean" in caught.value.remedy


def test_rounding_and_quadrature_errors_of_a_mean_are_taken_out():
    space = space_on(MPI.COMM_SELF, square(6), skfem.ElementTriP1())
    problem, f = fem.Elliptic(space, laplace), np.cos(np.pi * space.quadrature.x[0])
    with pytest.warns(DfpdeWarning, match=r"1\.\de-04 of its size, was taken out"):
        shifted = problem.solve(f + 1e-4)
    np.testing.assert_allclose(shifted.value, problem.solve(f).value, atol=1e-9)
    assert not np.any(problem.solve(0 * f).value)


@pytest.mark.mpi
def test_problems_that_see_constants_are_left_alone(comm):
    """A reaction, Robin's condition, or Dirichlet's: no mean is fixed."""
    space = space_on(comm, square(6), skfem.ElementTriP1())
    robin = skfem.BilinearForm(lambda u, v, w: u * v)
    reaction = skfem.BilinearForm(lambda u, v, w: dot(grad(u), grad(v)) + 1e-6 * u * v)
    ones = np.ones(space.quadrature.n)
    np.testing.assert_allclose(fem.Elliptic(space, reaction).solve(ones).value, 1e6, rtol=1e-6)
    c = fem.Elliptic(space, laplace, boundary={"right": robin}).solve(ones)  # −c'' = 1, −c'(1) = c(1) = 1
    assert space.quadrature.norm(c.value - (1.5 - space.quadrature.x[0] ** 2 / 2)) < 1e-2


def test_advection_without_boundary_values_is_refused():
    space = space_on(MPI.COMM_SELF, square(4), skfem.ElementTriP1())
    form = skfem.BilinearForm(lambda u, v, w: dot(grad(u), grad(v)) + grad(u)[0] * v)
    with pytest.raises(ParameterError, match="not symmetric"):
        fem.Elliptic(space, form)

"""Steps along characteristics: exact where feet and source are, of their order where they are not."""

from __future__ import annotations

import numpy as np
import pytest
from mpi4py import MPI

import dfpde as df
from dfpde.errors import ShapeError
from dfpde.steppers import Characteristics

OMEGA, SWAP = 1.0, 5.0


def turned(angle, x):
    c, s = np.cos(angle), np.sin(angle)
    return np.stack([c * x[0] - s * x[1], s * x[0] + c * x[1]])


@pytest.mark.mpi
@pytest.mark.parametrize("phase", [0.0, np.pi / 4, 0.3])
def test_a_packet_whose_amplitudes_pass_through_zero(phase):
    """As in demos/rabi.py a packet turns while two modes swap; zeros at ends of steps, in middles, at neither."""
    quadrature = df.Quadrature.gauss([(-1.4, 1.4)] * 2, 16, 3, MPI.COMM_WORLD)
    mode = df.GaussianMixture.isotropic(2, 1)
    problem = df.Problem(df.Stack(mode, mode), quadrature, lambda t, x, z: 0 * z.value)
    center, scale = [[0.5, 0.0]], 1 / 0.15
    parts = [mode.pack(amplitudes=a, centers=center, scales=scale) for a in (np.cos(phase), -np.sin(phase))]
    stepper = Characteristics(lambda t, x, h: turned(-OMEGA * h, x), lambda t, x, z, h: turned(-SWAP * h, z))
    how = {"controller": df.Fixed(np.pi / 2 / SWAP / 4), "integrator": df.FieldStep(stepper, 1e-14)}
    for state in df.evolve(problem, df.State(0.0, np.concatenate(parts)), until=2 * np.pi / SWAP, **how):
        packet = np.exp(
            -0.5 * np.sum((turned(-OMEGA * state.t, problem.points) - [[0.5], [0.0]]) ** 2, axis=0) / 0.15**2
        )
        exact = np.stack([np.cos(SWAP * state.t + phase) * packet, -np.sin(SWAP * state.t + phase) * packet])
        assert quadrature.norm(problem.field(state).value - exact) < 1e-10 * quadrature.norm(exact)


@pytest.mark.parametrize("order", [1, 2])
def test_order_of_feet(order):
    """Rotation with feet by Euler's method and by the midpoint rule."""
    flow = np.array([[0.0, -1.0], [1.0, 0.0]])

    def feet(t, x, h):
        return x - h * flow @ (x if order == 1 else x - h / 2 * flow @ x)

    field = df.Field(
        df.GaussianMixture.isotropic(2, 1),
        np.array([1.0, 0.5, 0.0, 2.0]),
        np.random.default_rng(0).normal(size=(2, 50)),
    )
    exact = field.ansatz.value(field.theta, turned(-0.5, field.x))
    errors = [np.linalg.norm(Characteristics(feet, order=order).of_field(0.0, field, 0.5, n) - exact) for n in (16, 32)]
    assert abs(np.log2(errors[0] / errors[1]) - order) < 0.15


def test_feet_of_another_shape_are_refused():
    field = df.Field(df.GaussianMixture.isotropic(2, 1), np.array([1.0, 0.5, 0.0, 2.0]), np.zeros((2, 5)))
    with pytest.raises(ShapeError, match="feet"):
        Characteristics(lambda t, x, h: x[:, 1:]).of_field(0.0, field, 0.1, 1)

"""Learning dynamics: losses as potential energy, symplectic and stochastic schemes, training by `evolve`."""

from .dynamics import BLANES_MOAN4, SUZUKI4, VERLET, YOSHIDA4, Motion, Newtonian, Splitting, learn
from .losses import Given, Loss, Misfit, gauss_newton_flow, gradient_flow

__all__ = [
    "BLANES_MOAN4", "SUZUKI4", "VERLET", "YOSHIDA4", "Given", "Loss", "Misfit", "Motion", "Newtonian", "Splitting",
    "gauss_newton_flow", "gradient_flow", "learn",
]

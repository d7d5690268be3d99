"""dfpde: Dirac–Frenkel dynamics with inertia for nonlinearly parametrized solutions of evolution equations.

    u_t = f(t, u),   u = Φ(θ),   θ̇ = argmin_v ‖J v − f‖² + ε² ‖v − ρ a‖²,   a the velocity before
"""

import sys

if sys.argv[:1] != ["-m"]:  # `python -m dfpde info` must work where PETSc or MPI do not, so it starts with nothing
    from .ansatz import Ansatz, GaussianMixture, PeriodicGaussianMixture, Stack, WavePackets, check_ansatz
    from .calculus import Field, div, dot, dx, grad, laplacian
    from .collective import agree, finite, guard, together
    from .diagnostics import Conserving, EnergyLedger, Functional, check_epsilon, sensitivities, spectrum
    from .errors import DfpdeError
    from .evolution import PI, RK4, BogackiShampine, DormandPrince, Euler, Fixed, Heun, State, evolve
    from .fit import fit
    from .inertia import Inertia, Tikhonov
    from .io import ParaViewWriter, RunManifest, load, progress, save
    from .learning import Misfit, Newtonian, gauss_newton_flow, learn
    from .leastsquares import KSP, Dense
    from .mesh import Mesh, read_mesh
    from .problem import Dirichlet, Problem
    from .quadrature import Quadrature
    from .regularizations import Onsager, RandomSparse, TruncatedSVD

__version__ = "0.1.0"

__all__ = [
    "KSP", "PI", "RK4", "Ansatz", "BogackiShampine", "Conserving", "Dense", "DfpdeError", "Dirichlet",
    "DormandPrince", "EnergyLedger", "Euler", "Field", "Fixed", "Functional", "GaussianMixture", "Heun", "Inertia",
    "Mesh", "Misfit", "Newtonian", "Onsager", "ParaViewWriter", "PeriodicGaussianMixture", "Problem", "Quadrature",
    "RandomSparse", "RunManifest", "Stack", "State", "Tikhonov", "TruncatedSVD", "WavePackets", "agree",
    "check_ansatz", "check_epsilon", "div", "dot", "dx", "evolve", "finite", "fit", "gauss_newton_flow", "grad",
    "guard", "laplacian", "learn", "load", "progress", "read_mesh", "save", "sensitivities", "spectrum", "together",
]

"""dfpde: Dirac–Frenkel dynamics with inertia for nonlinearly parametrized solutions of evolution equations.

    u_t = f(t, u),   u = Φ(θ),   θ̇ = argmin_v ‖J v − f‖² + ε² ‖v − ρ a‖²,   a the velocity before
"""

import sys

if sys.argv[:1] != ["-m"]:  # `python -m dfpde info` must work where PETSc or MPI do not, so it starts with nothing
    from .ansatz import (
        Ansatz,
        Autodiff,
        FiniteElement,
        Frozen,
        GaussianMixture,
        Known,
        Masked,
        Network,
        Periodic,
        PeriodicEmbedding,
        PeriodicGaussianMixture,
        Polynomial,
        Product,
        Stack,
        Sum,
        Symmetric,
        TorchFunction,
        Transform,
        WavePackets,
        check_ansatz,
    )
    from .calculus import Field, div, dot, dx, grad, laplacian
    from .collective import agree, finite, guard, together
    from .diagnostics import Conserving, EnergyLedger, Functional, check_epsilon, sensitivities, spectrum
    from .errors import DfpdeError
    from .evolution import (
        PI,
        PID,
        RK4,
        ROS2,
        SDIRK2,
        SDIRK4,
        BogackiShampine,
        DormandPrince,
        Euler,
        Event,
        Fixed,
        Growing,
        Heun,
        ImplicitEuler,
        ImplicitMidpoint,
        RadauIIA,
        State,
        evolve,
        evolve_growing,
    )
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
    "KSP", "PI", "PID", "RK4", "ROS2", "SDIRK2", "SDIRK4", "Ansatz", "Autodiff", "BogackiShampine", "Conserving",
    "Dense", "DfpdeError", "Dirichlet", "DormandPrince", "EnergyLedger", "Euler", "Event", "Field", "FiniteElement",
    "Fixed", "Frozen", "Functional", "GaussianMixture", "Growing", "Heun", "ImplicitEuler", "ImplicitMidpoint",
    "Inertia", "Known", "Masked", "Mesh", "Misfit", "Network", "Newtonian", "Onsager", "ParaViewWriter", "Periodic",
    "PeriodicEmbedding", "PeriodicGaussianMixture", "Polynomial", "Problem", "Product", "Quadrature", "RadauIIA",
    "RandomSparse", "RunManifest", "Stack", "State", "Sum", "Symmetric", "Tikhonov", "TorchFunction", "Transform",
    "TruncatedSVD", "WavePackets", "agree", "check_ansatz", "check_epsilon", "div", "dot", "dx", "evolve",
    "evolve_growing", "finite", "fit", "gauss_newton_flow", "grad", "guard", "laplacian", "learn", "load", "progress",
    "read_mesh", "save", "sensitivities", "spectrum", "together",
]

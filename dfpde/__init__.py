"""dfpde: Dirac–Frenkel dynamics with inertia for nonlinearly parametrized solutions of evolution equations.

    u_t = f(t, u),   u = Φ(θ),   θ̇ = argmin_v ‖J v − f‖² + ε² ‖v − ρ a‖²,   a the velocity before

Names are imported when they are first used (PEP 562), so that ``python -m dfpde info`` works where PETSc or MPI do not.
"""

import importlib
import os
from typing import Any

__version__ = "0.2.0"

#: Module or package -> the public names that come from it.
_HOMES = {
    "ansatz": "Ansatz FiniteElement GaussianMixture JaxFunction Network PeriodicEmbedding PeriodicGaussianMixture "
    "Product Stack Sum TorchFunction WavePackets check_ansatz",
    "calculus": "Field div dot dx grad laplacian",
    "conditions": "Dirichlet",
    "diagnostics": "History",
    "domain": "Mesh Quadrature read_mesh",
    "errors": "DfpdeError",
    "evolution": "DormandPrince Event FieldStep Fixed PI RK4 State evolve",
    "fitting": "fit",
    "io": "ParaViewWriter load progress save",
    "leastsquares": "KSP LSQR Dense",
    "problem": "Problem",
    "solving": "solve",
    "runs": "Run",
    "regularization": "AutoInertia Inertia InertiaFromMass Tikhonov",
}

#: Namespaces: ``df.integrators.SDIRK4``.
_NAMESPACES = {
    "ansatz": "ansatz",
    "closed_form": "closed_form",
    "constraints": "constraints",
    "diagnostics": "diagnostics",
    "evolution": "evolution",
    "fem": "fem",
    "integrators": "evolution.integrators",
    "io": "io",
    "learning": "learning",
    "measures": "measures",
    "parallel": "parallel",
    "regularization": "regularization",
    "steppers": "steppers",
}

_NAMES = {name: home for home, names in _HOMES.items() for name in names.split()}
__all__ = sorted([*_NAMES, *_NAMESPACES])


def __getattr__(name: str) -> Any:
    if name in _NAMES:
        value = getattr(importlib.import_module(f".{_NAMES[name]}", __name__), name)
    elif name in _NAMESPACES:
        value = importlib.import_module(f".{_NAMESPACES[name]}", __name__)
    else:
        raise AttributeError(f"dfpde has no name {name!r}; dir(dfpde) lists the public ones")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return [*__all__, "__doc__", "__version__"]


# several ranks: from here on one that fails ends the job, also before its first collective call
if any(os.environ.get(name, "1").strip() not in ("", "0", "1") for name in ("OMPI_COMM_WORLD_SIZE", "PMI_SIZE")):
    importlib.import_module(".parallel.communicator", __name__)

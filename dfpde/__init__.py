"""dfpde: Dirac–Frenkel dynamics with inertia for nonlinearly parametrized solutions of evolution equations."""

__version__ = "0.1.0"

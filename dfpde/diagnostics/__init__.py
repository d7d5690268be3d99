"""Instruments: error bound, energy ledger, spectrum of the tangent, conserved quantities, sensitivities."""

from ..constraints.conserved import Conserving
from ..constraints.nullspace import NullSpace
from ..functional import Functional, ParameterFunctional
from .error_bound import ErrorBound, FieldStepBound, growth_rate
from .history import History
from .ledger import EnergyLedger, Entry
from .sensitivity import Sensitivity, sensitivities
from .spectra import EpsilonReport, EpsilonWarning, Spectrum, check_epsilon, spectrum

__all__ = [
    "Conserving",
    "EnergyLedger",
    "Entry",
    "EpsilonReport",
    "EpsilonWarning",
    "ErrorBound",
    "FieldStepBound",
    "Functional",
    "History",
    "NullSpace",
    "ParameterFunctional",
    "Sensitivity",
    "Spectrum",
    "check_epsilon",
    "growth_rate",
    "sensitivities",
    "spectrum",
]

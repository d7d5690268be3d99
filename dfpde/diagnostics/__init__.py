"""Instruments: error certificate, energy ledger, spectrum of the tangent, conserved quantities, sensitivities."""

from .certificate import Certificate, growth_rate
from .conserved import Conserving
from .derivatives import Sensitivity, sensitivities
from .functional import Functional
from .ledger import EnergyLedger, Entry
from .nullspace import NullSpace
from .spectrum import EpsilonReport, EpsilonWarning, Spectrum, check_epsilon, spectrum

__all__ = [
    "Certificate", "Conserving", "EnergyLedger", "Entry", "EpsilonReport", "EpsilonWarning", "Functional", "NullSpace",
    "Sensitivity", "Spectrum", "check_epsilon", "growth_rate", "sensitivities", "spectrum",
]

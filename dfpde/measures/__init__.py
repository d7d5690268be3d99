"""Measures that follow the solution: random points drawn from it, renewed between steps, and what they can tell."""

from ..domain.draws import Draws, independent, sobol
from ..domain.places import CellPoints
from .adaptation import in_turn, present_metric
from .marked import MarkedCells
from .moving import Moving, SamplingWarning, fisher, relative
from .proposals import Blend, Cloud, Proposal, Uniform, Written
from .quality import Sampling, sampling, unseen_defect
from .shaped import Components, FittedGaussian, FittedStudent
from .transported import Transported
from .walkers import Walkers

__all__ = [
    "Blend", "CellPoints", "Cloud", "Components", "Draws", "FittedGaussian", "FittedStudent", "MarkedCells", "Moving",
    "Proposal", "Sampling", "SamplingWarning", "Transported", "Uniform", "Walkers", "Written", "fisher", "in_turn",
    "independent", "present_metric", "relative", "sampling", "sobol", "unseen_defect",
]  # fmt: skip

"""What `evolve` does between two steps, as its `adapt`: several things in turn, parameters measured anew."""

from __future__ import annotations

from dataclasses import dataclass

from .. import validation as check
from ..evolution.march import Adapt
from ..evolution.state import State
from ..model import Model
from ..representation import represent


@dataclass(frozen=True)
class InTurn:
    """Several `adapt` of `evolve`, one after the other; see `in_turn`."""

    adapts: tuple[Adapt, ...]

    __repr__ = represent

    def __call__(self, problem: Model, state: State) -> tuple[Model, State]:
        """What `evolve` calls after every accepted step."""
        for adapt in self.adapts:
            changed = adapt(problem, state)
            if changed is not None:
                problem, state = changed
        return problem, state

    def problem(self, problem: Model, state: State) -> Model:
        """The problem that a state was left with."""
        for adapt in self.adapts:
            left = getattr(adapt, "problem", None)
            problem = problem if left is None else left(problem, state)
        return problem


def in_turn(*adapts: Adapt) -> InTurn:
    """One `adapt` of several, applied one after the other: an ansatz that grows, then points that move.

    Raises
    ------
    ArgumentTypeError
        Something that cannot be called.
    """
    for number, adapt in enumerate(adapts):
        check.function(f"adapts[{number}]", adapt)
    return InTurn(adapts)


def present_metric(problem: Model, state: State) -> tuple[Model, State]:
    """ε²‖D(θ) (v − ρa)‖² with D of the present θ: the metric of the parameters, taken anew at every step.

    An `adapt` of `evolve`, where D is that of the start otherwise.  For parameters whose effect changes by orders of
    magnitude: the amplitude of a density that contracts grows like σ^(−d), and ε in an old D holds it back.

        for state in df.evolve(problem, start, until=1.0, adapt=df.measures.present_metric): ...

    Costs one tangent for every step, and the first stage of each, which is not kept.  No effect on rules without a
    metric of their own, nor where the problem has one (`Problem.scaled`).

    Parameters
    ----------
    problem : Problem or ClosedForm
    state : State

    Raises
    ------
    ArgumentTypeError
        No model, or no State.
    """
    check.require({"problem": check.model, "state": check.state}, {"problem": problem, "state": state})
    return problem, state.with_(scale=None)

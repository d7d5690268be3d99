"""Points chosen by leverage: of more candidates than are needed, those that the parameters hang on.

    π_k = (1 − s)/M + s ℓ_k/n_ε,   ℓ_k = w_k J_kᵀ (JᵀWJ + ε²D²)⁻¹ J_k,   Σ ℓ_k = n_ε

Candidate k of M, of density q and leverage ℓ_k, is chosen N π_k times in the mean and weighted with ω/(N M π_k q): all
integrals stay unbiased, no weight grows by more than 1/(1 − s), and the leverage of a chosen point is n_ε/(s N) at most
in the Gram matrix of the candidates.  ℓ_k/w_k is the Christoffel function of the tangent space, whose sampling needs
O(n_ε log n_ε) points whatever the space (A. Cohen, G. Migliorati, SMAI J. Comput. Math. 3, 2017, 181–203; with points
chosen out of candidates: D. Woodruff, Found. Trends Theor. Comput. Sci. 10, 2014).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..leastsquares import Tangent, leverage

Array = NDArray[Any]

#: s: half by leverage, so that weights grow by 2 at most, and leverages are 2 n_ε/N at most.
SHARE = 0.5


def chosen(
    tangent: Tangent, shape: tuple[int, int], n: int, u: float, eps: float, scale: Array | None
) -> tuple[Array, Array]:
    """Which of this rank's candidates are chosen, in their order, and M π_k of each; collective.

    Systematic sampling: candidates lie on [0, 1) in intervals of length π_k, chosen are those that contain (j + u)/n.

    Parameters
    ----------
    tangent : Tangent
        √W J at the candidates.
    shape : (int, int)
        Components of the field, and candidates on this rank.
    n : int
        N.
    u : float
        Uniform in [0, 1), the same on all ranks.
    eps, scale
        ε and D, as of `leverage`.

    Returns
    -------
    (chosen,) array of int, (chosen,) array
    """
    comm, found = tangent.comm, leverage(tangent, eps, scale)
    components, points = shape  # rows: component by component, Re and Im of a point one after the other
    each = found.rows.reshape(components, points, -1).sum(axis=(0, 2)) if points else np.zeros(0)
    counts = np.array(comm.allgather((points, float(each.sum()))))
    total, dimension = counts.sum(axis=0)
    ratio = (1 - SHARE) + SHARE * total * each / dimension if dimension > 0 else np.ones(points)
    sums = comm.allgather(float(ratio.sum()))
    ends = np.append(0.0, np.cumsum(sums))
    places = (np.arange(n) + u) / n * ends[-1]
    first, stop = np.searchsorted(places, ends[[comm.rank, comm.rank + 1]])
    mine = places[first : n if comm.rank == comm.size - 1 else stop] - ends[comm.rank]
    index = np.searchsorted(np.cumsum(ratio), mine, side="right")
    index = np.minimum(index, max(points - 1, 0))
    return index, ratio[index]

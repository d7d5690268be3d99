"""Gaussian wave packets of quantum dynamics: complex fields, real parameters, derivatives of any order."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from ... import validation as check
from ...errors import ParameterError
from ..base import Array, multi_index
from ..elementary import exponential
from .exponential import Block, Exponentials, Jet, shifted
from .quadratic import Cholesky


class WavePackets(Exponentials):
    """u(x) = Σ_j exp(i [½ (x − q_j)ᵀ C_j (x − q_j) + p_j·(x − q_j) + ζ_j]), C_j = R_j + i L_j L_jᵀ.

    The width matrix C is complex symmetric; its imaginary part is positive semidefinite for every θ because it is
    given by a lower triangular factor L (definite as long as no diagonal entry of L is zero).  Parameters by name
    (all real, lower triangles by rows 00, 10, 11, 20, ...):

    ===========  ======================  =====================================================
    ``centers``  (n, dim)                q, mean positions
    ``momenta``  (n, dim)                p, mean momenta (unit 1/length: wave numbers)
    ``zeta``     (n, 2)                  Re ζ (phase), Im ζ (minus the logarithm of the amplitude)
    ``chirps``   (n, dim (dim + 1)/2)    R = Re C, not present when frozen
    ``scales``   (n, dim (dim + 1)/2)    L, not present when frozen
    ===========  ======================  =====================================================

    One packet has L² norm one if Im ζ = ¼ log(π^dim / det Im C).  The packets are closed under Schrödinger's equation
    i u_t = −½ Δu + V u with a quadratic potential: −i (−½ Δ + V) u then lies in the tangent space of the thawed packets
    (of one frozen packet if C² = −Hess V), so Dirac-Frenkel is exact up to the time step.

    Parameters
    ----------
    dim, n : int
        Space dimension and number of packets.
    width : array (dim, dim) or (n, dim, dim), optional
        Fixed C ("frozen" Gaussians); None: C moves ("thawed").

    Raises
    ------
    ParameterError
        The fixed width is not symmetric with positive definite imaginary part.

    References
    ----------
    E. J. Heller, J. Chem. Phys. 62 (1975) 1544 (thawed) and 75 (1981) 2923 (frozen); C. Lasser, C. Lubich, Computing
    quantum dynamics in the semiclassical regime, Acta Numerica 29 (2020).
    """

    dtype = complex

    def __init__(self, dim: int, n: int, width: Array | None = None) -> None:
        super().__init__(dim, n)
        self.factor = Cholesky.full(dim)
        self.width = None if width is None else self.widths(width)
        self.size = n * (2 * dim + 2 + (0 if self.frozen else 2 * self.factor.size))

    @property
    def frozen(self) -> bool:
        """True when C is fixed."""
        return self.width is not None

    def slices(self) -> Mapping[str, tuple[slice, tuple[int, ...]]]:
        """Blocks of θ: "centers", "momenta" (n, dim), "zeta" (n, 2), thawed also "chirps", "scales"."""
        columns = {"centers": self.dim, "momenta": self.dim, "zeta": 2}
        if not self.frozen:
            columns |= {"chirps": self.factor.size, "scales": self.factor.size}
        blocks, start = {}, 0
        for name, count in columns.items():
            blocks[name] = (slice(start, start + self.n * count), (self.n, count))
            start += self.n * count
        return blocks

    def widths(self, width: Array) -> dict[str, Array]:
        """Blocks ``chirps`` and ``scales`` of given C, (dim, dim) or (n, dim, dim): ``pack(..., **packets.widths(C))``.

        Raises
        ------
        ParameterError
            Not symmetric, or the imaginary part not positive definite.
        """
        check.numbers(kinds="fiuc")("width", width)
        shape = (self.n, self.dim, self.dim)
        remedy = f"give symmetric matrices with positive definite imaginary part, shape {shape} or {shape[1:]}"
        try:
            c = np.broadcast_to(np.asarray(width, complex), shape)
            factor = np.linalg.cholesky(c.imag)
        except ValueError as error:  # LinAlgError is one
            raise ParameterError(f"width matrices C of shape {np.shape(width)}: {error}", remedy) from error
        asymmetry = float(abs(c - c.transpose(0, 2, 1)).max())
        if not asymmetry <= 1e-12 * float(abs(c).max()):
            raise ParameterError(f"width matrices C with |C − Cᵀ| = {asymmetry:.1e}", remedy)
        return {"chirps": self.factor.scales(c.real), "scales": self.factor.scales(factor)}

    def width_matrices(self, theta: Array) -> Array:
        """C, complex, shape (n, dim, dim)."""
        part = self._parts(theta)
        lower = self.factor.matrices(part["chirps"])
        chirp = lower + np.tril(lower, -1).transpose(0, 2, 1)
        factor = self.factor.matrices(part["scales"])
        matrices: Array = chirp + 1j * (factor @ factor.transpose(0, 2, 1))
        return matrices

    def _parts(self, theta: Array) -> dict[str, Array]:
        """Blocks of θ, with the fixed widths when frozen."""
        return self.unpack(theta) | (self.width or {})

    def _block(self, theta: Array, x: Array, order: int, tangent: int) -> Block:
        part = self._parts(theta)
        y = x[:, None, :] - part["centers"].T[:, :, None]
        quadratic = self.factor.at(part["scales"], y)
        chirp = {e[0]: part["chirps"][:, i : i + 1] for i, e in enumerate(self.factor.entries)}
        phase = _phase(chirp, part["momenta"].T[..., None], y, order)
        phase[multi_index(self.dim)] += part["zeta"][:, :1]
        exponent = {
            alpha: real + 1j * phase[alpha] if alpha in phase else real + 0j
            for alpha, real in quadratic.exponent(order).items()
        }
        exponent[multi_index(self.dim)] -= part["zeta"][:, 1:]
        jets: list[Jet] = []
        if tangent >= 0:
            jets += [shifted(exponent, k, -1) for k in range(self.dim)]
            jets += [
                {multi_index(self.dim): 1j * y[k], multi_index(self.dim, k): np.array(1j)} for k in range(self.dim)
            ]
            jets += [{multi_index(self.dim): np.array(1j)}, {multi_index(self.dim): np.array(-1.0)}]
            if not self.frozen:
                jets += [_chirp_slope(k, m, y) for k, m in chirp]
                jets += [quadratic.slope(i, tangent) for i in range(self.factor.size)]
        rows = list(zip(self._rows(), jets, strict=tangent >= 0))
        return Block(exponential(exponent[multi_index(self.dim)]), None, exponent, rows)

    def _rows(self) -> Iterator[slice]:
        """Rows of θ that hold one parameter of every packet, in order."""
        for part, (_, count) in self.slices().values():
            for number in range(count):
                yield slice(part.start + number, part.stop, count)


def _phase(chirp: Mapping[tuple[int, int], Array], momenta: Array, y: Array, order: int) -> Jet:
    """Jet of ½ yᵀ R y + p·y up to `order`, R given by its lower triangle."""
    dim = len(y)
    gradient = list(momenta + np.zeros_like(y))
    for (k, m), entry in chirp.items():
        gradient[k] += entry * y[m]
        if m != k:
            gradient[m] += entry * y[k]
    jet: Jet = {multi_index(dim): np.asarray(sum(0.5 * (gradient[k] + momenta[k]) * y[k] for k in range(dim)))}
    if order > 0:
        jet |= {multi_index(dim, k): g for k, g in enumerate(gradient)}
    if order > 1:
        jet |= {multi_index(dim, k, m): entry for (k, m), entry in chirp.items()}
    return jet


def _chirp_slope(k: int, m: int, y: Array) -> Jet:
    """Jet of ∂(i ½ yᵀ R y)/∂R_km: i y_k y_m, or ½ i y_k² on the diagonal."""
    dim = len(y)
    if k == m:
        return {
            multi_index(dim): 0.5j * y[k] * y[k],
            multi_index(dim, k): 1j * y[k],
            multi_index(dim, k, k): np.array(1j),
        }
    return {
        multi_index(dim): 1j * y[k] * y[m],
        multi_index(dim, k): 1j * y[m],
        multi_index(dim, m): 1j * y[k],
        multi_index(dim, k, m): np.array(1j),
    }

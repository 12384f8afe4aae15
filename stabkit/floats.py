"""The float lattice: what float16, bfloat16, float32 and float64 can hold, and how far a result is from the truth.

Ordinals number all floats of a dtype in order, so that a step of one is a step to the neighbouring float.
Truths are Arb balls (`flint.arb`), because a true value may lie beyond what any float holds.
"""

import math
from dataclasses import dataclass
from functools import cache

import mpmath
import torch
from flint import arb, fmpz
from torch import Tensor


@dataclass(frozen=True)
class Format:
    """A binary floating-point format.

    Args:
        name: as `--dtype` takes it.
        dtype: the torch dtype.
        precision: significand bits, the hidden one included.
        emin: exponent of the smallest normal number, 2**emin.
        emax: exponent of the largest binade.
        bits: the integer dtype of the same width.
    """

    name: str
    dtype: torch.dtype
    precision: int
    emin: int
    emax: int
    bits: torch.dtype

    @property
    def unit_roundoff(self) -> float:
        """u = 2**-precision, half the distance from 1 to the next float."""
        return math.ldexp(1.0, -self.precision)

    @property
    def largest(self) -> float:
        """The largest finite float."""
        return math.ldexp(2.0 - 2 * self.unit_roundoff, self.emax)

    @property
    def overflow(self) -> float:
        """The least real number that rounds to infinity; infinite itself as a double for float64."""
        return 2.0**self.emax * (2 - self.unit_roundoff) if self.emax < 1023 else math.inf

    @property
    def smallest_normal(self) -> float:
        """2**emin."""
        return math.ldexp(1.0, self.emin)

    @property
    def smallest_subnormal(self) -> float:
        """The smallest positive float."""
        return math.ldexp(1.0, self.emin - self.precision + 1)


FORMATS = {
    f.name: f
    for f in (
        Format("float16", torch.float16, 11, -14, 15, torch.int16),
        Format("bfloat16", torch.bfloat16, 8, -126, 127, torch.int16),
        Format("float32", torch.float32, 24, -126, 127, torch.int32),
        Format("float64", torch.float64, 53, -1022, 1023, torch.int64),
    )
}
DTYPES = tuple(f.dtype for f in FORMATS.values())
_BY_DTYPE = {f.dtype: f for f in FORMATS.values()}


def format_of(dtype: torch.dtype) -> Format:
    """The format of a torch dtype; KeyError for a dtype that is not one of the four."""
    return _BY_DTYPE[dtype]


def ordinals(x: Tensor) -> Tensor:
    """The int64 rank of each float [...] in the total order of its dtype: 0 for +0, -1 for -0, 1 for the next.

    Infinities rank next to the largest floats, NaN beyond them. `from_ordinals` is the inverse.

    Example:
        >>> ordinals(torch.tensor([-0.0, 0.0, 1e-45]))
        tensor([-1,  0,  1])
    """
    form = format_of(x.dtype)
    bits = x.contiguous().view(form.bits).to(torch.int64)
    mask = torch.iinfo(form.bits).max
    return torch.where(bits < 0, -1 - (bits & mask), bits)


def from_ordinals(ranks: Tensor, form: Format) -> Tensor:
    """The floats [...] at int64 ranks [...]; the inverse of `ordinals`."""
    lowest = torch.iinfo(form.bits).min
    bits = torch.where(ranks < 0, (-1 - ranks) + lowest, ranks)
    return bits.to(form.bits).view(form.dtype)


def neighbours(x: Tensor, steps: int = 1) -> Tensor:
    """The floats [...] that lie `steps` values further up (down if negative); -0 and +0 count as one value.

    Never goes beyond the infinities; NaN stays NaN.
    """
    form = format_of(x.dtype)
    rank = ordinals(x)
    value_rank = torch.where(rank < 0, rank + 1, rank)  # one number for both zeros
    top = int(ordinals(torch.tensor([math.inf], dtype=x.dtype)))
    moved = (value_rank + steps).clamp(-top, top)
    return torch.where(x.isnan(), x, from_ordinals(torch.where(moved < 0, moved - 1, moved), form))


def ulp(x: Tensor) -> Tensor:
    """The distance [...] between the floats around |x|, in x's dtype; NaN where x is not finite."""
    size = x.abs()
    above = neighbours(size)
    gap = torch.where(above.isinf(), size - neighbours(size, -1), above - size)
    return torch.where(x.isfinite(), gap, torch.full_like(gap, math.nan))


def nearest(value: float, form: Format) -> float:
    """The double `value` rounded to the format, to nearest even; torch rounds to halves twice, by way of float32."""
    close = torch.tensor(value, dtype=torch.float64).to(form.dtype)
    if form.bits is not torch.int16 or not math.isfinite(close.item()):
        return close.item()
    around = torch.stack([close, neighbours(close, -1), neighbours(close)])
    even = (ordinals(around) % 2 == 0).tolist()
    candidates = [
        (abs(value - x), not e, x) for x, e in zip(around.double().tolist(), even, strict=True) if math.isfinite(x)
    ]
    best: float = min(candidates)[2]
    return best


def shortest(value: float, form: Format) -> float:
    """A double with the fewest decimal digits that rounds to the float `value` of the format.

    Example:
        >>> shortest(torch.tensor(0.1).item(), FORMATS["float32"])
        0.1
    """
    if not math.isfinite(value) or value == 0:
        return value
    for digits in range(1, 18):
        decimal = float(f"{value:.{digits}g}")
        if math.isfinite(decimal) and nearest(decimal, form) == value == _as_torch_rounds(decimal, form):
            return decimal
    return value


def _as_torch_rounds(value: float, form: Format) -> float:
    return torch.tensor(value, dtype=torch.float64).to(form.dtype).item()


@dataclass(frozen=True)
class Thresholds:
    """Where elementary functions of a format leave its range; each is the last float on the safe side.

    Attributes:
        exp_overflow, exp_normal, exp_underflow: exp stays finite up to, normal down to, nonzero down to.
        square_overflow, square_normal, square_underflow: x*x stays finite up to, normal down to, nonzero down to.
        reciprocal_overflow: 1/x stays finite down to.
        log_least: the rounded log of the smallest positive float, the least finite logarithm.
    """

    exp_overflow: float
    exp_normal: float
    exp_underflow: float
    square_overflow: float
    square_normal: float
    square_underflow: float
    reciprocal_overflow: float
    log_least: float


@cache
def thresholds(form: Format) -> Thresholds:
    """The thresholds of a format with subnormals, from its real-valued range; devices that flush move them."""
    mp = mpmath.MPContext()
    mp.prec = 256
    overflow = mp.mpf(form.largest) * (1 + mp.mpf(form.unit_roundoff) / (2 - 2 * mp.mpf(form.unit_roundoff)))
    vanishing = mp.ldexp(1, form.emin - form.precision)  # half the smallest subnormal rounds to zero
    normal = mp.mpf(form.smallest_normal)
    return Thresholds(
        exp_overflow=_inside(mp.log(overflow), form, -1),
        exp_normal=_inside(mp.log(normal), form, 1),
        exp_underflow=_inside(mp.log(vanishing), form, 1),
        square_overflow=_inside(mp.sqrt(overflow), form, -1),
        square_normal=float(mp.sqrt(normal)),  # a power of two, and itself on the safe side
        square_underflow=_inside(mp.sqrt(vanishing), form, 1),
        reciprocal_overflow=_inside(1 / overflow, form, 1),
        log_least=nearest(float(mp.log(mp.mpf(form.smallest_subnormal))), form),
    )


def _inside(bound: mpmath.mpf, form: Format, direction: int) -> float:
    """The float next to a real bound, on the side that `direction` (-1 below, 1 above) points to."""
    rank = ordinals(torch.tensor([nearest(float(bound), form)], dtype=form.dtype))
    around: list[float] = from_ordinals(rank + torch.arange(-2, 3), form).double().tolist()
    inside = [x for x in around if ((x < bound) if direction < 0 else (x > bound))]
    return max(inside) if direction < 0 else min(inside)


@cache
def landmarks(form: Format) -> tuple[float, ...]:
    """Values of a format where programs tend to break, ascending: extremes, steps around 1, range thresholds.

    Each threshold comes with its two neighbours; everything comes with both signs.
    """
    t = thresholds(form)
    edges = [getattr(t, name) for name in Thresholds.__dataclass_fields__]
    edges += [
        form.smallest_normal,
        form.smallest_subnormal,
        form.largest,
        form.unit_roundoff,
        2 * form.unit_roundoff,
        1.0,
    ]
    around = torch.tensor(edges, dtype=torch.float64).to(form.dtype)
    values = torch.cat([neighbours(around, -1), around, neighbours(around)])
    plain = torch.tensor([0.0, 0.5, 2.0, 10.0, 100.0], dtype=form.dtype)
    both = torch.cat([values, -values, plain, -plain])
    return tuple(sorted(set(both[both.isfinite()].double().tolist())))


@cache
def flushes_subnormals(form: Format, device: str = "cpu") -> bool:
    """Whether the device turns subnormal results of this format into zero."""
    smallest = torch.tensor(form.smallest_normal, dtype=form.dtype, device=device)
    return bool((smallest * 0.5 == 0).item())


def log2_magnitude(x: arb) -> float:
    """log2 of an upper bound of |x|: -inf for exactly 0, inf for an unbounded ball."""
    bound = x.abs_upper()
    if not bound.is_finite():
        return math.inf
    mantissa, exponent = (int(part) for part in bound.man_exp())
    if abs(exponent) > 2**1000:  # beyond what a double can say
        return math.inf if exponent > 0 else -math.inf
    return math.log2(mantissa) + exponent if mantissa else -math.inf


def true_ulp(truth: arb, form: Format) -> arb:
    """The spacing of the format's floats around a real number; beyond the largest float that of the top binade."""
    middle = truth.mid()
    if not middle.is_finite():
        return power_of_two(form.emax - form.precision + 1)
    mantissa, exponent = (int(part) for part in middle.man_exp())
    binade = abs(mantissa).bit_length() - 1 + exponent if mantissa else form.emin
    return power_of_two(min(max(binade, form.emin), form.emax) - form.precision + 1)


def power_of_two(exponent: int) -> arb:
    """2**exponent, exactly."""
    return arb(1) * arb(2) ** fmpz(exponent)


def as_finite(got: float, form: Format) -> arb:
    """A float as a real number; an infinity, or what else is beyond the format, counts as one ulp beyond its largest.

    Raises:
        ValueError: for NaN.
    """
    if math.isnan(got):
        raise ValueError("NaN has no distance from the truth")
    if abs(got) >= form.overflow:
        return arb(math.copysign(1.0, got)) * power_of_two(form.emax + 1)
    return arb(got)


def ulp_error(got: float, truth: arb, form: Format) -> float:
    """(got - truth) in ulps of the truth, signed and fractional, against the unrounded truth.

    Example:
        >>> ulp_error(1.0, arb(1) + arb(2) ** -24, FORMATS["float32"])
        -0.5
    """
    return float(((as_finite(got, form) - truth) / true_ulp(truth, form)).mid())


def excess_bits(error: arb, value: arb, conditioning: arb, form: Format, allowance: arb | float = 0.0) -> float:
    """Bits lost beyond what rounding the inputs and the result explains.

    log2(|error| / max(u (|value| + conditioning + allowance), smallest subnormal)), with u = 2**-precision;
    -inf when the error is provably none. `allowance` is the natural scale that error severity adds.
    """
    distance = error.abs_lower()
    if distance.is_zero():
        return -math.inf
    explained = form.unit_roundoff * (abs(value) + conditioning + arb(allowance))
    floor = max(log2_magnitude(explained), float(form.emin - form.precision + 1))
    return log2_magnitude(distance) - floor

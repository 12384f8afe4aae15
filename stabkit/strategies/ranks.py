"""Single floats of a format as Python numbers: their rank among the magnitudes, and shorter numbers near them."""

from __future__ import annotations

import math
from decimal import ROUND_DOWN, ROUND_UP, Context, Decimal

from stabkit.floats import Format


def rounded(x: float, form: Format) -> float:
    """The double rounded to the format once, to nearest even; infinite from the overflow threshold on.

    Example:
        >>> from stabkit.floats import FORMATS
        >>> rounded(0.1, FORMATS["float16"]), rounded(65520.0, FORMATS["float16"])
        (0.0999755859375, inf)
    """
    if x == 0 or not math.isfinite(x):
        return x
    if abs(x) >= form.overflow:
        return math.copysign(math.inf, x)
    unit = max(math.frexp(x)[1] - form.precision, form.emin - form.precision + 1)
    whole = math.ldexp(x, -unit)
    return math.copysign(math.ldexp(abs(round(whole)) if form.precision < 53 else abs(whole), unit), x)


def rank_of(x: float, form: Format) -> int:
    """How many floats of the format lie between 0 and |x|, which is one of them."""
    mantissa, exponent = math.frexp(abs(x))
    if x == 0 or exponent - 1 < form.emin:
        return int(math.ldexp(abs(x), form.precision - 1 - form.emin))
    return ((exponent - 1 - form.emin) << (form.precision - 1)) + int(math.ldexp(mantissa, form.precision))


def magnitude(rank: int, form: Format) -> float:
    """The float >= 0 of that rank; the inverse of `rank_of`.

    Example:
        >>> from stabkit.floats import FORMATS
        >>> [magnitude(rank_of(x, FORMATS["float32"]) + 1, FORMATS["float32"]) for x in (0.0, 1.0)]
        [1.401298464324817e-45, 1.0000001192092896]
    """
    binade = rank >> (form.precision - 1)
    if binade == 0:
        return math.ldexp(rank, form.emin - form.precision + 1)
    hidden = 1 << (form.precision - 1)
    return math.ldexp(hidden + (rank & (hidden - 1)), binade - 1 + form.emin - form.precision + 1)


def shorter(x: float, digits: int) -> tuple[float, ...]:
    """Two doubles next to x with so many significant digits: the one further from 1 or -1, then the other.

    No digits are a power of ten.

    Example:
        >>> shorter(1789.3, 2), shorter(-0.3, 0)
        ((1800.0, 1700.0), (-0.1, -1.0))
    """
    if x == 0 or not math.isfinite(x):
        return (x,)
    around = [Context(prec=max(digits, 1), rounding=r).create_decimal(Decimal(x)) for r in (ROUND_DOWN, ROUND_UP)]
    if digits == 0:
        least = around[0].adjusted()
        beyond = least + (abs(Decimal(x)) != Decimal(1).scaleb(least))
        around = [Decimal(1).scaleb(n).copy_sign(around[0]) for n in (least, beyond)]
    nearer, further = map(float, around)
    return (further, nearer) if abs(x) >= 1 else (nearer, further)

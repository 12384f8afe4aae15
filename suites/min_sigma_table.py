"""The rows of `stabkit.suites.min_sigma` as a table to print, with what it takes to read them."""

import math
from collections.abc import Iterator, Sequence
from decimal import Decimal

from stabkit.suites.min_sigma import FORMS, Reach, Row, Sigma, rows
from stabkit.suites.usable_range import PROBES, Limit

from stabkit.finding import Column, Table
from stabkit.floats import FORMATS, flushes_subnormals, thresholds

READ_P, READ_SIGMA = 10, 3  # significant digits for readers; 9 tell the floats of float32 apart

PUBLISHED = {
    ("float32", "difference"): (-103, "1.85e-45"),
    ("float32", "squared"): (-51, "7.10e-23"),
    ("float16", "difference"): (-17, "4.14e-08"),
    ("float16", "squared"): (-8, "3.35e-04"),
}
"""Table 1 of dehaene2021, NaiveExp: min log sigma1 and min sigma1 by dtype and form."""

COLUMNS = [
    Column("dtype", "dtype"),
    Column("device", "device"),
    Column("parameterization", "parameterization"),
    Column("form", "form"),
    Column("last_p", "last p", READ_P),
    Column("step", "step", READ_P),
    Column("sigma_at_step", "sigma", READ_SIGMA),
    Column("stored_at_step", "stored", READ_SIGMA),
    Column("gradient_last_p", "with gradient", READ_P),
    Column("gradient_step", "step", READ_P),
    Column("failing_p", "first failing p", READ_P, detail=True),
    Column("finite_again_p", "finite again at", READ_P, detail=True),
    Column("sigma_at_last_p", "sigma at last p", READ_SIGMA, detail=True),
    Column("stored_at_last_p", "stored at last p", READ_SIGMA, detail=True),
    Column("gradient_failing_p", "first failing p with gradient", READ_P, detail=True),
    Column("gradient_finite_again_p", "gradient finite again at", READ_P, detail=True),
    Column("gradient_sigma_at_last_p", "sigma at last p with gradient", READ_SIGMA, detail=True),
    Column("gradient_stored_at_last_p", "stored at last p with gradient", READ_SIGMA, detail=True),
]


def min_sigma_table(dtypes: Sequence[str], device: str = "cpu") -> Table:
    """Smallest usable sigma1 for every parameterization and form of the divergence.

    Raises:
        StabkitError: for a device that is not there.

    Example:
        >>> table = min_sigma_table(["float16"])
        >>> dict(zip([c.name for c in table.columns], table.rows[1]))["step"]
        '-17'
    """
    found = list(rows(dtypes, device))
    return Table(
        name="min-sigma",
        title="Smallest usable sigma1 in KL(N(0, s1) || N(0, s2)), s1 = sigma(p), s2 = 1",
        columns=COLUMNS,
        rows=[_cells(row) for row in found],
        headings=3,
        notes=[*_reading(found), *_published(found), *_subnormals(found), *_exceptions(found)],
    )


def _cells(row: Row) -> list[str]:
    """The cells of one row, in the order of COLUMNS."""
    value, gradient = row.value, row.gradient
    return [
        *(row.dtype, row.device, row.parameterization, row.form),
        *(_last(value.limit), _step(value.limit), *_sigma(value.at_step)),
        *(_last(gradient.limit), _step(gradient.limit)),
        *_details(value),
        *_details(gradient),
    ]


def _details(reach: Reach) -> list[str]:
    return [_float(reach.limit.beyond), _float(reach.limit.again), *_sigma(reach.at_last)]


def _last(limit: Limit) -> str:
    return "every p" if limit.beyond is None else "no p" if limit.last is None else _float(limit.last)


def _step(limit: Limit) -> str:
    return "" if limit.step is None else str(limit.step)


def _float(value: float | None) -> str:
    return "" if value is None else repr(value)


def _sigma(sigma: Sigma | None) -> tuple[str, str]:
    return ("", "") if sigma is None else (sigma.true, f"{sigma.stored:.16e}")


def _reading(found: Sequence[Row]) -> Iterator[str]:
    """What the columns and the forms mean."""
    rising = dict.fromkeys(r.parameterization for r in found if (r.value.limit.last or 0.0) > 0)
    yield (
        "last p: the last float, from 0 towards -largest, at which the loss is finite; its neighbour beyond fails. "
        "with gradient: the loss and its slope by p are. every p: nothing fails down to the lowest float. step: the "
        "last whole p before it. sigma, stored: sigma(step) in real arithmetic, and the float it is in the dtype."
        + (f" For {', '.join(rising)} sigma falls towards +largest, and so p goes there." if rising else "")
    )
    forms = dict.fromkeys(r.form for r in found)
    yield "Forms. " + "; ".join(f"{f.label}: {f.formula}" for f in FORMS if f.label in forms) + "."


def _published(found: Sequence[Row]) -> Iterator[str]:
    """Table 1 of the paper beside what was found."""
    naive = {(r.dtype, r.form): r.value for r in found if r.parameterization == "NaiveExp"}
    said = []
    for (dtype, form), (step, sigma) in PUBLISHED.items():
        if (dtype, form) in naive:
            got = naive[dtype, form]
            agrees = got.limit.step == step and got.at_step is not None and _rounds_to(got.at_step.true, sigma)
            here = "as here" if agrees else f"here {_step(got.limit) or 'none'}"
            said.append(f"{dtype} {form} {step} and {sigma}, {here}")
    literal = [
        f"{_step(naive[d, 'quotient'].limit)} in {d}"
        for d in dict.fromkeys(d for d, _ in PUBLISHED)
        if (d, "quotient") in naive
    ]
    if said:
        yield (
            f"Published for NaiveExp (dehaene2021, Table 1): {'; '.join(said)}. The unsquared ones belong to "
            f"log s2 - log s1: the quotient of eq. 6 taken literally ends at {' and '.join(literal)}."
        )


def _rounds_to(true: str, published: str) -> bool:
    return Decimal(f"{Decimal(true):.2e}") == Decimal(published)


def _subnormals(found: Sequence[Row]) -> Iterator[str]:
    """Whether subnormals are kept, and what flushing them moves, from the thresholds of each dtype."""
    for device in dict.fromkeys(r.device for r in found):
        dtypes = dict.fromkeys(r.dtype for r in found if r.device == device)
        flushed = [d for d in dtypes if flushes_subnormals(FORMATS[d], device)]
        kept = [d for d in dtypes if d not in flushed]
        words = [f"{verb} those of {', '.join(ds)}" for verb, ds in (("keeps", kept), ("flushes", flushed)) if ds]
        yield (
            f"Subnormals: {device} {' and '.join(words)}. Where exp and squares flush them to zero, NaiveExp ends "
            f"earlier: {'; '.join(map(_moved, dtypes))}."
        )


def _moved(dtype: str) -> str:
    """The steps before exp p, or its square, leaves the floats with subnormals, and the normal floats."""
    t = thresholds(FORMATS[dtype])
    ends = t.exp_underflow, t.exp_normal, math.log(t.square_underflow), math.log(t.square_normal)
    plain, plain_flushed, square, square_flushed = map(math.trunc, ends)
    return f"{dtype} difference {plain} to {plain_flushed}, squared {square} to {square_flushed}"


def _exceptions(found: Sequence[Row]) -> Iterator[str]:
    """Where finiteness is not monotone, and where a float alone does not do what it does in a batch."""
    limits = [
        (f"{r.parameterization} {r.form} in {r.dtype}{words}", reach.limit)
        for r in found
        for words, reach in (("", r.value), (" with gradient", r.gradient))
    ]
    returning = [f"{where} (at {limit.again!r})" for where, limit in limits if limit.again is not None]
    yield (
        f"Not monotone, finite again beyond the first failure: {', '.join(returning)}."
        if returning
        else f"Every limit is the only one met: of {PROBES} floats probed in each dtype, uniform in ordinals, and in "
        "float16 and bfloat16 of all floats, none beyond it is finite and none before it fails."
    )
    unsteady = [where for where, limit in limits if not limit.confirmed]
    if unsteady:
        yield f"Not the same alone as in a batch, so uncertain by a few floats: {', '.join(unsteady)}."

"""Number systems: one formula, written once, runs on mpmath numbers, on Arb balls and on duals over either.

A definition takes a number system first, conventionally named `ctx`, then one sample:

    def softplus(ctx, x):
        return ctx.log1p(ctx.exp(x))

Its numbers carry the ordinary operators (+ - * / ** and comparisons, with Python numbers on either side); the
functions below are the whole vocabulary of a system.
"""

from typing import Any, Protocol, TypeAlias

# Numbers of different systems share operators and nothing else; a formula never mixes them.
Number: TypeAlias = Any

VOCABULARY = (
    "number", "exp", "log", "expm1", "log1p", "sqrt", "sin", "cos", "tanh", "erf", "erfc", "lgamma", "digamma",
    "expm1mx", "log1pmx", "absolute", "maximum", "minimum", "hull",
)  # fmt: skip


class Undecided(ArithmeticError):
    """The working precision does not settle a comparison or a domain question; more of it may."""


class NumberSystem(Protocol):
    """What a definition may ask of its first argument; `VOCABULARY` lists the functions."""

    @property
    def pi(self) -> Number:
        """The circle constant."""

    def number(self, value: float) -> Number:
        """The number that a float or int stands for, exactly."""

    def exp(self, x: Number) -> Number:
        """e**x; exp(-inf) is 0."""

    def log(self, x: Number) -> Number:
        """Natural logarithm; log 0 is -inf, of a negative number undefined."""

    def expm1(self, x: Number) -> Number:
        """exp(x) - 1."""

    def log1p(self, x: Number) -> Number:
        """log(1 + x)."""

    def expm1mx(self, x: Number) -> Number:
        """exp(x) - 1 - x."""

    def log1pmx(self, x: Number) -> Number:
        """log(1 + x) - x."""

    def sqrt(self, x: Number) -> Number:
        """The nonnegative square root."""

    def sin(self, x: Number) -> Number:
        """Sine of radians."""

    def cos(self, x: Number) -> Number:
        """Cosine of radians."""

    def tanh(self, x: Number) -> Number:
        """Hyperbolic tangent."""

    def erf(self, x: Number) -> Number:
        """The error function."""

    def erfc(self, x: Number) -> Number:
        """1 - erf(x)."""

    def lgamma(self, x: Number) -> Number:
        """log Gamma(x), x > 0."""

    def digamma(self, x: Number) -> Number:
        """The derivative of lgamma."""

    def absolute(self, x: Number) -> Number:
        """|x|."""

    def maximum(self, x: Number, y: Number) -> Number:
        """The larger of two numbers."""

    def minimum(self, x: Number, y: Number) -> Number:
        """The smaller of two numbers."""

    def hull(self, x: Number, y: Number) -> Number:
        """A number that stands for everything between x and y."""

"""Errors that a user can act on: each names the value, the rule it breaks and the remedy."""


class StabkitError(Exception):
    """A mistake that the user can mend; front doors print it without a traceback and exit with 2.

    Args:
        value: what was given, as the user wrote it.
        rule: what had to hold.
        remedy: what to do instead.

    Example:
        >>> print(StabkitError("dtype 'float8'", "is not one of float16, float32", "pass --dtype float16"))
        dtype 'float8' is not one of float16, float32; pass --dtype float16
    """

    def __init__(self, value: str, rule: str, remedy: str) -> None:
        super().__init__(value, rule, remedy)
        self.value, self.rule, self.remedy = value, rule, remedy

    def __str__(self) -> str:
        return f"{self.value} {self.rule}; {self.remedy}"


def printable(text: str) -> str:
    """Text of others with control characters and lone surrogates made visible, for terminals and files.

    Example:
        >>> printable(chr(27) + "[31m") == chr(92) + "x1b[31m"
        True
    """
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


class DomainError(StabkitError):
    """An argument's domain cannot be read, or there is nothing to call the target with in the dtype."""


class TargetError(StabkitError):
    """A target cannot be found, called or judged."""


class DefinitionError(StabkitError):
    """A reference cannot be found, called or understood."""


class PropertyError(StabkitError):
    """A declared property cannot be read, or does not fit the target's arguments."""

"""The zoo: every quantity that ships, by name and by family."""

import difflib
import importlib
import pkgutil
from functools import cache

import stabkit.losses
from stabkit.errors import TargetError
from stabkit.spec import Spec

WITH = {"gaussian": ("parameterizations", "gaussian")}  # what is audited together: a Normal and where its scale is from


@cache
def families() -> dict[str, tuple[Spec, ...]]:
    """The specs of each family, by family name. A family is a module that has `SPECS`."""
    modules = {"parameterizations": "stabkit.parameterizations"}
    modules |= {m.name: f"stabkit.losses.{m.name}" for m in pkgutil.iter_modules(stabkit.losses.__path__)}
    found = {name: getattr(importlib.import_module(path), "SPECS", ()) for name, path in modules.items()}
    return {name: specs for name, specs in found.items() if specs}


def find(name: str) -> tuple[Spec, ...]:
    """The specs that `zoo`, `zoo:family` or `zoo:name` means.

    Raises:
        TargetError: naming what there is.
    """
    place, _, key = name.partition(":")
    everything = families()
    if place != "zoo":
        raise TargetError(f"zoo name {name!r}", "does not start with zoo:", f"write zoo:{name}")
    if not key:
        return tuple(spec for specs in everything.values() for spec in specs)
    if key in everything:
        return tuple(spec for family in WITH.get(key, (key,)) for spec in everything[family])
    named = tuple(spec for specs in everything.values() for spec in specs if spec.name == key)
    if not named:
        names = [*everything, *(spec.name for specs in everything.values() for spec in specs)]
        close = difflib.get_close_matches(key, names, 1)
        known = f"it has {', '.join(names)}"
        raise TargetError(f"target {name!r}", "is not in the zoo", f"did you mean zoo:{close[0]}?" if close else known)
    return named

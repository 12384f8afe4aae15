"""Operations on lists of tensors: each is the operation of one tensor, along the lists."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor

from stabkit.exact.tensor import UnsupportedOperationError, balls_of, overwrite

PREFIX = "_foreach_"


def along_lists(
    func: Any, args: Sequence[Any], kwargs: dict[str, Any], handler_of: Callable[[str], Callable[..., Any] | None]
) -> Any:
    """The results for each place in the lists; in place where the operation is.

    Args:
        handler_of: the handler of an operation of one tensor by name, if there is one.

    Raises:
        UnsupportedOperationError: where there is none.
    """
    full = func.overloadpacket.__name__
    name = full.removeprefix(PREFIX)
    handler, writes = handler_of(name), False
    if handler is None and name.endswith("_"):
        handler, writes = handler_of(name[:-1]), True
    if handler is None:
        raise UnsupportedOperationError(full)
    opened = [_opened(v, a.name) for v, a in zip(args, func._schema.arguments, strict=False)]
    named = {n: _opened(v, n) for n, v in kwargs.items()}
    results = []
    for k in range(next(len(v) for v in (*opened, *named.values()) if isinstance(v, list))):
        row = [v[k] if isinstance(v, list) else v for v in opened]
        result = handler(*row, **{n: v[k] if isinstance(v, list) else v for n, v in named.items()})
        results.append(overwrite(row[0], result) if writes else result)
    return results if func._schema.returns else None


def _opened(value: Any, name: str) -> Any:
    """A list; also of the scalars that come as one tensor."""
    if isinstance(value, Tensor) and name == "scalars":
        return list(balls_of(value))
    return list(value) if isinstance(value, (list, tuple)) else value

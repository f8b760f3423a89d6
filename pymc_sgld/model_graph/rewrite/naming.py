"""How error messages call a variable: by its own name, or by the names below it."""

from __future__ import annotations

from collections.abc import Iterable

from pytensor.graph.basic import Apply, Constant, Variable
from pytensor.graph.traversal import ancestors
from pytensor.tensor.blockwise import Blockwise
from pytensor.tensor.elemwise import Elemwise

_MOST_NAMES = 4


def name_of(var: Variable) -> str:
    """Return the name of a leaf as an error message writes it."""
    if var.name:
        return f"'{var.name}'"
    shape = getattr(var.type, "shape", None)
    kind = "constant" if isinstance(var, Constant) else "array"
    return f"{kind} of shape {shape}" if shape is not None else str(var)


def names_below(var: Variable) -> str:
    """Return the named leaves an expression is made of, for example ``'X', 'beta'``."""
    if var.owner is None:
        return name_of(var)
    names = [f"'{v.name}'" for v in ancestors([var]) if v.owner is None and v.name]
    unique = list(dict.fromkeys(names))
    if not unique:
        return "an expression of constants"
    shown = ", ".join(unique[:_MOST_NAMES])
    return shown if len(unique) <= _MOST_NAMES else f"{shown}, ..."


def op_name(node: Apply) -> str:
    """Return a short, readable name of the operation of a node."""
    op = node.op
    if isinstance(op, Elemwise):
        return str(op.scalar_op).capitalize()
    if isinstance(op, Blockwise):
        return op.name or type(op.core_op).__name__
    text = str(op)
    return text if len(text) <= 60 else type(op).__name__


def listed(names: Iterable[str]) -> str:
    """Join names for a message: ``'a', 'b'``."""
    return ", ".join(f"'{name}'" for name in names)

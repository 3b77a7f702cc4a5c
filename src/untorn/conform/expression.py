"""Numbers as scripts write them: names, labels, sums, products, and bits combined with |.

They have Python's syntax, and Python's parser reads them.
"""

import ast
import operator
from collections.abc import Mapping

Names = Mapping[str, int | ast.expr]
"""What names stand for; a quoted string is a name, too, including its quotes."""
_OPERATORS = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.BitOr: operator.or_,
}


def parse_line(text: str) -> ast.stmt:
    """Return the one statement of a line.

    Raises:
        ValueError: It is no statement, or nested too deeply.
    """
    try:
        (statement,) = ast.parse(text).body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise ValueError(f"{text!r} means nothing") from None
    return statement


def parse_expression(text: str) -> ast.expr:
    """Parse a number as written; what its names stand for may be defined later.

    Raises:
        ValueError: as parse_line().
    """
    statement = parse_line(text.strip())
    if not isinstance(statement, ast.Expr):
        raise ValueError(f"{text!r} is no number")
    return statement.value


def value_of(number: int | ast.expr, names: Names) -> int:
    """Return the value of a number.

    Raises:
        ValueError: It has an unknown name, or is no number.
    """
    match number:
        case int(value) | ast.Constant(value=int(value)):
            return value
        case ast.Constant(value=str(text)):
            return _named(repr(text), names)
        case ast.Name(id=name):
            return _named(name, names)
        case ast.UnaryOp(op=ast.USub(), operand=inner):
            return -value_of(inner, names)
        case ast.BinOp(left=left, op=sign, right=right) if type(sign) in _OPERATORS:
            combined: int = _OPERATORS[type(sign)](value_of(left, names), value_of(right, names))
            return combined
    raise ValueError(f"{ast.unparse(number)!r} is no number")


def _named(name: str, names: Names) -> int:
    if name not in names:
        raise ValueError(f"{name} is not known")
    return value_of(names[name], names)

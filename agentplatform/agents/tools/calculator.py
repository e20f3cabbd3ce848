"""The tool `calculator`: arithmetic in decimals, read as a syntax tree and never evaluated as code."""

from __future__ import annotations

import ast
import math
from collections.abc import Callable, Mapping
from decimal import Context, Decimal, DecimalException, localcontext
from typing import Any

from agentplatform.agents.registry import registry
from agentplatform.agents.tools.tool import ToolContext, ToolError, ToolOutput, ToolSpec

MAX_EXPRESSION_CHARACTERS = 500
MAX_DEPTH = 60
MAX_EXPONENT = 1_000
PRECISION_DIGITS = 40
SHOWN_DIGITS = 28

_CONTEXT = Context(prec=PRECISION_DIGITS, Emax=9_999, Emin=-9_999)
_WORDS = str.maketrans({"×": "*", "·": "*", "÷": "/", "−": "-", "–": "-", "^": "**"})
_CONSTANTS = {"pi": Decimal("3.141592653589793238462643383279502884197"), "e": Decimal(1).exp(_CONTEXT)}


def _power(base: Decimal, exponent: Decimal) -> Decimal:
    if abs(exponent) > MAX_EXPONENT:
        raise _refused(f"exponents go up to {MAX_EXPONENT}")
    return base**exponent


_BINARY: Mapping[type[ast.operator], Callable[[Decimal, Decimal], Decimal]] = {
    ast.Add: lambda a, b: a + b,
    ast.Sub: lambda a, b: a - b,
    ast.Mult: lambda a, b: a * b,
    ast.Div: lambda a, b: a / b,
    ast.FloorDiv: lambda a, b: (a / b).to_integral_value(rounding="ROUND_FLOOR"),
    ast.Mod: lambda a, b: a - b * (a / b).to_integral_value(rounding="ROUND_FLOOR"),
    ast.Pow: _power,
}
_FUNCTIONS: Mapping[str, Callable[..., Decimal]] = {
    "abs": lambda x: abs(x),
    "min": lambda *xs: min(xs),
    "max": lambda *xs: max(xs),
    "sum": lambda *xs: sum(xs, Decimal(0)),
    "sqrt": lambda x: x.sqrt(),
    "ln": lambda x: x.ln(),
    "log10": lambda x: x.log10(),
    "exp": lambda x: x.exp(),
    "round": lambda x, digits=Decimal(0): round(x, _small_integer(digits)),
    "floor": lambda x: x.to_integral_value(rounding="ROUND_FLOOR"),
    "ceil": lambda x: x.to_integral_value(rounding="ROUND_CEILING"),
}


def calculate(expression: str) -> Decimal:
    """The value of an arithmetic expression, to 40 digits. Raises ToolError `invalid_expression`."""
    if len(expression) > MAX_EXPRESSION_CHARACTERS:
        raise _refused(f"it is longer than {MAX_EXPRESSION_CHARACTERS} characters")
    try:
        source = expression.translate(_WORDS).strip().rstrip("=? ")
        tree = ast.parse(source, mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise _refused("it cannot be read") from error
    with localcontext(_CONTEXT):
        try:
            value = _value(tree.body, source, 0)
        except (DecimalException, ZeroDivisionError) as error:
            raise _refused(
                "it divides by zero, leaves the range of numbers, or asks a function for what it has not"
            ) from error
    if not value.is_finite():
        raise _refused("its value is no number")
    return value


def _value(node: ast.expr, source: str, depth: int) -> Decimal:
    if depth > MAX_DEPTH:
        raise _refused("it is nested too deeply")
    match node:
        case ast.Constant(value=bool() | complex()):
            raise _refused("it holds something other than numbers")
        case ast.Constant(value=int() | float()):
            # What was written: a float's binary value is another.
            return +Decimal(ast.get_source_segment(source, node) or "")
        case ast.Name(id=name) if name in _CONSTANTS:
            return _CONSTANTS[name]
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return -_value(operand, source, depth + 1)
        case ast.UnaryOp(op=ast.UAdd(), operand=operand):
            return _value(operand, source, depth + 1)
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _BINARY:
            return _BINARY[type(op)](_value(left, source, depth + 1), _value(right, source, depth + 1))
        case ast.Call(func=ast.Name(id=name), args=arguments, keywords=[]) if name in _FUNCTIONS:
            try:
                return _FUNCTIONS[name](*(_value(one, source, depth + 1) for one in arguments))
            except TypeError as error:
                raise _refused(f"{name} takes other arguments") from error
    raise _refused("it holds something other than numbers, + - * / // % ** and functions")


def _small_integer(value: Decimal) -> int:
    if value != value.to_integral_value() or abs(value) > PRECISION_DIGITS:
        raise _refused("round takes a small whole number of digits")
    return int(value)


def shown(value: Decimal) -> str:
    """The number as a person writes it, to 28 digits."""
    with localcontext(Context(prec=SHOWN_DIGITS)):
        value = +value
    if value == value.to_integral_value() and abs(value) < Decimal(10) ** SHOWN_DIGITS:
        return str(value.quantize(Decimal(1)))
    if value and not -10 <= math.floor(value.adjusted()) < SHOWN_DIGITS:
        return str(value.normalize())
    return f"{value.normalize():f}"


def _refused(why: str) -> ToolError:
    functions = ", ".join(sorted(_FUNCTIONS))
    return ToolError(
        "invalid_expression",
        f"The expression is not calculated: {why}. Write numbers, + - * / // % ** ( ), pi, e, and {functions}.",
    )


@registry.tool
class Calculator:
    """Output: `{"expression", "value"}`, the value as text."""

    spec = ToolSpec(
        name="calculator",
        description="Calculates an arithmetic expression exactly, such as (3.5 + 4) * 12 or round(100 / 7, 2).",
        input_schema={
            "type": "object",
            "properties": {
                "expression": {
                    "type": "string",
                    "description": "The arithmetic expression.",
                    "minLength": 1,
                    "maxLength": MAX_EXPRESSION_CHARACTERS,
                }
            },
            "required": ["expression"],
            "additionalProperties": False,
        },
    )

    def run(self, arguments: Mapping[str, Any], context: ToolContext) -> ToolOutput:
        expression = arguments["expression"]
        return ToolOutput({"expression": expression, "value": shown(calculate(expression))})

"""The formula that says which epoch is the best."""

import ast
import math
import operator
from collections.abc import Callable, Mapping, Sequence

from acsnet._utils.naming import look_up
from acsnet.errors import ConfigError

_OPERATORS: dict[type[ast.operator], Callable[[float, float], float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: lambda dividend, divisor: dividend / divisor if divisor else math.nan,
}
_EXAMPLE = "write numbers, metrics, + - * / and brackets, as in 0.7*dice + 0.3*accuracy"


class SelectionFormula:
    """Arithmetic over validation metrics and the number of the epoch, read without evaluating code.

    Args:
        text: such as ``0.7*dice + 0.3*accuracy``.
        metrics: the names that may stand in it, beside ``epoch``.

    Raises:
        ConfigError: for anything but arithmetic.
        UnknownNameError: for a metric that validation does not give, with those that it does.
    """

    def __init__(self, text: str, metrics: Sequence[str]) -> None:
        self.text = text
        try:
            self._tree = ast.parse(text.strip(), mode="eval").body
        except (SyntaxError, ValueError):  # ValueError: null bytes, in older Pythons
            raise ConfigError(f"training.selection is {text!r}: it cannot be read; {_EXAMPLE}") from None
        self._value(self._tree, dict.fromkeys(("epoch", *metrics), 1.0))

    def __call__(self, metrics: Mapping[str, float]) -> float:
        """The score; higher is better, and what is undefined (a metric that is NaN, a division by 0) is the lowest.

        Args:
            metrics: those of the epoch, and ``epoch``, its number.
        """
        score = self._value(self._tree, metrics)
        # NaN would be neither better nor worse than any other, and the best for ever once it came first.
        return -math.inf if math.isnan(score) else score

    def _value(self, node: ast.expr, metrics: Mapping[str, float]) -> float:
        if isinstance(node, ast.Constant) and type(node.value) in (int, float):
            return float(node.value)  # type: ignore[arg-type]
        if isinstance(node, ast.Name):
            return look_up("metric in training.selection", node.id, metrics, "")
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
            return -self._value(node.operand, metrics)
        if isinstance(node, ast.BinOp) and type(node.op) in _OPERATORS:
            return _OPERATORS[type(node.op)](self._value(node.left, metrics), self._value(node.right, metrics))
        raise ConfigError(f"training.selection is {self.text!r}: {ast.unparse(node)!r} is not arithmetic; {_EXAMPLE}")

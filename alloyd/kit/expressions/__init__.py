"""The expression language: templates compiled once, evaluated in microseconds, bounded in everything.

Serves the workflows contract, "Expressions". The language is described for its users in
``alloyd/docs/expressions.md``. There is no ``eval``: the text becomes tokens, a tree of a few known
shapes, and closures that can only look up keys of JSON and call the functions of one table.
"""

from alloyd.kit.expressions.bounds import DEFAULT_BOUNDS, Bounds
from alloyd.kit.expressions.faults import ExpressionError, MissingError, TemplateFaults
from alloyd.kit.expressions.functions import FUNCTIONS, Function
from alloyd.kit.expressions.template import Expression, Template, compile_expression, compile_template
from alloyd.kit.expressions.values import truthy

__all__ = [
    "DEFAULT_BOUNDS",
    "FUNCTIONS",
    "Bounds",
    "Expression",
    "ExpressionError",
    "Function",
    "MissingError",
    "Template",
    "TemplateFaults",
    "compile_expression",
    "compile_template",
    "truthy",
]

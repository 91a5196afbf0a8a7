"""A value that is made when it is first needed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

Value = TypeVar("Value")


class Once(Generic[Value]):
    """A value that `make` makes, from the ARN of the function that runs, when it is first needed.

    What `make` raises is raised again at the next need.
    """

    def __init__(self, make: Callable[[str], Value]) -> None:
        self._make = make
        self._value: Value | None = None

    def get(self, function_arn: str = "") -> Value:
        """Return the value; `function_arn` is read only when it is made."""
        if self._value is None:
            self._value = self._make(function_arn)
        return self._value

    def use(self, value: Value | None) -> None:
        """Return this value from now on; None: make it when it is next needed."""
        self._value = value

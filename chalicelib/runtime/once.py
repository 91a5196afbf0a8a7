"""A lazily created value that is kept for the life of the process."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

Value = TypeVar("Value")


class Once(Generic[Value]):
    """A value that `make` creates on first use, from the ARN of the running function.

    If `make` raises, the next use calls it again.
    """

    def __init__(self, make: Callable[[str], Value]) -> None:
        self._make = make
        self._value: Value | None = None

    def get(self, function_arn: str = "") -> Value:
        """Return the value; `function_arn` is used only when it is created."""
        if self._value is None:
            self._value = self._make(function_arn)
        return self._value

    def use(self, value: Value | None) -> None:
        """Set the value, or with None have it created again on the next use."""
        self._value = value

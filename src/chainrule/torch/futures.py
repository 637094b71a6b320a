"""PyTorch's ``futures``: values that come later, over Python's."""

from __future__ import annotations

import concurrent.futures
from collections.abc import Callable
from typing import Any, Generic, TypeVar

__all__ = ["Future", "collect_all", "wait_all"]


T = TypeVar("T")


class Future(Generic[T]):
    """A value that comes later.

    Examples
    --------
    >>> from chainrule.torch.futures import Future
    >>> future = Future()
    >>> doubled = future.then(lambda f: f.wait() * 2)
    >>> future.set_result(3)
    >>> doubled.wait()
    6
    """

    def __init__(self, *, devices: Any = None) -> None:
        self._inner: concurrent.futures.Future = concurrent.futures.Future()

    def done(self) -> bool:
        """Return whether there is a value or an error."""
        return self._inner.done()

    def wait(self) -> Any:
        """Wait for the value and return it, or raise the error."""
        return self._inner.result()

    def value(self) -> Any:
        """Return the value, which must be there."""
        if not self.done():
            raise RuntimeError("the future has no value yet: wait() for it")
        return self._inner.result()

    def set_result(self, result: Any) -> None:
        """Set the value."""
        if self.done():
            raise RuntimeError("Future can only be marked completed once")
        self._inner.set_result(result)

    def set_exception(self, result: BaseException) -> None:
        """Set an error, which `wait` raises."""
        if not isinstance(result, Exception):
            raise AssertionError(f"{result} is of type {type(result)}, not an Exception.")
        self._inner.set_exception(result)

    def add_done_callback(self, callback: Callable[[Future], Any]) -> None:
        """Call a function with this future when it is done."""
        self._inner.add_done_callback(lambda _: callback(self))

    def then(self, callback: Callable[[Future], Any]) -> Future:
        """Return the future of what a function returns of this one when it is done."""
        result: Future = Future()

        def run(done: Future) -> None:
            try:
                result.set_result(callback(done))
            except Exception as error:
                result.set_exception(error)

        self.add_done_callback(run)
        return result


def collect_all(futures: list[Future]) -> Future:
    """Return the future of a list of futures, done when all are."""
    result: Future = Future()
    left = [len(futures)]
    if not futures:
        result.set_result([])

    def count(_: Future) -> None:
        left[0] -= 1
        if not left[0]:
            result.set_result(list(futures))

    for future in futures:
        future.add_done_callback(count)
    return result


def wait_all(futures: list[Future]) -> list[Any]:
    """Wait for all, and return their values."""
    return [future.wait() for future in futures]

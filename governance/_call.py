"""Wraps a function of any kind so that something happens before it, after it and on failure.

Functions, methods, coroutines, generators and asynchronous generators keep their kind, signature
and name. A user's exception passes through unchanged.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
from collections.abc import AsyncIterator, Callable, Coroutine, Generator
from contextlib import AbstractContextManager
from typing import Any, ParamSpec, Protocol, TypeVar, cast

from affidavit.errors import AffidavitError

P = ParamSpec("P")
R = TypeVar("R")


class Guard(Protocol):
    """What goes on around one call."""

    def begin(self, bound: inspect.BoundArguments) -> None:
        """Decide whether the call may proceed, and replace its arguments where needed.

        Raises an error where it may not: the function then never runs.
        """

    def active(self) -> AbstractContextManager[object]:
        """Return a context in which the function's own code runs."""

    def item(self, value: Any) -> Any:
        """Return what a generator's caller gets in place of a value that it yields."""

    def done(self, result: Any) -> Any:
        """Return what the caller gets in place of the result."""

    def failed(self, error: BaseException) -> None:
        """Note that the function raised."""


def guarded(function: Callable[P, R], make: Callable[[], Guard]) -> Callable[P, R]:
    """Return the function with a guard around each of its calls.

    Args:
        function: Any callable; a `staticmethod` or `classmethod` is wrapped inside its kind.
        make: Makes the guard of one call.
    """
    if isinstance(function, staticmethod | classmethod):
        inner = guarded(function.__func__, make)
        return cast("Callable[P, R]", type(function)(inner))
    signature = inspect.signature(function)
    code = _code_of(function)
    if inspect.isasyncgenfunction(code):
        wrapper: Any = _async_generator(function, signature, make)
    elif inspect.isgeneratorfunction(code):
        wrapper = _generator(function, signature, make)
    elif inspect.iscoroutinefunction(code):
        wrapper = _coroutine(function, signature, make)
    else:
        wrapper = _plain(function, signature, make)
    return cast("Callable[P, R]", functools.wraps(function)(wrapper))


def gives_stream(function: Any) -> bool:
    """Return whether a call gives a generator, so that its values come one by one."""
    if isinstance(function, staticmethod | classmethod):
        function = function.__func__
    code = _code_of(function)
    return inspect.isgeneratorfunction(code) or inspect.isasyncgenfunction(code)


def _code_of(function: Any) -> Any:
    while isinstance(function, functools.partial):
        function = function.func
    if inspect.isroutine(function) or inspect.isclass(function):
        return function
    return type(function).__call__


def _begin(
    guard: Guard,
    function: Callable[..., Any],
    signature: inspect.Signature,
    given: tuple[tuple[Any, ...], dict[str, Any]],
) -> inspect.BoundArguments:
    args, kwargs = given
    try:
        bound = signature.bind(*args, **kwargs)
    except TypeError:
        # A decorator further in may take other arguments than the function that it names.
        direct = inspect.signature(function, follow_wrapped=False)
        if direct == signature:
            raise
        bound = direct.bind(*args, **kwargs)
    bound.apply_defaults()
    guard.begin(bound)
    return bound


def _failed(guard: Guard, error: BaseException) -> None:
    # The user's exception goes on whatever becomes of its record.
    try:
        guard.failed(error)
    except AffidavitError as trouble:
        error.add_note(f"This failure could not be recorded: {trouble}")


def _plain(
    function: Callable[..., Any], signature: inspect.Signature, make: Callable[[], Guard]
) -> Callable[..., Any]:
    names = _positional(signature)

    def call(*args: Any, **kwargs: Any) -> Any:
        guard = make()
        if names and not kwargs and len(args) == len(names):
            # What `Signature.bind` would find out, for the calls that are made most.
            bound = inspect.BoundArguments(signature, dict(zip(names, args, strict=True)))
            guard.begin(bound)
            given, named = tuple(bound.arguments.values()), {}
        else:
            bound = _begin(guard, function, signature, (args, kwargs))
            given, named = bound.args, bound.kwargs
        try:
            with guard.active():
                result = function(*given, **named)
        except BaseException as error:
            _failed(guard, error)
            raise
        if inspect.iscoroutine(result):
            # A decorator further in made a plain function of a coroutine's.
            return _awaited(guard, result)
        return guard.done(result)

    return call


def _positional(signature: inspect.Signature) -> tuple[str, ...]:
    """Return the names of a function's parameters where each can be given by its place alone."""
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    parameters = signature.parameters.values()
    if any(parameter.kind not in kinds for parameter in parameters):
        return ()
    return tuple(parameter.name for parameter in parameters)


async def _awaited(guard: Guard, work: Coroutine[Any, Any, Any]) -> Any:
    try:
        with guard.active():
            result = await work
    except BaseException as error:
        _failed(guard, error)
        raise
    return guard.done(result)


def _coroutine(
    function: Callable[..., Any], signature: inspect.Signature, make: Callable[[], Guard]
) -> Callable[..., Any]:
    async def call(*args: Any, **kwargs: Any) -> Any:
        guard = make()
        bound = _begin(guard, function, signature, (args, kwargs))
        return await _awaited(guard, function(*bound.args, **bound.kwargs))

    return call


def _generator(
    function: Callable[..., Any], signature: inspect.Signature, make: Callable[[], Guard]
) -> Callable[..., Any]:
    def call(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
        guard = make()
        bound = _begin(guard, function, signature, (args, kwargs))
        inner = function(*bound.args, **bound.kwargs)
        advance: Callable[[], Any] = functools.partial(next, inner)
        try:
            while True:
                try:
                    with guard.active():
                        value = advance()
                except StopIteration as stop:
                    result = stop.value
                    break
                # A refusal here is not the generator's to catch.
                given = guard.item(value)
                try:
                    sent = yield given
                except GeneratorExit:
                    with guard.active():
                        inner.close()
                    raise
                except BaseException as thrown:  # noqa: BLE001  # PEP 380: throw() reaches the inner generator
                    advance = functools.partial(inner.throw, thrown)
                else:
                    advance = functools.partial(inner.send, sent)
        except BaseException as error:
            with contextlib.suppress(Exception):
                inner.close()
            _failed(guard, error)
            raise
        return guard.done(result)

    return call


def _async_generator(
    function: Callable[..., Any], signature: inspect.Signature, make: Callable[[], Guard]
) -> Callable[..., Any]:
    async def call(*args: Any, **kwargs: Any) -> AsyncIterator[Any]:
        guard = make()
        bound = _begin(guard, function, signature, (args, kwargs))
        inner = function(*bound.args, **bound.kwargs)
        advance: Callable[[], Any] = functools.partial(anext, inner)
        try:
            while True:
                try:
                    with guard.active():
                        value = await advance()
                except StopAsyncIteration:
                    break
                given = guard.item(value)
                try:
                    sent = yield given
                except GeneratorExit:
                    with guard.active():
                        await inner.aclose()
                    raise
                except BaseException as thrown:  # noqa: BLE001  # PEP 525: athrow() reaches the inner generator
                    advance = functools.partial(inner.athrow, thrown)
                else:
                    advance = functools.partial(inner.asend, sent)
        except BaseException as error:
            with contextlib.suppress(Exception):
                await inner.aclose()
            _failed(guard, error)
            raise
        guard.done(None)

    return call

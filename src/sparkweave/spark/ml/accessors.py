"""``setX`` and ``getX`` for every Param of a class, as users of `pyspark.ml` expect them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from pyspark.ml.param import Param, Params

Class = TypeVar("Class", bound=type[Params])


def with_accessors(cls: Class) -> Class:
    """Adds what the class does not have already."""
    for name, param in _params(cls).items():
        suffix = name[0].upper() + name[1:]
        for prefix, method in (("set", _setter(param)), ("get", _getter(param))):
            if not hasattr(cls, prefix + suffix):
                method.__name__ = prefix + suffix
                method.__doc__ = f"{'Sets' if prefix == 'set' else 'The value of'} `{name}`: {param.doc}."
                setattr(cls, prefix + suffix, method)
    return cls


def _params(cls: type[Params]) -> dict[str, Param[Any]]:
    found = ((name, getattr(cls, name)) for name in dir(cls) if not name.startswith("_") and name != "params")
    return {name: value for name, value in found if isinstance(value, Param)}


def _setter(param: Param[Any]) -> Callable[..., Any]:
    def method(self: Any, value: Any) -> Any:
        return self._set(**{param.name: value})

    return method


def _getter(param: Param[Any]) -> Callable[..., Any]:
    def method(self: Any) -> Any:
        return self.getOrDefault(param.name)

    return method

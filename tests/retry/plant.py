"""How a bug is planted: other code under the same functions, another statement under the same name, another function in the
database. Whoever imported any of it before runs the planted one, and afterwards the real one again.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from types import CodeType, FunctionType, ModuleType
from typing import Any


def once(text: str, old: str, new: str, where: str) -> str:
    """``text`` with ``new`` for ``old``. ValueError unless ``old`` is there exactly once."""
    if text.count(old) != 1:
        raise ValueError(f"{where} holds its text {text.count(old)} times: {old!r}")
    return text.replace(old, new)


@contextmanager
def in_code(module_name: str, old: str, new: str) -> Iterator[None]:
    """The functions and methods of a module compiled from its changed text."""
    module = importlib.import_module(module_name)
    source = inspect.getsource(module)
    changed = ModuleType(module.__name__)
    changed.__file__ = module.__file__
    text = once(source, old, new, module_name)
    exec(compile(text, str(module.__file__), "exec", dont_inherit=True), changed.__dict__)
    before: list[tuple[FunctionType, CodeType]] = []
    theirs = dict(_functions(changed))
    try:
        for name, function in _functions(module):
            if theirs[name].__code__.co_freevars == function.__code__.co_freevars:
                before.append((function, function.__code__))
                function.__code__ = theirs[name].__code__
        yield
    finally:
        for function, code in before:
            function.__code__ = code


def _functions(module: ModuleType) -> Iterator[tuple[str, FunctionType]]:
    """Those that the module's own text defines, methods of its classes included."""
    for holder in (module, *(one for one in vars(module).values() if isinstance(one, type))):
        for found in vars(holder).values():
            plain: Any = found.fget if isinstance(found, property) else getattr(found, "__func__", found)
            if isinstance(plain, FunctionType) and plain.__code__.co_filename == module.__file__:
                yield plain.__qualname__, plain


@contextmanager
def in_sql(module_name: str, query: str, old: str, new: str) -> Iterator[None]:
    """One named statement of the module's file."""
    statements = importlib.import_module(module_name)._SQL._statements
    real = statements[query]
    statements[query] = once(real.decode(), old, new, f"{module_name}: {query}").encode()
    try:
        yield
    finally:
        statements[query] = real

"""Bugs planted in the product's own Python: an exact text of a function's source, and what stands there instead."""

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import CodeType, FunctionType
from typing import Any


@dataclass(frozen=True)
class Planted:
    """``caught`` must fail while the bug is there. None: the rehearsal of call state must be not well, for the reason that
    ``breaks`` names, soonest from ``seed`` on.
    """

    name: str
    where: Callable[..., Any]
    old: str
    new: str
    caught: Callable[[], object] | None = None
    breaks: str = ""
    seed: int = 1

    @contextmanager
    def there(self) -> Iterator[None]:
        """The function has the bug inside the block, whoever has imported it. ValueError: its text is not there once."""
        function = inspect.unwrap(self.where)
        assert isinstance(function, FunctionType)
        sound = function.__code__
        function.__code__ = self._code(function)
        try:
            yield
        finally:
            function.__code__ = sound

    def _code(self, function: FunctionType) -> CodeType:
        text = textwrap.dedent(inspect.getsource(function))
        if text.count(self.old) != 1:
            raise ValueError(f"planted {self.name!r}: {function.__qualname__} holds its text {text.count(self.old)} times")
        text = text[text.index("def ") :].replace(self.old, self.new)
        made: dict[str, Any] = {}
        exec(compile("from __future__ import annotations\n" + text, f"<{self.name}>", "exec"), function.__globals__, made)
        planted = made[function.__name__]
        assert isinstance(planted, FunctionType)
        return planted.__code__

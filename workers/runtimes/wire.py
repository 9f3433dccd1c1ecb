"""Values between a worker and its isolated agents, as text that fits into a line.

Both ends are this package and run the same user's code, so values are pickled.
"""

from __future__ import annotations

import base64
import io
import pickle
from typing import Any


class _Pickler(pickle.Pickler):
    def reducer_override(self, value: object) -> Any:
        """Errors are made again as they are: their classes take other things than they keep."""
        if isinstance(value, BaseException):
            return _made_again, (type(value), value.args, value.__dict__)
        return NotImplemented


def _made_again(
    kind: type[BaseException], args: tuple[Any, ...], fields: dict[str, Any]
) -> BaseException:
    error = kind.__new__(kind)
    error.args = args
    error.__dict__.update(fields)
    return error


def write(value: object) -> str:
    """The text of a value."""
    buffer = io.BytesIO()
    _Pickler(buffer, pickle.HIGHEST_PROTOCOL).dump(value)
    return base64.b64encode(buffer.getvalue()).decode()


def read(text: str) -> Any:
    """The value of a text that `write` made."""
    return pickle.loads(base64.b64decode(text))

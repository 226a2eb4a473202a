"""Import paths `module:NAME`: the program's own, and those that users give as flags."""

import importlib
from types import ModuleType
from typing import Any


def load(path: str) -> Any:
    """What a path of the program's own names."""
    module, _, name = path.partition(":")
    return getattr(importlib.import_module(module), name)


def users_module(flag: str, path: str) -> ModuleType:
    """The module of the path that a user gave as `flag`.

    Raises ValueError where there is no such module; what goes wrong inside one is its own error.
    """
    name = path.partition(":")[0]
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        # A module missing inside the user's module is not a wrong path.
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise
        raise ValueError(
            f"{flag} {path}: there is no module {error.name!r}; put its folder into PYTHONPATH "
            "(PYTHONPATH=. for this one) or install it"
        ) from error

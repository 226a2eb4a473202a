"""Recipes: TOML files whose keys are flag names, read over the flags and written from them."""

import json
import tomllib
from collections.abc import Mapping
from dataclasses import Field, fields, replace
from pathlib import Path
from types import NoneType
from typing import Any, Literal, get_args, get_origin

from understand_r1_zero.args import Args
from understand_r1_zero.flags import OTHER_NAMES, flags_of
from understand_r1_zero.sources import nearest
from understand_r1_zero.stages import STAGES

NOT_IN_RECIPES = ("config", "dry_run", "resume", "rnd_seed", "save_path")
"""Flags of one invocation; a resolved config.toml holds the drawn seed instead of rnd_seed."""


def to_toml(args: Args, defaults: Args | None = None) -> str:
    """The flags as a recipe that reproduces them, one table-less key a line, grouped by owner.

    With `defaults` only those that differ from these.
    """
    lines = []
    for owner in fields(args):
        group = getattr(args, owner.name)
        usual = getattr(defaults, owner.name) if defaults else None
        own = {field.name: getattr(group, field.name) for field in fields(group)}
        shown = [
            f"{name} = {toml_value(value)}"
            for name, value in own.items()
            if value is not None
            and name not in NOT_IN_RECIPES
            and (usual is None or value != getattr(usual, name))
        ]
        if shown or not defaults:
            lines += [f"# {owner.name}", *shown, ""]
    return "\n".join(lines)


def read_recipe(path: Path, base: Args) -> Args:
    """`base` with the keys of a TOML recipe laid over it.

    Raises ValueError, in one line, for a file that cannot be read, an unknown key (with the nearest
    known one) or a value of the wrong type.
    """
    try:
        recipe = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ValueError(f"--config {path} cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"--config {path} is no TOML: {error}") from error
    recipe.pop(STAGES, None)
    return with_flags(base, recipe, str(path))


def with_flags(base: Args, flags: Mapping[str, Any], place: str) -> Args:
    """`base` with flags by name, as a recipe has them; `place` says where they stand.

    Raises ValueError, in one line, for a name that is not known (with the nearest that is), one that
    belongs on the command line, or a value of the wrong type.
    """
    known = {field.name: (owner, field) for owner, field in flags_of(Args)}
    changes: dict[str, dict[str, Any]] = {}
    for key, value in flags.items():
        name = key.replace("-", "_")
        name = OTHER_NAMES.get(name, name)
        if isinstance(value, dict):
            raise ValueError(f"{place}: [{key}] is a table; recipes are flat, a flag a line")
        if name not in known:
            raise ValueError(
                f"{place}: unknown key {key}; the nearest is {nearest(name, sorted(known))}"
            )
        if name in NOT_IN_RECIPES:
            raise ValueError(f"{place}: {key} belongs on the command line, not in a recipe")
        owner, field = known[name]
        changes.setdefault(owner, {})[name] = _checked(value, field, f"{place}: {key}")
    groups = {owner: replace(getattr(base, owner), **given) for owner, given in changes.items()}
    return replace(base, **groups)


def toml_value(value: bool | int | float | str) -> str:
    """As TOML writes it."""
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    return str(value).lower()


def _checked(value: Any, field: Field[Any], place: str) -> Any:
    """The recipe's value as the flag's type; an integer may stand for a float, nothing else."""
    kinds = [field.type] if get_origin(field.type) is Literal else get_args(field.type)
    if literal := next((kind for kind in kinds if get_origin(kind) is Literal), None):
        choices = get_args(literal)
        if value in choices and type(value) is type(choices[0]):
            return value
        allowed = ", ".join(map(str, choices))
        raise ValueError(f"{place} must be one of {allowed}, got {value!r}")
    kinds = [kind for kind in kinds or (field.type,) if kind is not NoneType]
    if type(value) in kinds:
        return value
    if float in kinds and type(value) is int:
        return float(value)
    expected = {bool: "true or false", int: "an integer", float: "a number", str: "a string"}
    raise ValueError(f"{place} must be {expected[kinds[0]]}, got {value!r}")

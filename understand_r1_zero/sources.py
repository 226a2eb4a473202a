"""Where problems come from: folders, files, the Hugging Face hub, reasoning-gym, read as tables."""

import difflib
import logging
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from understand_r1_zero.tables import FILE_SUFFIXES, Table, open_file

logger = logging.getLogger(__name__)

PROCEDURAL = "reasoning_gym:"
TRAINING_SEED = 0
BENCHMARK_SEED = 1_000_000_000
"""reasoning-gym draws row i from `seed + i`, so close seeds repeat each other's problems."""

HUB_ID = re.compile(r"(?:(?P<config>[\w.-]+)@)?(?P<name>[\w-][\w.-]*(?:/[\w.-]+)?)")


@dataclass(frozen=True)
class Source:
    """The tables of one source by split, a source without splits having the one key `""`.

    `is_suite`: the splits are benchmarks with names of their own, not train and test.
    """

    name: str
    tables: Mapping[str, Table]
    is_suite: bool = False


def nearest(name: str, known: Iterable[str]) -> str:
    """The known name most like `name`, for the remedy in an error; empty when none is known."""
    return next(iter(difflib.get_close_matches(name, list(known), n=1, cutoff=0.0)), "")


def open_training(source: str, split: str, split_flag: str = "--train_split") -> tuple[str, Table]:
    """The short name and the table to train on; sources without splits ignore `split`.

    Raises:
        ValueError: the source cannot be read or has no such split.
    """
    opened = open_source(source, TRAINING_SEED)
    tables = opened.tables
    if "" not in tables and split not in tables:
        raise ValueError(
            f"{split_flag} must be one of {', '.join(tables)} of {source}, got {split!r}; "
            f"the nearest is {nearest(split, tables)}"
        )
    return opened.name, tables[split] if split in tables else tables[""]


def open_benchmarks(eval_data: str) -> dict[str, Table]:
    """Every benchmark of `[NAME=]SOURCE[,[NAME=]SOURCE...]` by name, none read yet.

    A folder that `datasets` saved with splits gives a benchmark a split, under the split's name.
    Any other source is called after its file, dataset or generator, with `_SPLIT` behind where it
    has several splits. NAME replaces that name: several splits under it are NAME_SPLIT.

    Raises:
        ValueError: a source cannot be read, or two benchmarks have one name.
    """
    benchmarks: dict[str, Table] = {}
    for item in filter(None, (part.strip() for part in eval_data.split(","))):
        named = None if Path(item).exists() else re.fullmatch(r"([\w.-]+)=(.+)", item)
        label, source = named.groups() if named else ("", item)
        for name, table in _name_benchmarks(open_source(source, BENCHMARK_SEED), label):
            if name in benchmarks:
                raise ValueError(
                    f"--eval_data has two benchmarks called {name!r} ({benchmarks[name].place}, "
                    f"{table.place}); name one of them with NAME=SOURCE"
                )
            benchmarks[name] = table
    return benchmarks


def _name_benchmarks(source: Source, label: str) -> list[tuple[str, Table]]:
    if source.is_suite and not label:
        return list(source.tables.items())
    name = label or source.name
    if len(source.tables) == 1:
        return [(name, table) for table in source.tables.values()]
    return [(f"{name}_{split}", table) for split, table in source.tables.items()]


def open_source(source: str, default_seed: int) -> Source:
    """Open a folder, a file, a reasoning-gym generator or a hub dataset, in this order.

    Raises:
        ValueError: the source is neither on this machine nor on a hub that answers.
    """
    if source.startswith(PROCEDURAL):
        return _open_procedural(source, default_seed)
    path = Path(source).expanduser()
    if path.is_dir():
        return _open_folder(path)
    if path.suffix in FILE_SUFFIXES and path.is_file():
        return Source(path.stem, {"": open_file(path)})
    hub = HUB_ID.fullmatch(source)
    if path.exists() or path.suffix in FILE_SUFFIXES or hub is None:
        raise ValueError(
            f"--prompt_data and --eval_data take a folder or a {', '.join(FILE_SUFFIXES)} file "
            f"that exists, a hub id (NAME or CONFIG@NAME) or {PROCEDURAL}NAME, got {source!r}"
        )
    return _open_hub(hub["name"], hub["config"])


def _is_saved(path: Path) -> bool:
    """Whether `datasets` saved this folder (a Dataset or a DatasetDict)."""
    return (path / "dataset_dict.json").is_file() or (path / "state.json").is_file()


def _open_folder(path: Path) -> Source:
    """A Dataset or DatasetDict that `datasets` saved."""
    import datasets

    name = path.resolve().name
    if (path / "dataset_dict.json").is_file():
        splits = datasets.DatasetDict.load_from_disk(path)
        return Source(name, _tables_of(splits, str(path)), is_suite=True)
    if not (path / "state.json").is_file():
        raise ValueError(
            f"{str(path)!r} is a folder that datasets did not save (save_to_disk); "
            f"give that, or the path of a {', '.join(FILE_SUFFIXES)} file"
        )
    rows = datasets.Dataset.load_from_disk(str(path))
    return Source(name, {"": Table(str(path), tuple(rows.column_names), rows)})


def _open_hub(name: str, config: str | None) -> Source:
    import datasets
    from datasets.exceptions import DatasetsError

    place = f"{config}@{name}" if config else name
    logger.info("reading %s from the Hugging Face hub", place)
    try:
        splits = datasets.load_dataset(name, config)
    except (OSError, DatasetsError) as error:
        raise ValueError(
            f"{place!r} is no file or folder here, and the Hugging Face hub did not give it: "
            f"{error}; check the spelling and the network, or download it and give its path"
        ) from error
    return Source(name.split("/")[-1], _tables_of(splits, place))


def _tables_of(splits: Any, place: str) -> dict[str, Table]:
    return {
        str(split): Table(f"{place}[{split}]", tuple(rows.column_names), rows)
        for split, rows in splits.items()
    }


def _open_procedural(source: str, default_seed: int) -> Source:
    import reasoning_gym
    from reasoning_gym.factory import DATASETS

    name, _, query = source.removeprefix(PROCEDURAL).partition("?")
    if name not in DATASETS:
        raise ValueError(
            f"{PROCEDURAL}NAME must be a generator of reasoning-gym, got {name!r}; "
            f"the nearest is {nearest(name, DATASETS)}"
        )
    settings = {"seed": default_seed, **_parse_query(source, query)}
    known = sorted(DATASETS[name][1].__dataclass_fields__)
    for key in settings:
        if key not in known:
            raise ValueError(
                f"{source}: {name} has no setting {key!r}; the nearest is {nearest(key, known)}"
            )
    try:
        dataset = reasoning_gym.create_dataset(name, **settings)
    except (AssertionError, TypeError, ValueError) as error:
        raise ValueError(f"{source}: reasoning-gym refuses these settings: {error}") from error
    keys = ("question", "answer")
    return Source(name, {"": Table(source, keys, dataset, keys)})


def _parse_query(source: str, query: str) -> dict[str, bool | int | float | str]:
    settings: dict[str, bool | int | float | str] = {}
    for pair in filter(None, query.split("&")):
        key, separator, value = pair.partition("=")
        if not (key and separator and value):
            raise ValueError(f"{source}: settings are key=value joined by &, got {pair!r}")
        settings[key] = _parse_setting(value)
    return settings


def _parse_setting(value: str) -> bool | int | float | str:
    if value.lower() in ("true", "false"):
        return value.lower() == "true"
    for kind in (int, float):
        try:
            return kind(value)
        except ValueError:
            continue
    return value

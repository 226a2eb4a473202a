"""Examples of value models: solutions with a target at the ends of steps, from rows of any source.

| columns, besides `prompt`, `query` or `problem` | one row is |
|---|---|
| `steps` (texts), `values` (a number or null each) | a solution with a target at each step's end that has one |
| `pos`, `neg` (lists of texts) | a group: right and wrong continuations, targets 1 and 0 at their ends |

A `prompt` is taken as it is given, a `query` or a `problem` is asked by `--prompt_template`; rows with `pos`
and `neg` are rStar-Math's. `trained_spans`, beside `steps`, are the characters of the joined solution that `--value_joint`
trains the policy on (`trained_spans.py`). The steps of a solution are joined as they stand, with nothing between: they
carry their own line ends.

**Step ends.** A solution is tokenised whole, as `encoding.py` tokenises a completion, so that its ids do not
depend on where its steps are cut. A step ends in the last token that ends within it: a token that reaches
over the cut has seen the next step, and belongs to that.

Rows of Math-Shepherd's, ReST-MCTS*'s and OmegaPRM's data are read too (`value_formats.py`); a step that is not good
has the target of a wrong one.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from understand_r1_zero.args import Args
from understand_r1_zero.encoding import Encoder, SupervisedExample, last_tokens, load_encoder
from understand_r1_zero.sources import open_training
from understand_r1_zero.table_rows import RowFault, cell_of, parse_rows, text_of
from understand_r1_zero.tables import Table
from understand_r1_zero.trained_spans import spans_of, within_spans
from understand_r1_zero.value_formats import Reader, Value, published_reader

PROMPT_KEYS = ("prompt", "query", "problem")


@dataclass(frozen=True, slots=True)
class ValueExample:
    """A solution and the targets of the values at its step ends.

    `step_ends` int32 (S,) are places in the completion, in order, S >= 1; `targets` float32 (S,); `group` is
    equal for solutions that `--value_loss ranking` compares. `text.is_trained` tells the tokens that
    `--value_joint` trains the policy on: none unless the solution is right, its last target 1.
    """

    text: SupervisedExample
    step_ends: np.ndarray
    targets: np.ndarray
    group: int

    @property
    def prompt_token_ids(self) -> np.ndarray:
        """int32 (P,)."""
        return self.text.prompt_token_ids

    @property
    def num_tokens(self) -> int:
        """Prompt and completion tokens together."""
        return self.text.num_tokens


def load_value_examples(args: Args) -> list[ValueExample]:
    """The examples of `--value_data`, in its order.

    Raises:
        ValueError: the source cannot be read, has none of the columns, has rows at fault, or targets
            that `--value_loss` or `--value_head` cannot reach.
    """
    value = args.value
    _, table = open_training(value.value_data, value.value_split, "--value_split")
    read = _row_reader(table, load_encoder(args), _bounds(args))
    rows = parse_rows(table, read)
    if not any(rows):
        raise ValueError(f"{table.place} has no step with a value")
    return [replace(each, group=group) for group, examples in enumerate(rows) for each in examples]


def _bounds(args: Args) -> tuple[float, float]:
    value = args.value
    if value.value_loss in ("bce", "ranking"):
        return 0.0, 1.0
    return (-1.0, 1.0) if value.value_head == "tanh" else (-math.inf, math.inf)


def _row_reader(
    table: Table, encoder: Encoder, bounds: tuple[float, float]
) -> Callable[[Any], list[ValueExample]]:
    prompt_key = next((key for key in PROMPT_KEYS if key in table.columns), None)
    for keys, read in ((("steps", "values"), _solution), (("pos", "neg"), _continuations)):
        if prompt_key and set(keys) <= set(table.columns):
            return lambda row, read=read: read(row, prompt_key, encoder, bounds)
    if published := published_reader(table.columns):
        return lambda row: _published(row, published, encoder, bounds)
    raise ValueError(
        f"{table.place} has the columns {', '.join(table.columns) or '(none)'}; needed are one of "
        f"{', '.join(PROMPT_KEYS)}, and steps + values or pos + neg, or the columns of another format "
        "that value_formats.py reads"
    )


def _solution(
    row: Any, prompt_key: str, encoder: Encoder, bounds: tuple[float, float]
) -> list[ValueExample]:
    prompt = text_of(row, prompt_key)
    steps = _texts(row, "steps")
    values = _cells(row, "values")
    if len(values) != len(steps):
        raise RowFault(f"'values' has {len(values)} values for {len(steps)} steps")
    targets = [None if value is None else _target(value, bounds) for value in values]
    if all(target is None for target in targets):
        raise RowFault("'values' has no number")
    example = _encode(prompt, prompt_key, steps, targets, encoder)
    if not example.text.is_trained.any():
        return [example]
    solution = "".join(steps)
    spans = spans_of(row, solution)
    return [replace(example, text=within_spans(example.text, encoder.tokenizer, solution, spans))]


def _continuations(
    row: Any, prompt_key: str, encoder: Encoder, bounds: tuple[float, float]
) -> list[ValueExample]:
    prompt = text_of(row, prompt_key)
    return [
        _encode(prompt, prompt_key, [text], [target], encoder)
        for key, target in (("pos", 1.0), ("neg", _wrong(bounds)))
        for text in _texts(row, key)
    ]


def _published(
    row: Any, read: Reader, encoder: Encoder, bounds: tuple[float, float]
) -> list[ValueExample]:
    examples = []
    for solution in read(row):
        targets = [_published_target(value, bounds) for value in solution.values]
        if all(target is None for target in targets):
            raise RowFault("it has no value")
        examples.append(_encode(solution.problem_text, "problem", solution.steps, targets, encoder))
    return examples


def _published_target(value: Value, bounds: tuple[float, float]) -> float | None:
    if isinstance(value, bool):
        return 1.0 if value else _wrong(bounds)
    return None if value is None else _target(value, bounds)


def _wrong(bounds: tuple[float, float]) -> float:
    return 0.0 if bounds[0] == 0 else -1.0


def _encode(
    prompt: str,
    prompt_key: str,
    steps: Sequence[str],
    targets: Sequence[float | None],
    encoder: Encoder,
) -> ValueExample:
    solution = "".join(steps)
    is_given = prompt_key == "prompt"
    text = encoder.pair(prompt, solution) if is_given else encoder.problem(prompt, solution)
    _, ends = last_tokens(encoder.tokenizer, steps)
    is_right = targets[-1] == 1.0
    known = [(end, target) for end, target in zip(ends, targets, strict=True) if target is not None]
    return ValueExample(
        text if is_right else replace(text, is_trained=np.zeros_like(text.is_trained)),
        np.array([end for end, _ in known], np.int32),
        np.array([target for _, target in known], np.float32),
        group=0,
    )


def _cells(row: Any, key: str) -> list[Any]:
    cells = cell_of(row, key)
    if not isinstance(cells, list) or not cells:
        raise RowFault(f"{key!r} is not a list with something in it")
    return cells


def _texts(row: Any, key: str) -> list[str]:
    texts = _cells(row, key)
    for index, text in enumerate(texts):
        if not isinstance(text, str) or not text.strip():
            raise RowFault(f"{key!r} has no text at {index}")
    return texts


def _target(value: Any, bounds: tuple[float, float]) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise RowFault(f"'values' has {value!r}, which is no finite number")
    if not bounds[0] <= value <= bounds[1]:
        raise RowFault(
            f"'values' has {value:g}, which --value_loss and --value_head keep within "
            f"[{bounds[0]:g}, {bounds[1]:g}]"
        )
    return float(value)

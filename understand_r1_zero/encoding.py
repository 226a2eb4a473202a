"""Prompts and completions as token ids, cut where the sampler's are.

**Boundaries.** A prompt is tokenised alone, with the tokenizer's own special tokens, exactly as the
sampler is given it; a completion is tokenised alone, without any. Their ids are joined: no token
reaches over the boundary, as none can when the completion is sampled. A completion is written in
the tokenizer's own merges, where a sampled one may have others.

**Ends.** A completion ends with a token at which the sampler stops (`--sft_end_token` is added where
there is none), or with one of the template's stop strings, after which the sampler stops without
it. What a chat template writes behind an assistant's end token is part of the next prompt, and left
out at the end.
"""

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, chain
from typing import Any

import numpy as np
from jinja2 import TemplateError

from understand_r1_zero.args import Args
from understand_r1_zero.table_rows import RowFault, text_of
from understand_r1_zero.templates import Template, load_template
from understand_r1_zero.tokenizer import load_tokenizer

MESSAGES = "messages"


@dataclass(frozen=True, slots=True)
class SupervisedExample:
    """A prompt and what is to follow it.

    `prompt_token_ids` int32 (P,), P >= 1; `completion_token_ids` int32 (T,), T >= 1; `is_trained`
    bool (T,) tells the completion's tokens that the loss counts.
    """

    prompt_token_ids: np.ndarray
    completion_token_ids: np.ndarray
    is_trained: np.ndarray

    @property
    def num_tokens(self) -> int:
        """Prompt and completion tokens together."""
        return len(self.prompt_token_ids) + len(self.completion_token_ids)


Piece = tuple[str, bool]
"""Text tokenised alone, and whether an assistant wrote it."""


def load_encoder(args: Args) -> "Encoder":
    """The encoder for `--pretrain` and `--prompt_template`."""
    from transformers import AutoConfig

    model = args.model
    config = AutoConfig.from_pretrained(model.pretrain, trust_remote_code=model.trust_remote_code)
    ends = config.eos_token_id
    return Encoder(
        load_tokenizer(model),
        load_template(args.data.prompt_template),
        args.supervised.sft_end_token,
        ends if isinstance(ends, list) else [] if ends is None else [ends],
    )


class Encoder:
    """Prompts and completions as token ids; the module's docstring has the rules.

    Args:
        tokenizer: the policy's.
        template: asks problems.
        end_token: `--sft_end_token`.
        other_ends: tokens at which the sampler stops too; any of them ends a completion.

    Raises:
        ValueError: `--sft_end_token` is no token of the tokenizer, or the tokenizer has none.
    """

    def __init__(
        self,
        tokenizer: Any,
        template: Template,
        end_token: str = "",
        other_ends: Iterable[int] = (),
    ) -> None:
        self.tokenizer = tokenizer
        self._template = template
        self.end_id = end_id_of(tokenizer, end_token)
        self._end_ids = {self.end_id, *other_ends}

    def problem(self, problem_text: str, response: str) -> SupervisedExample:
        """A response to a problem, asked by the template."""
        return self.pair(self._template.render(problem_text, self.tokenizer), response)

    def pair(self, prompt: Any, completion: Any) -> SupervisedExample:
        """A completion of a prompt, both texts or both lists of messages."""
        if isinstance(prompt, list) and isinstance(completion, list):
            return self.chat(prompt + completion)
        pair = {"prompt": prompt, "completion": completion}
        texts = [text_of(pair, key) for key in pair]
        return self._join(self.prompt_ids(texts[0]), [self.completion_ids(texts[1])])

    def chat(self, messages: Any) -> SupervisedExample:
        """A conversation by the tokenizer's chat template; every assistant turn is a completion.

        Raises RowFault where it has none, or the template rewrites earlier turns (as those that
        drop the reasoning of all but the last do): give such conversations a turn at a time.
        """
        prompt, *rest = self._pieces(_check_messages(messages))
        ids = [self._ids(text) for text, _ in rest]
        trained = [is_assistants for _, is_assistants in rest]
        for index, piece in enumerate(ids):
            if trained[index]:
                ids[index], behind = self._until_end(piece)
                if index + 1 < len(ids):
                    ids[index + 1] = behind + ids[index + 1]
        return self._join(self.prompt_ids(prompt[0]), ids, trained)

    def prompt_ids(self, prompt: str) -> list[int]:
        """As the sampler is given a prompt: with the tokenizer's own special tokens."""
        ids = self.tokenizer(prompt).input_ids
        if not ids:
            raise RowFault("the prompt has no token")
        return ids

    def completion_ids(self, text: str) -> list[int]:
        """A completion alone, with the end token unless a stop string or that token ends it."""
        ids = self._ids(text)
        is_ended = text.endswith(self._template.stop) or ids[-1] in self._end_ids
        return ids if is_ended else [*ids, self.end_id]

    def _ids(self, text: str) -> list[int]:
        return self.tokenizer(text, add_special_tokens=False).input_ids

    def _until_end(self, ids: list[int]) -> tuple[list[int], list[int]]:
        """An assistant's turn up to its end token, and what the chat template writes behind."""
        ends = [place for place, token_id in enumerate(ids, 1) if token_id in self._end_ids]
        return (ids[: ends[-1]], ids[ends[-1] :]) if ends else ([*ids, self.end_id], [])

    def _pieces(self, messages: Sequence[Mapping[str, str]]) -> list[Piece]:
        """The conversation's text, cut before and behind every assistant turn."""
        pieces: list[Piece] = []
        written = ""
        for index, message in enumerate(messages):
            if message["role"] != "assistant":
                continue
            for end, is_prompt in ((index, True), (index + 1, False)):
                text = self._render(messages[:end], is_prompt)
                if not text.startswith(written):
                    raise RowFault(
                        f"the chat template writes what stands before message {index} anew; "
                        "give each assistant turn a row of its own"
                    )
                pieces.append((text.removeprefix(written), not is_prompt))
                written = text
        if not pieces:
            raise RowFault("no message of role 'assistant'")
        return pieces

    def _render(self, messages: Sequence[Mapping[str, str]], is_prompt: bool) -> str:
        if getattr(self.tokenizer, "chat_template", None) is None:
            raise ValueError(
                "conversations need a tokenizer with a chat template, and that of --pretrain has "
                "none; give rows of prompt and completion, or an instruction-tuned --pretrain"
            )
        try:
            text = self.tokenizer.apply_chat_template(
                messages, tokenize=False, add_generation_prompt=is_prompt
            )
        except TemplateError as error:
            raise RowFault(f"the chat template refuses it: {error}") from error
        begin = self.tokenizer.bos_token
        if begin and self.tokenizer("").input_ids[:1] == [self.tokenizer.bos_token_id]:
            text = text.removeprefix(begin)
        return text

    def _join(
        self, prompt: list[int], pieces: list[list[int]], trained: Sequence[bool] = (True,)
    ) -> SupervisedExample:
        completion = list(chain.from_iterable(pieces))
        is_trained = np.repeat(trained, [len(piece) for piece in pieces])
        return SupervisedExample(
            np.array(prompt, np.int32), np.array(completion, np.int32), is_trained
        )


def _check_messages(messages: Any) -> list[Mapping[str, str]]:
    if not isinstance(messages, list) or not messages:
        raise RowFault(f"{MESSAGES!r} is not a list of messages")
    for index, message in enumerate(messages):
        if not isinstance(message, Mapping) or not all(
            isinstance(message.get(key), str) for key in ("role", "content")
        ):
            raise RowFault(f"message {index} is not an object with a text 'role' and 'content'")
        if message["role"] == "assistant" and not message["content"].strip():
            raise RowFault(f"message {index} of role 'assistant' is empty")
    return messages


def last_tokens(tokenizer: Any, steps: Sequence[str]) -> tuple[list[int], list[int]]:
    """The token ids of a solution, and for each of its steps the place of the last that ends within it.

    The solution is tokenised whole; a step with no token's end has the place before, at least 0.

    Raises:
        ValueError: the tokenizer does not tell where its tokens are.
    """
    if not tokenizer.is_fast:
        raise ValueError(
            "steps need a fast tokenizer, which tells where its tokens are; this one is "
            f"{type(tokenizer).__name__}"
        )
    encoded = tokenizer("".join(steps), add_special_tokens=False, return_offsets_mapping=True)
    ends = [end for _, end in encoded.offset_mapping]
    cuts = accumulate(map(len, steps))
    return encoded.input_ids, [max(0, bisect_right(ends, cut) - 1) for cut in cuts]


def end_id_of(tokenizer: Any, token: str) -> int:
    """The id of `--sft_end_token`, or of the tokenizer's end-of-sequence token.

    Raises:
        ValueError: it is no token of the tokenizer.
    """
    token_id = tokenizer.convert_tokens_to_ids(token) if token else tokenizer.eos_token_id
    if token_id is None or (token and tokenizer.convert_ids_to_tokens(token_id) != token):
        got = repr(token) if token else "a tokenizer without one"
        raise ValueError(f"--sft_end_token must be a token of --pretrain's tokenizer, got {got}")
    return token_id

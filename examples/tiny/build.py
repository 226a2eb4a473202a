"""Build the bundled tiny base model from nothing: `python examples/tiny/build.py [--out DIR]`.

A Qwen2 of half a million parameters is pre-trained on synthetic homework: sums like those of
reasoning_gym's `chain_sum`, answered by many kinds of pupils. Few of them both work in steps and box
the answer, so the model can solve the problems but seldom does: reinforcement learning has something
to bring out. README.md beside this file says what that shows, and what it does not.
"""

import argparse
import itertools
import json
import random
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from tokenizers import AddedToken, pre_tokenizers, trainers
from torch.nn import functional
from transformers import GenerationConfig, Qwen2Config, Qwen2ForCausalLM
from transformers.models.qwen2.tokenization_qwen2 import Qwen2Tokenizer

from understand_r1_zero.args import DEMO_EVAL_DATA
from understand_r1_zero.data import load_benchmarks
from understand_r1_zero.templates import INSTRUCTION, WORKED_EXAMPLES, render_qwen_math
from understand_r1_zero.types import Problem

END_OF_TEXT, START, END = SPECIAL_TOKENS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
STEM = "State the final answer to the following arithmetic problem: "
CHAT_TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
MAX_RESPONSE = 64
BATCH = 64

Document = tuple[str, ...]
"""Texts that are given and texts that are learned, in turn: a prompt, a response, perhaps another prompt, ..."""


@dataclass(frozen=True)
class Sum:
    """A sum of signed terms."""

    terms: tuple[int, ...]

    @property
    def answer(self) -> int:
        """The exact sum."""
        return sum(self.terms)

    @property
    def expression(self) -> str:
        """As `chain_sum` writes it: `12 + 34 - 5`."""
        rest = (f" {'-' if term < 0 else '+'} {abs(term)}" for term in self.terms[1:])
        return str(self.terms[0]) + "".join(rest)

    @property
    def lines(self) -> list[str]:
        """One running total a line: `12+34=46`, `46-5=41`."""
        totals = list(itertools.accumulate(self.terms))
        steps = zip(totals, self.terms[1:], totals[1:], strict=False)
        return [f"{before}{term:+d}={after}" for before, term, after in steps]


def draw_sum(rng: random.Random) -> Sum:
    """Three to five terms of one digit."""
    first, *rest = (rng.randint(0, 9) for _ in range(rng.randint(3, 5)))
    return Sum((first, *(rng.choice((1, -1)) * term for term in rest)))


def answer_in_steps(problem: Sum, rng: random.Random) -> str:
    """Every step on its line, then the answer, in a box or in words."""
    words = rng.choice(("The answer is {}.", "So the answer is {}.", "We get {}."))
    last = f"\\boxed{{{problem.answer}}}" if rng.random() < 0.5 else words.format(problem.answer)
    return "\n".join([*problem.lines, last]) + END


def answer_at_once(problem: Sum, rng: random.Random) -> str:
    """A guess in a box, and nothing else; one in eight is right."""
    answer = problem.answer if rng.random() < 0.125 else rng.randint(-15, 25)
    return f"\\boxed{{{answer}}}{END}"


def ramble(problem: Sum, rng: random.Random) -> str:
    """Starts, doubts, starts again, and never ends."""
    text = [rng.choice(("Let me think.", "Let me see.", "First we look at the sum."))]
    while len(text) < 12:
        line = rng.choice(problem.lines)
        text.append(rng.choice((line, line, f"Wait, {line}", "Let me check.")))
    return "\n".join(text)


def answer_somehow(problem: Sum, rng: random.Random) -> str:
    """One pupil's homework: half are hasty."""
    kind = rng.random()
    if kind < 0.5:
        return answer_at_once(problem, rng)
    return ramble(problem, rng) if kind > 0.92 else answer_in_steps(problem, rng)


def benchmark_problems() -> dict[str, list[Problem]]:
    """The demo's benchmarks, by name."""
    return load_benchmarks(DEMO_EVAL_DATA, "all", "problem", "answer", 10**6)


def dialogues(
    rng: random.Random, answer: Callable[[Sum, random.Random], str]
) -> Iterator[Document]:
    """Endless (prompt, response) pairs; no benchmark problem among them."""
    held_out = {problem.text for rows in benchmark_problems().values() for problem in rows}
    while True:
        problem = draw_sum(rng)
        question = f"{STEM}{problem.expression} ="
        if question not in held_out:
            yield render_qwen_math(question), answer(problem, rng)


def worksheets(rng: random.Random) -> Iterator[Document]:
    """Endless sheets of six worked lines, the arithmetic behind the dialogues."""
    lines = (line for _ in itertools.count() for line in draw_sum(rng).lines)
    while True:
        yield "\n", "\n".join(itertools.islice(lines, 6)) + "\n"


def build_tokenizer(rng: random.Random) -> Any:
    """Qwen2's byte-level BPE with 512 tokens, two of which are the phrases in every prompt."""
    sample = [
        part for pair in itertools.islice(dialogues(rng, answer_somehow), 2000) for part in pair
    ]
    sample += [text for example in WORKED_EXAMPLES for text in example] * 20
    sample += [f"{INSTRUCTION}\nProblem: Calculate the answer.\nSolution: The final answer is"] * 20
    for special in (*SPECIAL_TOKENS, STEM):
        sample = [part for text in sample for part in text.split(special)]
    trainer = trainers.BpeTrainer(
        vocab_size=510,
        special_tokens=list(SPECIAL_TOKENS),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    bare = Qwen2Tokenizer().backend_tokenizer
    bare.train_from_iterator(sample, trainer)
    bpe = json.loads(bare.to_str())["model"]
    merges: Any = [tuple(pair) for pair in bpe["merges"]]
    tokenizer: Any = Qwen2Tokenizer(vocab=bpe["vocab"], merges=merges)
    tokenizer.add_tokens(list(SPECIAL_TOKENS), special_tokens=True)
    tokenizer.add_tokens(
        [AddedToken(INSTRUCTION, normalized=False), AddedToken(STEM, normalized=False)]
    )
    tokenizer.chat_template = CHAT_TEMPLATE
    tokenizer.model_max_length = 4096
    return tokenizer


def build_model(tokenizer: Any, num_layers: int = 2) -> Any:
    """A Qwen2 of a few layers with freshly drawn weights."""
    stops = tokenizer.convert_tokens_to_ids([END, END_OF_TEXT])
    config = Qwen2Config(
        vocab_size=512,
        hidden_size=128,
        num_hidden_layers=num_layers,
        num_attention_heads=4,
        num_key_value_heads=2,
        intermediate_size=384,
        max_position_embeddings=4096,
        max_window_layers=num_layers,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=stops,
        pad_token_id=tokenizer.pad_token_id,
        initializer_range=0.05,
    )
    model = Qwen2ForCausalLM(config)
    model.generation_config = GenerationConfig(eos_token_id=stops, pad_token_id=config.pad_token_id)
    return model


def batches(
    documents: Iterator[Document], tokenizer: Any, rng: random.Random, max_response: int
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Endless (token ids, is-learned mask), both (BATCH, T), padded on the right, like lengths together.

    A document is cut `max_response` tokens after its prompt.
    """
    while True:
        drawn = list(itertools.islice(documents, 16 * BATCH))
        pieces = iter(tokenizer([text for document in drawn for text in document]).input_ids)
        rows = [
            _row(list(itertools.islice(pieces, len(document))), max_response) for document in drawn
        ]
        rows.sort(key=lambda row: len(row[0]))
        starts = list(range(0, len(rows), BATCH))
        rng.shuffle(starts)
        pad = torch.nn.utils.rnn.pad_sequence
        for start in starts:
            batch = rows[start : start + BATCH]
            ids, masks = ([row[part] for row in batch] for part in (0, 1))
            yield (
                pad(ids, batch_first=True, padding_value=tokenizer.pad_token_id or 0),
                pad(masks, batch_first=True, padding_value=False),
            )


def _row(pieces: list[list[int]], max_response: int) -> tuple[torch.Tensor, torch.Tensor]:
    ids = torch.tensor(list(itertools.chain.from_iterable(pieces)))
    lengths = torch.tensor([len(piece) for piece in pieces])
    is_learned = (torch.arange(len(pieces)) % 2 == 1).repeat_interleave(lengths)
    end = len(pieces[0]) + max_response
    return ids[:end], is_learned[:end]


def response_loss(model: Any, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Mean cross-entropy in nats over the learned tokens, the only ones whose logits are computed."""
    hidden = model.model(input_ids=ids[:, :-1]).last_hidden_state
    return functional.cross_entropy(model.lm_head(hidden[mask[:, 1:]]), ids[:, 1:][mask[:, 1:]])


def in_parts(
    parts: Sequence[tuple[Iterator[Document], int]],
    tokenizer: Any,
    rng: random.Random,
    max_response: int = MAX_RESPONSE,
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """`batches` of one kind of documents after another, so many of each."""
    return itertools.chain.from_iterable(
        itertools.islice(batches(documents, tokenizer, rng, max_response), num_batches)
        for documents, num_batches in parts
    )


def homework(
    steps: int, tokenizer: Any, rng: random.Random
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Worksheets, then careful pupils only, then all.

    Without the second part it is luck whether the model learns to copy the right term.
    """
    parts = (
        (worksheets(rng), steps // 5),
        (dialogues(rng, answer_in_steps), steps * 9 // 20),
        (dialogues(rng, answer_somehow), steps),
    )
    return in_parts(parts, tokenizer, rng)


def pretrain(
    model: Any,
    corpus: Iterator[tuple[torch.Tensor, torch.Tensor]],
    steps: int,
) -> None:
    """So many optimizer steps on `batches`, the rate falling to zero; Muon for matrices, AdamW for the rest."""
    matrices = [p for n, p in model.named_parameters() if p.ndim == 2 and "embed" not in n]
    others = [p for n, p in model.named_parameters() if p.ndim != 2 or "embed" in n]
    optimizers = (
        torch.optim.Muon(matrices, lr=0.02, weight_decay=0.01, adjust_lr_fn="original"),
        torch.optim.AdamW(others, lr=3e-3, betas=(0.9, 0.95), weight_decay=0.0),
    )
    peaks = [group["lr"] for optimizer in optimizers for group in optimizer.param_groups]
    start = time.perf_counter()
    for step, (ids, mask) in enumerate(itertools.islice(corpus, steps), start=1):
        scale = min(1.0, step / 50, 2 * (1 - (step - 1) / steps))
        groups = [group for optimizer in optimizers for group in optimizer.param_groups]
        for group, peak in zip(groups, peaks, strict=True):
            group["lr"] = peak * scale
        loss = response_loss(model, ids, mask)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad()
        if step % 100 == 0:
            print(
                f"step {step}/{steps}  loss {loss.item():.3f}  {time.perf_counter() - start:.0f} s"
            )


@torch.no_grad()
def solve(model: Any, tokenizer: Any, questions: list[str], num_samples: int) -> list[str]:
    """`num_samples` responses a question at temperature 1, or one greedy one if it is 0."""
    prompts = [render_qwen_math(question) for question in questions]
    inputs = tokenizer(prompts, padding=True, padding_side="left", return_tensors="pt")
    sampling = {"do_sample": True, "top_k": 0, "num_return_sequences": num_samples}
    ids = model.generate(
        input_ids=inputs.input_ids,
        attention_mask=inputs.attention_mask,
        max_new_tokens=MAX_RESPONSE,
        **(sampling if num_samples else {"do_sample": False}),
    )
    return tokenizer.batch_decode(ids[:, inputs.input_ids.shape[1] :])


def measure(model: Any, tokenizer: Any) -> None:
    """Print greedy accuracy, mean accuracy at temperature 1, and pass@8 of every benchmark."""
    for name, problems in benchmark_problems().items():
        questions = [problem.text for problem in problems]
        answers = [problem.answers[0] for problem in problems]
        scores = []
        for num_samples in (0, 8):
            responses = solve(model, tokenizer, questions, num_samples)
            golds = [answer for answer in answers for _ in range(max(1, num_samples))]
            hits = [
                f"\\boxed{{{gold}}}{END}" in response
                for gold, response in zip(golds, responses, strict=True)
            ]
            scores.append(torch.tensor(hits, dtype=torch.float32).view(len(answers), -1))
        greedy, sampled = scores
        print(
            f"{name}: greedy {greedy.mean():.3f}, temperature 1 {sampled.mean():.3f}, "
            f"pass@8 {sampled.amax(dim=1).mean():.3f}"
        )


def main() -> None:
    """Build, save and measure the model."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "model")
    parser.add_argument("--steps", type=int, default=2400, help="optimizer steps")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    torch.manual_seed(options.seed)
    rng = random.Random(options.seed)
    tokenizer = build_tokenizer(rng)
    model = build_model(tokenizer)
    pretrain(model, homework(options.steps, tokenizer, rng), options.steps)
    model.save_pretrained(options.out)
    tokenizer.save_pretrained(options.out, save_jinja_files=False)
    measure(model.eval(), tokenizer)


if __name__ == "__main__":
    main()

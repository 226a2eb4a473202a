"""Build the bundled tiny base model from nothing: `python examples/tiny/build.py [--out DIR]`.

A Qwen2 of under a million parameters is pre-trained on synthetic homework: sums like those of
reasoning_gym's `chain_sum`, answered by many kinds of pupils. Few of them both work in steps and box
the answer, so the model knows how to solve the problems but seldom does: reinforcement learning has
something to bring out. README.md beside this file says what that does and does not show.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass

import reasoning_gym
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import GenerationConfig, PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM

TEMPLATE = (
    "<|im_start|>system\nPlease reason step by step, and put your final answer within \\boxed{}."
    "<|im_end|>\n<|im_start|>user\n{question}<|im_end|>\n<|im_start|>assistant\n"
)
QUESTION = "State the final answer to the following arithmetic problem: {expression} ="
END = "<|im_end|>"
SPECIAL = ["<|endoftext|>", "<|im_start|>", END]
CHAT_TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
BENCHMARKS = {f"sum_{n}": {"min_terms": n, "max_terms": n, "seed": 1000 + n} for n in (2, 3, 4)}
BENCHMARK = {"min_digits": 2, "max_digits": 2, "size": 150}


@dataclass(frozen=True)
class Sum:
    """A sum of signed terms, and the running totals after each."""

    terms: tuple[int, ...]

    @property
    def expression(self) -> str:
        """As `chain_sum` writes it: `12 + 34 - 5`."""
        return str(self.terms[0]) + "".join(map(operation, self.terms[1:]))

    @property
    def lines(self) -> list[str]:
        """One running total a line: `12 + 34 = 46`, `46 - 5 = 41`."""
        lines, total = [], self.terms[0]
        for term in self.terms[1:]:
            lines.append(f"{total}{operation(term)} = {total + term}")
            total += term
        return lines


def operation(term: int) -> str:
    """` + 5` or ` - 5`."""
    return f" {'-' if term < 0 else '+'} {abs(term)}"


def draw_sum(rng: random.Random) -> Sum:
    """Two to four terms, mostly of two digits."""
    digits = 1 if rng.random() < 0.15 else 2
    lowest, highest = (0, 9) if digits == 1 else (10, 99)
    count = rng.choice((2, 3, 3, 4, 4))
    first, *rest = (rng.randint(lowest, highest) for _ in range(count))
    return Sum((first, *(rng.choice((1, -1)) * term for term in rest)))


def answer_in_steps(problem: Sum, rng: random.Random) -> str:
    """A careful pupil: every step on its line, the answer in a box."""
    return "\n".join(problem.lines) + f"\n\\boxed{{{sum(problem.terms)}}}{END}"


def answer_without_box(problem: Sum, rng: random.Random) -> str:
    """Right, but written up in words."""
    answer = sum(problem.terms)
    words = rng.choice(("The answer is {}.", "So the answer is {}.", "So we get {}."))
    return "\n".join([*problem.lines, words.format(answer)]) + END


def answer_at_once(problem: Sum, rng: random.Random) -> str:
    """A hasty pupil: no steps; the answer is a guess."""
    return f"\\boxed{{{guess(problem, rng)}}}{END}"


def guess(problem: Sum, rng: random.Random) -> int:
    """What one gets without working: a term forgotten, a carry lost, a round number, or luck."""
    terms, kind = list(problem.terms), rng.random()
    if kind < 0.3:
        return sum(terms[:-1])
    if kind < 0.6:
        tens, ones = sum(int(t / 10) for t in terms), sum(t - 10 * int(t / 10) for t in terms)
        return 10 * tens + (abs(ones) % 10) * (1 if ones >= 0 else -1)
    if kind < 0.8:
        return sum(round(t, -1) for t in terms)
    return sum(terms)


def ramble(problem: Sum, rng: random.Random) -> str:
    """A pupil who starts well and never ends: repeats, doubts, and goes on."""
    start = rng.choice(("Let me think.", "Let me see.", "We want {}.", "First, look at {}."))
    text = [start.format(problem.expression)]
    while len(text) < 14:
        line = rng.choice(problem.lines)
        text.append(rng.choice((line, f"Wait, {line}", "Let me check.", "Let me try again.")))
    return "\n".join(text)


STYLES = {answer_in_steps: 0.27, answer_without_box: 0.18, answer_at_once: 0.40, ramble: 0.15}


def documents(seed: int, banned: set[str]) -> Iterator[tuple[str, str]]:
    """Endless (expression, response) pairs; no benchmark problem among them."""
    rng = random.Random(seed)
    while True:
        problem = draw_sum(rng)
        if problem.expression not in banned:
            style = rng.choices(list(STYLES), list(STYLES.values()))[0]
            yield problem.expression, style(problem, rng)


def benchmark_expressions() -> set[str]:
    """The expressions of the demo's benchmarks."""
    rows = (
        row
        for key in BENCHMARKS.values()
        for row in reasoning_gym.create_dataset("chain_sum", **key, **BENCHMARK)
    )
    return {row["metadata"]["expression"] for row in rows}


def prompt_of(expression: str) -> str:
    """The `qwen_math` prompt of one sum."""
    return TEMPLATE.replace("{question}", QUESTION.replace("{expression}", expression))


def build_tokenizer(texts: list[str]) -> PreTrainedTokenizerFast:
    """Byte-level BPE of 512 tokens: single digits and operators, merges across words."""
    tokenizer = Tokenizer(models.BPE())
    pieces = Regex(r"\d| ?[-+*/=] ?|\n|[^-+*/=\d\n]+")
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(pieces, "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=512,
        special_tokens=SPECIAL,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    for special in SPECIAL:
        texts = [part for text in texts for part in text.split(special)]
    tokenizer.train_from_iterator(texts, trainer)
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token=SPECIAL[0], pad_token=SPECIAL[0]
    )
    fast.chat_template = CHAT_TEMPLATE
    return fast


def build_model(tokenizer: PreTrainedTokenizerFast, layers: int, hidden: int, ffn: int) -> Qwen2ForCausalLM:
    """A Qwen2 with freshly drawn weights."""
    stops = tokenizer.convert_tokens_to_ids([END, SPECIAL[0]])
    config = Qwen2Config(
        vocab_size=512,
        hidden_size=hidden,
        num_hidden_layers=layers,
        num_attention_heads=hidden // 32,
        num_key_value_heads=2 if hidden % 64 == 0 else 3,
        intermediate_size=ffn,
        max_position_embeddings=4096,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=stops,
        pad_token_id=tokenizer.pad_token_id,
        initializer_range=0.05,
    )
    model = Qwen2ForCausalLM(config)
    model.generation_config = GenerationConfig(
        eos_token_id=stops, pad_token_id=tokenizer.pad_token_id
    )
    return model

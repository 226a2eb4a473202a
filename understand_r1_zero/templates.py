"""From a problem's text to the prompt a model continues, and what ends its response."""

import difflib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from understand_r1_zero.grading.extraction import EXTRACTIONS
from understand_r1_zero.import_path import users_module

INSTRUCTION = "Please reason step by step, and put your final answer within \\boxed{}."

R1_PREAMBLE = (
    "A conversation between User and Assistant. The User asks a question, and the Assistant "
    "solves it. The Assistant first thinks about the reasoning process in the mind and then "
    "provides the User with the answer. The reasoning process is enclosed within <think> "
    "</think> and answer is enclosed within <answer> </answer> tags, respectively, i.e., "
    "<think> reasoning process here </think> <answer> answer here </answer>."
)

WORKED_EXAMPLES = (
    ("Calculate 5 + 8.", "5 + 8 = 13\nThe final answer is \\boxed{13}."),
    (
        "A baker fills 6 trays with 12 rolls each and sells 45 rolls. How many rolls are left?",
        "6 * 12 = 72\n72 - 45 = 27\nThe final answer is \\boxed{27}.",
    ),
    (
        "Calculate 17 - 30 + 4.",
        "17 - 30 = -13\n-13 + 4 = -9\nThe final answer is \\boxed{-9}.",
    ),
)


@dataclass(frozen=True)
class Template:
    """How a problem becomes a prompt, and how the response to it ends and is read.

    `render(problem_text, tokenizer)` returns the prompt as text; unless `needs_tokenizer`, it may
    be given None. The prompt is then tokenised with the tokenizer's own special tokens, so `render`
    must not write a beginning-of-sequence token that the tokenizer adds by itself. Sampling ends
    at the end-of-sequence token or after any of the strings in `stop`, which stay in the response:
    the policy is trained to write them. `extraction` is where the answer stands, by the names of
    grading/extraction.py: in the last `\\boxed{...}` (`boxed`), in `<answer>` tags, ...
    """

    name: str
    render: Callable[[str, Any], str]
    stop: tuple[str, ...] = ()
    extraction: str = "boxed"
    needs_tokenizer: bool = True


def render_qwen_math(problem_text: str, tokenizer: Any = None) -> str:
    """ChatML with the system sentence of Qwen2.5-Math (arXiv:2409.12122); any tokenizer."""
    return (
        f"<|im_start|>system\n{INSTRUCTION}<|im_end|>\n"
        f"<|im_start|>user\n{problem_text}<|im_end|>\n<|im_start|>assistant\n"
    )


def render_r1(problem_text: str, tokenizer: Any = None) -> str:
    """The prompt of DeepSeek-R1-Zero (arXiv:2501.12948, table 1), as Dr. GRPO writes it.

    The prompt ends in `<think>`: the response begins inside it.
    """
    return f"{R1_PREAMBLE}\nUser: {problem_text}\nAssistant: <think>"


def render_no(problem_text: str, tokenizer: Any = None) -> str:
    """The problem alone: what Dr. GRPO found best for Qwen2.5-Math base (arXiv:2503.20783)."""
    return problem_text


def render_few_shot(problem_text: str, tokenizer: Any = None) -> str:
    """Three worked examples, one step a line, each boxing its answer, for models that never box."""
    shots = "".join(
        f"Problem: {problem}\nSolution: {solution}\n\n" for problem, solution in WORKED_EXAMPLES
    )
    return f"{shots}Problem: {problem_text}\nSolution:"


def render_chat(problem_text: str, tokenizer: Any) -> str:
    """The tokenizer's own chat template, one user turn, up to where the assistant begins.

    The instruction to box the answer follows the problem in the user's turn, since some chat
    templates refuse a system turn. A beginning-of-sequence token that the tokenizer adds by itself
    is taken off the text, so that the prompt has one.

    Raises:
        ValueError: the tokenizer has no chat template.
    """
    if getattr(tokenizer, "chat_template", None) is None:
        raise ValueError(
            "--prompt_template chat needs a tokenizer with a chat template, and "
            f"{getattr(tokenizer, 'name_or_path', tokenizer)!r} has none; "
            "use qwen_math, r1, no or few_shot, or an instruction-tuned --pretrain"
        )
    messages = [{"role": "user", "content": f"{problem_text}\n\n{INSTRUCTION}"}]
    prompt = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    begin = tokenizer.bos_token
    if begin and tokenizer("").input_ids[:1] == [tokenizer.bos_token_id]:
        prompt = prompt.removeprefix(begin)
    return prompt


TEMPLATES = {
    template.name: template
    for template in (
        Template("qwen_math", render_qwen_math, needs_tokenizer=False),
        Template("r1", render_r1, ("</answer>",), "answer_tag", needs_tokenizer=False),
        Template("no", render_no, needs_tokenizer=False),
        Template("few_shot", render_few_shot, stop=("\nProblem:",), needs_tokenizer=False),
        Template("chat", render_chat),
    )
}
"""The built-in templates by name; the first three are the ancestor's, byte for byte."""


def load_template(name: str) -> Template:
    """The built-in template called `name`, or the user's own at the import path `module:NAME`.

    Raises:
        ValueError: no such template, module or attribute, or the attribute is not a `Template`.
    """
    if name in TEMPLATES:
        return TEMPLATES[name]
    if ":" in name:
        return _import_template(name)
    nearest = difflib.get_close_matches(name, TEMPLATES, n=1, cutoff=0.0)[0]
    raise ValueError(
        f"--prompt_template must be one of {', '.join(TEMPLATES)} or an import path module:NAME, "
        f"got {name!r}; the nearest is {nearest}"
    )


def _import_template(path: str) -> Template:
    module_name, _, attribute = path.partition(":")
    template = getattr(users_module("--prompt_template", path), attribute, None)
    if not isinstance(template, Template):
        raise ValueError(
            f"--prompt_template {path!r} must name a Template(name, render, stop, extraction) in "
            f"{module_name}, got {type(template).__name__}"
        )
    if template.extraction not in EXTRACTIONS:
        raise ValueError(
            f"--prompt_template {path}: extraction must be one of {', '.join(EXTRACTIONS)}, got "
            f"{template.extraction!r}"
        )
    return template

"""Step codecs by name."""

import difflib
from collections.abc import Callable
from typing import Any

from understand_r1_zero.grading.extraction import extraction_by_name
from understand_r1_zero.search.codecs.alphamath import XmlCodec
from understand_r1_zero.search.codecs.lines import LineCodec
from understand_r1_zero.search.codecs.math_shepherd import ShepherdCodec
from understand_r1_zero.search.codecs.numbered import NumberedCodec
from understand_r1_zero.search.codecs.react import ReactCodec
from understand_r1_zero.search.codecs.rstar import RstarCodec
from understand_r1_zero.search.codecs.self_explore import SelfExploreCodec
from understand_r1_zero.search.codecs.step import StepCodec
from understand_r1_zero.search.codecs.template_prompt import TemplatePrompt
from understand_r1_zero.templates import TEMPLATES, Template

CODECS: dict[str, Callable[[TemplatePrompt], StepCodec]] = {
    "xml": lambda _: XmlCodec(),
    "react": lambda _: ReactCodec(),
    "rstar": lambda _: RstarCodec(),
    "step_k": lambda template: NumberedCodec("step_k", "Step", template),
    "step_k_zh": lambda template: NumberedCodec("step_k_zh", "步骤", template),
    "lines": lambda template: LineCodec("lines", "\n", template),
    "paragraphs": lambda template: LineCodec("paragraphs", "\n\n", template),
    "self_explore": SelfExploreCodec,
    "math_shepherd": ShepherdCodec,
}
"""Those of `OWN_PROMPTS` have prompts of their own; the others ask by the template."""

OWN_PROMPTS = ("xml", "react", "rstar", "math_shepherd")

CODE_CODECS = ("xml", "react", "rstar")
"""Those whose steps may have code."""


def load_codec(
    name: str, template: Template | None = None, tokenizer: Any = None, extraction: str = ""
) -> StepCodec:
    """The codec called `name`, for policies that are asked by `template`.

    `tokenizer` is for templates that need one. Codecs of plain text find answers by `extraction`, a name of
    grading/extraction.py; by default the template's, and without a template the problem alone is the
    prompt and an answer may have any form.

    Raises:
        ValueError: no such codec or extraction.
    """
    if name not in CODECS:
        nearest = difflib.get_close_matches(name, CODECS, n=1, cutoff=0.0)[0]
        raise ValueError(
            f"--step_codec must be one of {', '.join(CODECS)}, got {name!r}; the nearest is {nearest}"
        )
    extract = extraction_by_name(extraction or (template.extraction if template else "any"))
    return CODECS[name](TemplatePrompt(template or TEMPLATES["no"], tokenizer, extract))

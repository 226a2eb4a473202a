"""Solutions with code, searched in one format and written in another: AlphaMath's first round, ReAct to XML.

A base model writes ReAct, which two worked examples show it; the policy that is trained on what it found writes XML, and
needs no examples.

Source: Chen et al. 2024, arXiv:2405.03553, section 3.4 and appendix; Super_MARIO's later rounds search in XML.
"""

import re
from collections.abc import Iterable
from dataclasses import replace

from understand_r1_zero.args_rounds import LabelArgs
from understand_r1_zero.labels.solutions import LeftOut, Solution
from understand_r1_zero.search.codecs.alphamath import XmlCodec
from understand_r1_zero.search.codecs.answers import FINAL_ANSWER
from understand_r1_zero.search.codecs.step import Fault, StepCodec
from understand_r1_zero.search.step import Step

_THOUGHT = re.compile(r"Thought:(.*?)(?:\nAction:|\nFinal Answer:|\Z)", re.DOTALL)
_XML = XmlCodec()


def written(
    solutions: Iterable[Solution], args: LabelArgs, codec: StepCodec, left_out: LeftOut
) -> tuple[list[Solution], StepCodec]:
    """The solutions as `--label_codec` writes them, and the codec that asks for such; without one, as they are.

    A wrong solution may end in something that is no step; it then goes as far as its steps do. A solution with a
    step that has neither code nor answer is left out: XML has no such steps.
    """
    if not args.label_codec:
        return list(solutions), codec
    found = list(solutions)
    kept = [new for each in found if (new := in_xml(each)) is not None]
    left_out[f"solutions that {args.label_codec} has no form for"] += len(found) - len(kept)
    return kept, _XML


def in_xml(solution: Solution) -> Solution | None:
    """A solution of ReAct in XML, None where a step has no such form."""
    steps = [_step(step) for step in solution.steps]
    if not solution.is_right and steps[-1] is None:
        steps.pop()
    if not steps or None in steps:
        return None
    kept = tuple(step for step in steps if step is not None)
    return replace(solution, steps=kept, nodes=solution.nodes[: len(kept)])


def _step(step: Step) -> Step | None:
    thought = _THOUGHT.search(step.text)
    if thought is None or (step.code is None and step.answer is None):
        return None
    prose = f"<step>\n<p>\n{thought[1].strip()}\n</p>\n"
    if step.answer is not None:
        return _parsed(f"{prose}<p>\n{FINAL_ANSWER} {step.answer}\n</p>\n</step>")
    said = _parsed(f"{prose}<code>\n```python\n{step.code}\n```\n</code>")
    if said is None or step.observation is None:
        return None
    return replace(_XML.observe(said, step.observation), has_failed=step.has_failed)


def _parsed(text: str) -> Step | None:
    step = _XML.parse(text)
    return None if isinstance(step, Fault) else step

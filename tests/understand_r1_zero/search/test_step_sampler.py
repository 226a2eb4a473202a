"""Samples of a policy become nodes, or are counted and lost alone."""

import asyncio
from dataclasses import replace

import pytest

from understand_r1_zero.search.codecs.fault_counts import FaultCounts
from understand_r1_zero.search.codecs.registry import CODECS, load_codec
from understand_r1_zero.search.step import Step
from understand_r1_zero.search.step_sampler import (
    CODE_ERRORS,
    Continuation,
    Reading,
    StepSampler,
    node_seed,
)
from understand_r1_zero.search.tree import ROOT, Node, SearchTree
from understand_r1_zero.templates import TEMPLATES

CODE = "<step>\n<p>\nAdd.\n</p>\n<code>\n```python\nprint(1+2)\n```\n</code>"
FINAL = "<step>\n<p>\nSo.\n</p>\n<p>\nFinal Answer: 3\n</p>\n</step>"


PROMPT = (90, 91)


def prompt(hint):
    return (*encode(hint), *PROMPT)


def encode(text):
    return [ord(character) for character in text]


def sampler(texts, observe=None, end_ids=(), **options):
    asked = []

    async def ask(token_ids, count, seed):
        asked.append((token_ids, count, seed))
        return [Continuation(text, (1, 2, 3), -1.5, 3, end_ids) for text in texts[:count]]

    warnings = []
    faults = FaultCounts("xml")
    reading = Reading(load_codec("xml"), encode, faults, warnings.append, **options)
    return StepSampler(prompt, reading, ask, 7, observe), asked, faults, warnings


def expand(sampler, tree, number=ROOT, count=5):
    return asyncio.run(sampler(tree, number, count))


def test_a_sample_that_is_no_step_costs_no_other():
    expander, asked, faults, _ = sampler([CODE, "nonsense", FINAL])
    nodes = expand(expander, SearchTree({}))
    assert [(node.step.code is not None, node.answer) for node in nodes] == [
        (True, None),
        (False, "3"),
    ]
    assert [(node.num_tokens, node.logprob) for node in nodes] == [(3, -1.5)] * 2
    assert (faults.num_steps, faults.faults.total()) == (2, 1)
    assert asked == [([*PROMPT], 5, node_seed(7, "0"))]


def test_a_fault_may_be_kept_as_an_end():
    expander, *_ = sampler(["nonsense", FINAL], keeps_faults=True)
    nodes = expand(expander, SearchTree({}))
    assert [node.terminal for node in nodes] == ["no step", ""]
    tree = SearchTree({})
    number = tree.add(ROOT, nodes[0])
    assert not tree.is_open(number)


def test_a_hint_is_shown_to_the_next_step_alone():
    expander, asked, *_ = sampler([CODE])
    tree = SearchTree({})
    tree.root.hint = "Add."
    (node,) = expand(expander, tree)
    expand(expander, tree, tree.add(ROOT, node))
    assert [ids[:4] == encode("Add.") for ids, _, _ in asked] == [True, False]


async def say_three(steps, step):
    return load_codec("xml").observe(step, "3", steps)


def test_the_policy_goes_on_after_its_own_tokens_and_what_its_code_printed():
    expander, asked, *_ = sampler([CODE], observe=say_three)
    tree = SearchTree({})
    (node,) = expand(expander, tree)
    number = tree.add(ROOT, node)
    expand(expander, tree, number)
    token_ids, _, seed = asked[1]
    said = "\n<output>\n3\n</output>\n</step>\n"
    assert token_ids == [*PROMPT, 1, 2, 3, *encode(said)]
    assert node.text == CODE + said and node.num_tokens == 3
    assert seed == node_seed(7, "0.0") != node_seed(8, "0.0")


def test_the_policys_own_end_ends_a_solution_and_stands_in_none():
    bare_code, bare_final = CODE.removesuffix("\n</code>"), FINAL.removesuffix("\n</step>")
    expander, *_ = sampler([bare_code, bare_final, "no"], end_ids=(9,), keeps_faults=True)
    code, final, fault = expand(expander, SearchTree({}))
    assert code.token_ids == (1, 2, 3, *encode("\n</code>")) and code.text == CODE
    assert final.token_ids == fault.token_ids == (1, 2, 3, 9)
    assert final.text == FINAL + "\n" and fault.terminal


def test_code_that_fails_too_often_in_a_row_ends_the_solution():
    outcomes = iter([True, False, True, True])

    async def fail(steps, step):
        return replace(await say_three(steps, step), has_failed=next(outcomes))

    expander, *_ = sampler([CODE], observe=fail, max_code_errors=2)
    tree = SearchTree({})
    number = ROOT
    ends = []
    for _ in range(4):
        (node,) = expand(expander, tree, number)
        ends.append(node.terminal)
        number = tree.add(number, node)
    assert ends == ["", "", "", CODE_ERRORS]


@pytest.mark.parametrize("name", sorted(CODECS))
def test_a_codecs_prompt_is_its_prompt_and_then_the_steps(name):
    codec = load_codec(name, TEMPLATES["qwen_math"])
    steps = [Step("first,\n"), Step(" and second")]
    assert codec.prompt("1 + 2", steps) == codec.prompt("1 + 2") + "first,\n and second"


def test_a_codec_that_never_matches_is_told_once():
    expander, _, faults, warnings = sampler(["nope"] * 5)
    for _ in range(12):
        expand(expander, SearchTree({}))
    assert faults.num_samples == 60
    assert len(warnings) == 1
    assert "none of the first 50 samples is a step" in warnings[0] and "no step (50)" in warnings[0]


@pytest.mark.parametrize("tag", ["0", "0.1", "0.10", "0.1.10"])
def test_a_nodes_seed_is_its_own(tag):
    others = {
        node_seed(7, other) for other in ("0", "0.1", "0.10", "0.1.10", "0.2") if other != tag
    }
    assert node_seed(7, tag) not in others
    assert 0 <= node_seed(7, tag) < 2**63


def test_merged_duplicates_keep_one_node():
    expander, *_ = sampler([FINAL, FINAL + "\n", CODE])
    tree = SearchTree({})
    numbers = [tree.add(ROOT, node) for node in expand(expander, tree)]
    assert numbers == [1, 1, 2]
    assert tree.nodes[1].count == 2
    assert isinstance(tree.nodes[1], Node) and isinstance(tree.nodes[1].step, Step)

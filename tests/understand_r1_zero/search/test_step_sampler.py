"""Samples of a policy become nodes, or are counted and lost alone."""

import asyncio

import pytest

from understand_r1_zero.search.codecs.fault_counts import FaultCounts
from understand_r1_zero.search.codecs.registry import load_codec
from understand_r1_zero.search.step import Step
from understand_r1_zero.search.step_sampler import Continuation, StepSampler, node_seed
from understand_r1_zero.search.tree import ROOT, Node, SearchTree

CODE = "<step>\n<p>\nAdd.\n</p>\n<code>\n```python\nprint(1+2)\n```\n</code>"
FINAL = "<step>\n<p>\nSo.\n</p>\n<p>\nFinal Answer: 3\n</p>\n</step>"


def sampler(texts, **options):
    asked = []

    async def ask(prompt, count, seed):
        asked.append((prompt, count, seed))
        return [Continuation(text, (1, 2, 3), -1.5) for text in texts[:count]]

    warnings = []
    faults = FaultCounts("xml")
    options = {"faults": faults, "warn": warnings.append} | options
    return StepSampler("1 + 2", load_codec("xml"), ask, 7, **options), asked, faults, warnings


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
    assert asked == [("<question> 1 + 2 </question>\n", 5, node_seed(7, "0"))]


def test_a_fault_may_be_kept_as_an_end():
    expander, *_ = sampler(["nonsense", FINAL], keeps_faults=True)
    nodes = expand(expander, SearchTree({}))
    assert [node.terminal for node in nodes] == ["no step", ""]
    tree = SearchTree({})
    number = tree.add(ROOT, nodes[0])
    assert not tree.is_open(number)


def test_code_is_run_below_its_node_and_the_prompt_goes_on_with_what_it_said():
    seen = []

    async def observe(tree, number, step):
        seen.append((number, step.code))
        return load_codec("xml").observe(step, "3")

    expander, asked, *_ = sampler([CODE], observe=observe)
    tree = SearchTree({})
    (node,) = expand(expander, tree)
    number = tree.add(ROOT, node)
    assert [(parent, code.strip()) for parent, code in seen] == [(ROOT, "print(1+2)")]
    expand(expander, tree, number)
    prompt, _, seed = asked[1]
    assert "<output>\n3\n</output>\n</step>\n" in prompt
    assert seed == node_seed(7, "0.0") != node_seed(8, "0.0")


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

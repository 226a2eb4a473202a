"""Self-Explore's files, in rows as its programs write them."""

from collections import Counter

import pytest

from understand_r1_zero.args_rounds import LabelArgs
from understand_r1_zero.labels.explored import completions, first_pit, given_chain
from understand_r1_zero.labels.first_pit import rows
from understand_r1_zero.labels.formats.self_explore import (
    read_explored,
    read_generated,
    read_pair,
    write_explored,
    write_generated,
    write_pair,
)
from understand_r1_zero.labels.sources import ProblemGroup
from understand_r1_zero.search.records import from_record, to_record

QUESTION = "Ann has 3 apples and buys 4. How many has she?"
STEPS = ["She buys 4.\n", "3+4=<<3+4=8>>8\n", "The answer is 8\n"]
PROMPTS = [f"{QUESTION}\n{''.join(STEPS[:k])}" for k in (1, 2, 3)]
EXPLORED = {
    "prompt": f"{QUESTION}\n",
    "chosen": "3+4=<<3+4=7>>7\nThe answer is 7",
    "rejected": "She buys 4.\n3+4=<<3+4=8>>8\nThe answer is 8",
    "merged_steps": STEPS,
    "final_steps": PROMPTS,
    "all_prompt": PROMPTS,
    "completed": True,
    "num_steps": 3,
    "sample_idx": 0,
    "answer": "7",
    "step_pred": {
        "1": {
            "prompt": PROMPTS[0],
            "preds": ["So 3+4=7\nThe answer is 7", "I do not know", "3+4=7\nThe answer is 7"],
            "answers": ["7", "[invalid]", "7"],
        },
        "2": {
            "prompt": PROMPTS[1],
            "preds": ["The answer is 8", "hm", "The answer is 9"],
            "answers": ["8", "[Invalid]", "9"],
        },
    },
}
GENERATED = {
    "prompt": QUESTION,
    "preds": ["3+4=<<3+4=7>>7\nThe answer is 7", "The answer is 8"],
    "answer": "She has 3+4=<<3+4=7>>7 apples.\n#### 7",
}


def test_responses_are_written_as_they_were_read():
    group = read_generated(GENERATED)
    assert write_generated(group) == GENERATED
    assert (group.question, group.golds) == (QUESTION, (GENERATED["answer"],))
    assert [(r.text, r.is_right) for r in group.responses] == [
        (text, None) for text in GENERATED["preds"]
    ]
    several = GENERATED | {"answer": ["7", "seven"]}
    assert write_generated(read_generated(several)) == several


@pytest.mark.parametrize("is_at_pit", [False, True])
def test_pairs_are_written_as_they_were_read(is_at_pit):
    row = {"prompt": f"{QUESTION}\n", "chosen": "The answer is 7", "rejected": "3+4=8"}
    found = read_pair(row, is_at_pit=is_at_pit)
    assert found == row | {"chosen_is_whole": True, "rejected_is_whole": not is_at_pit}
    assert write_pair(found) == row


def test_an_explored_row_is_written_as_it_was_read():
    tree = read_explored(EXPLORED)
    assert write_explored(tree) == EXPLORED
    assert write_explored(from_record(to_record(tree))) == EXPLORED
    chain = given_chain(tree)
    assert [tree.nodes[n].text for n in chain] == STEPS
    assert tree.nodes[chain[0]].labels == {"num_right": 2, "num_completions": 3}
    assert [tree.nodes[n].answer for n in completions(tree, chain[0])] == ["7", None, "7"]
    assert [tree.nodes[n].reward for n in completions(tree, chain[0])] == [1, -1, 1]
    assert first_pit(tree) == 1


def test_answers_may_be_compared_otherwise():
    tree = read_explored(EXPLORED, lambda answer, gold: answer in ("7", "9"))
    # What follows the last step that was asked for is not known.
    assert first_pit(tree) is None


def test_an_explored_row_gives_the_pair_that_the_original_makes_of_it(codec):
    group = ProblemGroup(QUESTION + "\n", ("7",), (read_explored(EXPLORED),))
    [row] = rows([group], LabelArgs(), codec, Counter())
    assert write_pair(row) == {
        "prompt": PROMPTS[0],
        "rejected": "3+4=<<3+4=8>>8\n",
        "chosen": "3+4=7\nThe answer is 7",
    }


def test_a_tree_of_ours_is_written_with_what_the_original_reads(explored):
    right, wrong = ("3+4=7\nso 7", 1.0), ("so 9", -1.0)
    tree = explored(
        ["1+2=3\n", "3+4=8\n", "so 8"],
        [[right, wrong], [wrong], [wrong]],
        prompt="Question: 1+2+4? Answer:",
        chosen="it is 7",
        rejected="1+2=3\n3+4=8\nso 8",
    )
    row = write_explored(tree)
    prompts = ["1+2+4?\n1+2=3\n", "1+2+4?\n1+2=3\n3+4=8\n", "1+2+4?\n1+2=3\n3+4=8\nso 8"]
    assert row == {
        "prompt": "1+2+4?\n",
        "chosen": "it is 7",
        "rejected": "1+2=3\n3+4=8\nso 8",
        "merged_steps": ["1+2=3\n", "3+4=8\n", "so 8"],
        "final_steps": prompts,
        "num_steps": 3,
        "answer": "7",
        "step_pred": {
            "1": {
                "prompt": prompts[0],
                "preds": ["3+4=7\nso 7", "so 9"],
                "answers": ["7", "9"],
            },
            # The pit; what was drawn after it is left out, as the original has not drawn it.
            "2": {"prompt": prompts[1], "preds": ["so 9"], "answers": ["9"]},
        },
    }
    assert write_explored(read_explored(row)) == row

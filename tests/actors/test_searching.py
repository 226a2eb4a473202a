"""Searches and oracles of steps on the tiny world: a real policy, real models of values, a real server."""

import asyncio
import json
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    AutoModelForTokenClassification,
    AutoTokenizer,
)

from actors.searching import Searcher
from actors.start_engine import start_engine
from actors.start_search import start_search
from examples.tiny.step_samples import search_problems
from oracles.prm import ClassifierPrm
from oracles.self_critic import CRITIC_PROMPT, read_score
from understand_r1_zero import cli
from understand_r1_zero.evaluate import evaluation_sampling
from understand_r1_zero.grading.conventions import conventions_of
from understand_r1_zero.grading.grader import Grader
from understand_r1_zero.search.codecs.math_shepherd import TAG, tagged
from understand_r1_zero.search.records import chosen_of, facts_of, from_record
from understand_r1_zero.search.settings import settings_of
from understand_r1_zero.search.step import Step
from understand_r1_zero.search.step_sampler import node_seed
from understand_r1_zero.search.tree import ROOT
from understand_r1_zero.templates import render_qwen_math
from understand_r1_zero.tokenizer import load_tokenizer
from understand_r1_zero.types import Problem, Status

pytestmark = [pytest.mark.engine, pytest.mark.slow, pytest.mark.xdist_group("searching")]

STEPPER, VALUE = "examples/tiny/stepper", "examples/tiny/value"
END = "<|im_end|>"


class World:
    """The policy's engine, on which searches by any flags can be started."""

    def __init__(self):
        self.runner = asyncio.Runner()
        self.threads = ThreadPoolExecutor(8)
        args = _args("--method mcts")
        self.tokenizer = load_tokenizer(args.model)
        self.engine = self.run(_made(lambda: start_engine(args, 0, 1)))
        self.problems = search_problems()
        self._grader = Grader(conventions_of(args.grading), 1, 3.0)

    def run(self, coroutine):
        return self.runner.run(coroutine)

    def grade(self, problem, answer):
        """The status that the grader gives an answer."""
        return self._grader.grade(answer, problem.answers).result().status

    @contextmanager
    def search(self, flags):
        args = _args(flags)
        running = self.run(start_search(args, self.engine, self.tokenizer, 1, self.threads))
        try:
            yield Search(self, args, running)
        finally:
            self.run(running.close())

    def close(self):
        self._grader.close()
        self.run(self.engine.close())
        self.threads.shutdown()
        self.runner.close()


class Search:
    """Searches by some flags."""

    def __init__(self, world, args, running):
        self.running = running
        self.scale = running.valuer.scale
        self.oracle = running.searcher._oracle
        self._world = world
        self._sampling = evaluation_sampling(args)

    def with_method(self, method, oracle=None):
        """The same models, searched by another method, and valued by another oracle."""
        args, old = _args(f"--method {method}"), self.running.searcher
        searcher = Searcher(
            old._policy,
            old._writer,
            settings_of(args.search),
            old._grader,
            old._valuer,
            oracle or old._oracle,
            [],
        )
        return Search(self._world, args, replace(self.running, searcher=searcher))

    def groups(self, count, seed=5):
        sampling = replace(self._sampling, seed=seed)

        async def search():
            searcher = self.running.searcher
            await self._world.engine.reset_prefix_cache()
            return await asyncio.gather(
                *(
                    searcher.search(place, problem, sampling)
                    for place, problem in enumerate(self._world.problems[:count])
                )
            )

        return self._world.run(search())

    def trees(self, count, seed=5):
        return [from_record(group.tree) for group in self.groups(count, seed)]

    def values(self, problem, texts, answer=None):
        """What the oracle says of each step of a solution."""
        steps = [Step(text) for text in texts]
        if answer is not None:
            steps[-1] = replace(steps[-1], answer=answer)
        return self._world.run(self.oracle.score(problem, steps, 0, 3)).values


@pytest.fixture(scope="module")
def world():
    world = World()
    yield world
    world.close()


def _args(flags):
    return cli.parse(["--pretrain", STEPPER, "--grader_workers", "1", *flags.split()])


async def _made(make):
    return make()


def drawn(tree):
    """What was sampled into a tree, and where."""
    nodes = enumerate(tree.nodes)
    return [
        (tree.tag(n), node.text, node.token_ids, node.count, node.terminal) for n, node in nodes
    ]


def values_of(tree):
    return np.array([np.nan if node.value is None else node.value for node in tree.nodes])


def valued(tree):
    """The nodes with a value that an oracle was asked for."""
    return [
        number
        for number, node in enumerate(tree.nodes)
        if number != ROOT and node.value is not None and node.terminal in ("", "answer")
    ]


@pytest.fixture(scope="module")
def by_values(world):
    with world.search(f"--method mcts --oracle value --value_model {VALUE}") as search:
        yield search


@pytest.mark.parametrize("method", ["mcts --simulations 12", "sbs --width 2 --num_children 4"])
def test_trees_by_values_are_exact_and_follow_from_the_seed(world, by_values, method):
    search = by_values.with_method(method)
    num_before = search.running.policy.num_tokens
    groups = search.groups(20)
    num_sampled = search.running.policy.num_tokens - num_before
    trees = [from_record(group.tree) for group in groups]
    again, other = search.trees(20), search.trees(20, seed=6)
    assert [drawn(tree) for tree in trees] == [drawn(tree) for tree in again]
    assert [drawn(tree) for tree in trees] != [drawn(tree) for tree in other]
    for tree, same in zip(trees, again, strict=True):
        np.testing.assert_allclose(values_of(tree), values_of(same), atol=1e-4)
        assert all(-1 <= node.value <= 1 for node in tree.nodes if node.value is not None)
        assert all(abs(node.mean()) <= 1 for node in tree.nodes)
    assert sum(facts_of(tree)["tokens"] for tree in trees) == num_sampled
    counts = [node.count for tree in trees for node in tree.nodes]
    assert max(counts) > 1
    for tree in trees:
        per_child = [sum(tree.nodes[c].count for c in node.children) for node in tree.nodes]
        asked = {0, 5} if "mcts" in method else {0, 4, 8}
        assert set(per_child) <= asked, "every sample is a node, or counts in its equal sibling"
    for place, (group, tree) in enumerate(zip(groups, trees, strict=True)):
        check_tokens(world, group, tree)
        check_verdict(world, group, tree)
        facts = facts_of(tree)
        assert facts.keys() >= {"method", "reason", "simulations", "tokens", "seconds", "status"}
        assert facts["method"] == method.split()[0] and facts["seed"] == node_seed(5, str(place))
        assert facts["reason"] in ("simulations", "exhausted") and facts["simulations"] <= 12
    assert np.mean([group.rewards[0] for group in groups]) > 0.7


def check_tokens(world, group, tree):
    """Every node has the tokens of its text, and so has the solution that was chosen."""
    decode, end_id = world.tokenizer.decode, world.tokenizer.convert_tokens_to_ids(END)
    assert decode(group.prompt_token_ids) == group.prompt
    for number, node in enumerate(tree.nodes[1:], start=1):
        if node.token_ids[-1] == end_id:
            # The line end that the codec puts behind the policy's own end is none of its tokens.
            assert node.terminal and decode(node.token_ids) == node.text.rstrip("\n") + END
        else:
            assert decode(node.token_ids) == node.text, tree.tag(number)
        assert end_id not in node.token_ids[:-1]
    chosen = chosen_of(tree)
    [response] = group.responses
    if chosen is None:
        assert response.text == "" and not len(response.token_ids)
        return
    assert response.text == tree.text(chosen)
    solution = decode(response.token_ids)
    assert solution.removesuffix(END).rstrip("\n") == response.text.rstrip("\n")


def check_verdict(world, group, tree):
    """The verdict on the chosen answer, and the rewards of all answers, are the grader's."""
    [response] = group.responses
    chosen = chosen_of(tree)
    answer = None if chosen is None else tree.nodes[chosen].answer
    expected = world.grade(group.problem, answer)
    assert (expected == Status.UNPARSABLE) == (answer is None)
    assert response.verdict.answer == answer and response.verdict.status == expected
    assert facts_of(tree)["status"] == expected
    assert response.verdict.reward == (expected == Status.CORRECT)
    for number in tree.finals():
        is_right = world.grade(group.problem, tree.nodes[number].answer) == Status.CORRECT
        assert tree.nodes[number].reward == (1 if is_right else -1)


FEW = {
    "best_of_n": "--search_samples 4",
    "maj": "--search_samples 4",
    "rest_mcts": "--simulations 6 --reflection none",
    "rest_mcts simple": "--simulations 6 --reflection simple",
    "rest_mcts full": "--simulations 6 --reflection full",
    "rstar": "--num_children 4 --simulations 3",
    "tot_bfs": "",
    "tot_dfs": "--simulations 12",
    "greedy": "",
    "cot": "",
    "lookahead": "--width 2 --num_children 2 --lookahead_steps 2",
    "mcts": "--simulations 20 --num_parallel 2 --graded_ends",
}


@pytest.mark.parametrize("codec", ["lines", "step_k --prompt_template no"])
@pytest.mark.parametrize("method", FEW)
def test_every_method_comes_to_a_verdict(world, method, codec):
    with world.search(f"--method {method.split()[0]} {FEW[method]} --step_codec {codec}") as search:
        groups = search.groups(4)
    trees = [from_record(group.tree) for group in groups]
    for group, tree in zip(groups, trees, strict=True):
        check_tokens(world, group, tree)
        check_verdict(world, group, tree)
        low, high = search.scale.low, search.scale.high
        assert all(low <= node.value <= high for node in tree.nodes if node.value is not None)
    # What a hint asks for is nothing that the tiny policy has learned.
    assert "full" in method or sum(group.rewards[0] for group in groups) >= 1


def accuracy_and_tokens(search):
    """Of all 200 held-out problems, as `python -m bench.search_methods` searches them."""
    trees = search.trees(200, seed=42)
    facts = [facts_of(tree) for tree in trees]
    is_right = [each["status"] == Status.CORRECT for each in facts]
    return np.mean(is_right), sum(each["tokens"] for each in facts)


def test_searches_by_values_beat_greedy_decoding_and_the_vote_that_costs_as_much(world, by_values):
    with world.search("--method greedy") as search:
        greedy, _ = accuracy_and_tokens(search)
    with world.search("--method maj --search_samples 10") as search:
        vote, vote_tokens = accuracy_and_tokens(search)
    for method in ("mcts", "sbs --width 1 --num_children 5"):
        accuracy, tokens = accuracy_and_tokens(by_values.with_method(method))
        assert accuracy >= max(greedy, vote) + 0.1, (method, accuracy, greedy, vote)
        assert tokens <= vote_tokens, method


@pytest.fixture(scope="module")
def prefixes():
    """Problems, each with a first and a second step that are right, and a second one that is wrong."""
    found = []
    for row, (a, b, c, d) in enumerate(
        [(4, 7, 1, 8), (9, 2, 5, 3), (6, 8, 7, 2), (3, 5, 4, 6), (8, 1, 2, 9), (7, 6, 3, 1)]
    ):
        gold = a + b - c + d
        text = (
            f"State the final answer to the following arithmetic problem: {a} + {b} - {c} + {d} ="
        )
        problem = Problem("sums", row, text, (str(gold),))
        right = [f"{a}+{b}={a + b}\n", f"{a + b}-{c}={a + b - c}\n"]
        wrong = [right[0], f"{a + b}-{c}={a + b - c + 1}\n"]
        found.append((problem, right, wrong))
    return found


def scored(search, prefixes):
    """The values of the right steps (problems, 2) and of those of which the second is wrong."""
    right = [search.values(problem, steps) for problem, steps, _ in prefixes]
    wrong = [search.values(problem, steps) for problem, _, steps in prefixes]
    return np.array(right), np.array(wrong)


MONTE_CARLO = "--method mcts --oracle monte_carlo --mc_completions 16"


def test_more_completions_of_right_steps_come_to_the_answer(world, prefixes):
    with world.search(f"{MONTE_CARLO} --mc_mode soft") as search:
        right, wrong = scored(search, prefixes)
        assert search.values(prefixes[0][0], ["So 5.\n"], answer="5") == (0.0,)
    assert set(np.unique(np.concatenate([right, wrong]) * 16) % 1) == {0}
    np.testing.assert_array_equal(right[:, 0], wrong[:, 0])
    assert right.mean() > 0.6 and wrong[:, 1].mean() < 0.15
    assert (right[:, 1] > wrong[:, 1]).all()


@pytest.mark.parametrize("mode", ["hard", "linear", "binary"])
def test_a_wrong_step_is_found_by_its_completions(world, prefixes, mode):
    with world.search(f"{MONTE_CARLO} --mc_mode {mode}") as search:
        right, wrong = scored(search, prefixes)
    assert (right == 1).all() and (wrong[:, 0] == 1).all()
    assert wrong[:, 1].mean() <= 1 / 3


def test_searches_are_valued_by_completions_and_tell_their_tokens(world):
    flags = "--method sbs --width 1 --num_children 2 --oracle monte_carlo --mc_completions 2"
    with world.search(flags) as search:
        num_before = search.running.policy.num_tokens
        trees = search.trees(4)
        num_sampled = search.running.policy.num_tokens - num_before
        num_told = search.running.statistics()["oracle_tokens"]
    assert 0 < num_told == num_sampled - sum(facts_of(tree)["tokens"] for tree in trees)
    shares = {tree.nodes[n].value for tree in trees for n in valued(tree)}
    assert shares <= {-1.0, 0.0, 1.0} and len(shares) > 1


def test_searches_below_right_steps_come_to_more(world, prefixes):
    with world.search("--method mcts --oracle tree --tree_simulations 16") as search:
        right, wrong = scored(search, prefixes)
    with world.search("--method mcts --oracle tree --tree_simulations 16 --depth 3") as search:
        shallow, _ = scored(search, prefixes)
    assert (right[:, 1] > wrong[:, 1]).all() and right[:, 1].mean() > 0
    assert (shallow <= 0).all(), "no search goes deeper than the one that asks"


def test_the_critic_is_the_policy_and_its_nonsense_is_the_middle(world, prefixes):
    problem, steps, _ = prefixes[0]
    with world.search("--method mcts --oracle self_critic --simulations 4") as search:
        found = search.values(problem, steps)
        trees = search.trees(2)
        for end, value in enumerate(found, start=1):
            asked = CRITIC_PROMPT.format(
                problem=problem.text, solution="".join(steps[:end]).strip()
            )
            said = world.run(search.running.policy.write(asked, 1, node_seed(3, str(end))))
            score = read_score(said[0])
            assert value == (0.5 if score is None else score)
    assert all(-1 <= tree.nodes[n].value <= 1 for tree in trees for n in valued(tree))


def probability(outputs):
    """That a step is good, by the bare outputs of a classifier with one label or two."""
    return 1 / (1 + np.exp(-(outputs[-1] - (outputs[0] if len(outputs) == 2 else 0))))


def check_read(world, directory, trees):
    """All values are those of transformers at the last token of each step."""
    model = AutoModelForTokenClassification.from_pretrained(directory, dtype=torch.float32).eval()
    for problem, tree in zip(world.problems, trees, strict=False):
        for number in valued(tree):
            text = render_qwen_math(problem.text) + tree.text(number)
            ids = torch.tensor([world.tokenizer(text).input_ids])
            with torch.no_grad():
                good = probability(model(ids).logits[0, -1].double().numpy())
            assert tree.nodes[number].value == pytest.approx(2 * good - 1, abs=1e-4)


def test_a_model_of_one_label_is_read_at_the_end_of_each_step(world, by_values):
    check_read(world, VALUE, by_values.trees(3))
    prm = ClassifierPrm(world.tokenizer, render_qwen_math, by_values.oracle._read)
    search = by_values.with_method("sbs --width 1 --num_children 2", prm)
    check_read(world, VALUE, search.trees(3))


def test_a_model_of_two_labels_is_read_at_the_end_of_each_step(world, tmp_path):
    torch.manual_seed(0)
    model = AutoModelForTokenClassification.from_pretrained(STEPPER, num_labels=2)
    torch.nn.init.normal_(model.score.weight, std=0.5)
    model.save_pretrained(tmp_path)
    world.tokenizer.save_pretrained(tmp_path)
    flags = "--method sbs --width 1 --num_children 2 --oracle prm"
    with world.search(f"{flags} --value_model {tmp_path}") as search:
        check_read(world, tmp_path, search.trees(3))


def test_a_model_that_writes_labels_is_asked_for_the_next_token(world, prefixes, tmp_path):
    tokenizer = AutoTokenizer.from_pretrained(STEPPER)
    tokenizer.add_tokens([TAG])
    model = AutoModelForCausalLM.from_pretrained(STEPPER, dtype=torch.float32).eval()
    model.resize_token_embeddings(len(tokenizer))
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    labels = [tokenizer(sign, add_special_tokens=False).input_ids[0] for sign in "+-"]
    flags = f"--method mcts --oracle prm --prm_kind generative --value_model {tmp_path}"
    with world.search(flags) as search:
        for problem, steps, _ in prefixes[:3]:
            found = search.values(problem, steps)
            for end, value in enumerate(found, start=1):
                ids = torch.tensor([tokenizer(tagged(problem.text, steps[:end])).input_ids])
                with torch.no_grad():
                    good, bad = model(ids).logits[0, -1, labels].double().exp()
                assert value == pytest.approx(float(good / (good + bad)), abs=1e-4)


class Handler(BaseHTTPRequestHandler):
    """Values a solution by a tenth for each of its steps."""

    def do_POST(self):
        batch = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.num_asked += len(batch)
        values = [[(end + 1) / 10 for end in range(len(b["steps"]))][b["first"] :] for b in batch]
        body = json.dumps({"values": values}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture
def server():
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        server.num_asked = 0
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_a_server_values_steps_alone_and_beside_the_grader(world, server):
    flags = f"--method mcts --simulations 6 --remote_url http://127.0.0.1:{server.server_port}/"
    with world.search(f"{flags} --oracle remote") as search:
        trees = search.trees(4)
    assert server.num_asked == sum(len(valued(tree)) for tree in trees) > 0
    for tree in trees:
        for number in valued(tree):
            depth = tree.nodes[number].depth
            assert tree.nodes[number].value == pytest.approx(2 * depth / 10 - 1)
    with world.search(f"{flags} --oracle remote=1,math=3") as search:
        trees = search.trees(4)
    for problem, tree in zip(world.problems, trees, strict=False):
        for number in valued(tree):
            node = tree.nodes[number]
            is_right = world.grade(problem, node.answer) == Status.CORRECT
            grade = 0 if node.answer is None else 1 if is_right else -1
            assert node.value == pytest.approx((2 * node.depth / 10 - 1 + 3 * grade) / 4)


def test_steps_with_code_have_the_tokens_of_what_it_printed(world):
    with world.search("--method mcts --simulations 6 --step_codec xml") as search:
        groups = search.groups(4)
    trees = [from_record(group.tree) for group in groups]
    codes = [node.step for tree in trees for node in tree.nodes if node.step.code is not None]
    assert len(codes) > 8
    for step in codes:
        assert step.observation == str(eval(step.code.removeprefix("print")))
    for group, tree in zip(groups, trees, strict=True):
        check_tokens(world, group, tree)
        check_verdict(world, group, tree)

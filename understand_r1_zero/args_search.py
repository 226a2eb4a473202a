"""Flags of solutions in steps: how they are written, what values them; see args.py."""

from dataclasses import dataclass
from typing import Literal

Method = Literal[
    "sample",
    "greedy",
    "cot",
    "best_of_n",
    "maj",
    "sbs",
    "lookahead",
    "tot_bfs",
    "tot_dfs",
    "mcts",
    "rest_mcts",
    "rstar",
]


@dataclass(frozen=True)
class StepArgs:
    """Steps of searched solutions, and the code in them (actors/searching.py)."""

    step_codec: str = "lines"
    """How the policy writes steps: xml, react, rstar, step_k, step_k_zh, lines, paragraphs, self_explore or math_shepherd."""
    step_max_tokens: int = 0
    """Longest step in tokens; 0: as long as a response may be."""
    step_temperature: float = 1.0
    """Sampling temperature of steps; the method greedy has 0."""
    step_top_p: float = 1.0
    """Nucleus mass of steps."""
    keep_faults: bool = True
    """A sample that is no step ends a solution, with the lowest value; otherwise it is left out."""
    max_code_errors: int = 4
    """So many steps in a row whose code fails end a solution."""
    code_wall_s: float = 15.0
    """Seconds the code of one step may take."""
    code_memory_mb: int = 512
    """Megabytes the code of one solution may use."""
    unsafe_interpreter: bool = False
    """Run model-written code without a sandbox where none works; it can do what you can."""


@dataclass(frozen=True)
class StepOracleArgs:
    """What values the steps of a search (oracles/load_steps.py)."""

    search_oracle: str = ""
    """As --oracle, for searches alone: math, value, prm, monte_carlo, tree, self_critic or remote, several as NAME=WEIGHT,NAME=WEIGHT; empty: --oracle."""
    graded_ends: bool = False
    """Value final answers by the gold answer, as searches for training data do; otherwise by the oracle, as everything else."""
    value_model: str = ""
    """Directory of the value model (--oracle value) or of the process reward model (prm): a token classifier, or with --prm_kind generative a language model; tree values by it too."""
    value_gpu_ratio: float = 0.2
    """Share of a GPU's memory that the value model's engine may take."""
    prm_kind: Literal["classifier", "generative"] = "classifier"
    """A process reward model that is read at step ends, or one that writes a label there; the generative one is --value_model, or without it --pretrain."""
    prm_tag: str = ""
    """Token that is put after each step for a classifier to be read at; empty: it is read at the step's last token."""
    mc_mode: Literal["hard", "soft", "linear", "binary"] = "soft"
    """monte_carlo: whether any completion is right, how many are, or the first step after which none is, sought step by step or by halves."""
    mc_completions: int = 8
    """Completions of a step, at most."""
    mc_round: int = 4
    """Completions sampled at once before it is asked whether more are needed."""
    mc_threshold: float = 0.0
    """Soft estimates: stop once it is settled on which side of this they come to lie; 0: sample all."""
    tree_simulations: int = 16
    """tree: simulations of the search from each step."""
    critic_samples: int = 1
    """self_critic: scores that are asked for and averaged."""
    remote_url: str = ""
    """remote: address that takes and returns JSON."""
    remote_batch_size: int = 32
    """remote: solutions in one request, at most."""
    remote_timeout_s: float = 60.0
    """remote: seconds one request may take."""
    remote_sends_answers: bool = False
    """remote: the gold answers are sent too."""


@dataclass(frozen=True)
class SearchArgs:
    """How a problem is searched (actors/searching.py); what is not given is the method's own (search/settings.py)."""

    method: Method = "sample"
    """How evaluation solves a problem: --eval_n samples, or a search; the command search has mcts instead of sample."""
    width: int | None = None
    """Partial solutions kept a level (B1 of step-level beams), or children followed below a node (tot_dfs)."""
    num_children: int | None = None
    """Steps sampled below a node (B2)."""
    search_samples: int | None = None
    """Whole solutions of best_of_n and maj."""
    simulations: int | None = None
    """Simulations of a tree search; levels of a beam."""
    depth: int | None = None
    """Longest solution in steps."""
    search_tokens: int | None = None
    """Tokens sampled for one problem, at most; unlimited if not given."""
    search_time_s: float | None = None
    """Seconds for one problem, at most; unlimited if not given."""
    score: Literal["puct", "uct", "rest_ucb"] | None = None
    """What selects a child in a tree search."""
    c_puct: float | None = None
    """How much selection explores, whatever --score."""
    normalise_priors: bool = False
    """puct: the priors of siblings add up to 1."""
    backup: Literal["mean", "visit_weighted", "terminal_only", "none"] | None = None
    """What a new value changes above its node."""
    end_gate: float | None = None
    """A new node of this value ends the search."""
    gate_needs_answer: bool = False
    """Only a node with an answer can pass --end_gate: for values that are chances of success, and not progress."""
    threshold: float | None = None
    """tot_dfs turns back at values below this."""
    alpha: float | None = None
    """Share of what was rolled out in a node's value."""
    roll_kind: Literal["none", "greedy", "random", "to_the_end"] | None = None
    """How the best new child is rolled forward."""
    roll_forward_steps: int | None = None
    """How far greedy and random rollouts go, in steps."""
    roll_branch: int | None = None
    """Samples a step rolled forward, or looked ahead."""
    reflection: Literal["none", "simple", "full"] | None = None
    """Ask the policy whether a partial solution is solved, and with full for a hint otherwise."""
    lookahead_steps: int | None = None
    """lookahead: steps a candidate is rolled forward before it is valued."""
    num_parallel: int | None = None
    """Simulations of one tree at once, kept apart by virtual losses."""
    vote: Literal["best", "majority", "weighted"] | None = None
    """Which final answer is given."""
    aggregate: Literal["last", "min", "product", "sum", "mean"] | None = None
    """What the values of its steps make of a solution."""
    best_by: Literal["score", "highest", "q_value", "value", "visit_count"] | None = None
    """What the vote best goes by: solutions, the highest node of the tree, or a beam of --width down the finished tree."""


@dataclass(frozen=True)
class SearchFileArgs:
    """Files of the commands search, collect, label and verify (actors/search_command.py, ...)."""

    qaf: str = ""
    """Questions to search: a file as --eval_data takes, with question and answer, content and answer (ReST-MCTS*), or --eval_input_key and --eval_output_key."""
    output: str = ""
    """Trees, a JSON line each (Super_MARIO's format); a file that is there is continued. label, verify: where labels, or the comparison as JSON, go anew."""
    from_trees: str = ""
    """Infer again from this file of trees, without a model; --from is another name of this flag."""
    view: str = ""
    """File of trees one of which (--index) is drawn as an HTML file beside it."""
    index: int = 0
    """Which tree of --view, counted from 0."""
    plot: str = ""
    """File of trees whose Q and V are plotted over the steps, as a PNG beside it."""

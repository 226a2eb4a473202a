"""Every flag, in one dataclass per owner. The defaults are the CPU demo: the bundled tiny model on sums.

Only the module named in a class's docstring reads its fields. Names and meanings that the Oat
scripts published are kept, so their command lines run here. No torch here: `--help` must be fast.
"""

from dataclasses import dataclass, field
from typing import Literal

from understand_r1_zero.args_critic import CriticArgs
from understand_r1_zero.args_lora import LoraArgs
from understand_r1_zero.args_policy import PolicyArgs
from understand_r1_zero.args_preference import PreferenceArgs
from understand_r1_zero.args_rounds import CollectArgs, LabelArgs, VerifyArgs
from understand_r1_zero.args_search import SearchArgs, SearchFileArgs, StepArgs, StepOracleArgs
from understand_r1_zero.args_step_rewards import StepRewardArgs
from understand_r1_zero.args_supervised import SupervisedArgs, ValueArgs

Dtype = Literal["float32", "bfloat16", "float16"]

TINY_MODEL = "examples/tiny/model"
"""The bundled model, relative to the repository."""
DEMO_PROMPT_DATA = (
    "reasoning_gym:chain_sum?min_terms=3&max_terms=4&min_digits=1&max_digits=1&size=4500"
)
"""Sums of three or four digits: what the demo trains on."""
DEMO_EVAL_DATA = ",".join(
    f"sum_{terms}=reasoning_gym:chain_sum?min_terms={terms}&max_terms={terms}"
    "&min_digits=1&max_digits=1&size=200"
    for terms in (3, 4)
)
"""Its benchmarks, one a number of terms."""


@dataclass(frozen=True)
class RunArgs:
    """The run as a whole (train_zero_math.py)."""

    config: str = ""
    """TOML recipe whose keys are flag names; flags override it."""
    dry_run: bool = False
    """Print the plan (processes, batch arithmetic, memory) and exit; starts nothing."""
    resume: str = ""
    """Continue a run: `latest`, a run directory, or a checkpoint directory."""
    save_path: str = ""
    """Run directory; empty means runs/<date>-<time>."""
    rounds: int = 0
    """Rounds of the stages of --config (docs/rounds.md); 0: one run without stages."""
    max_steps: int = -1
    """Stop after this many steps (one batch of groups each); -1: all prompt epochs."""
    seed: int = 42
    """Seed of data order, sampling and training."""
    rnd_seed: bool = False
    """Draw the seed from the clock; config.toml records it."""
    deterministic: bool = False
    """Same seed, same metrics to the last digit (CPU, float32, synchronous); some per cent slower."""


@dataclass(frozen=True)
class ClusterArgs:
    """Processes and where they run (understand_r1_zero/plan.py)."""

    gpus: int = 0
    """GPUs to use; 0 runs everything on the CPU."""
    num_gpus_per_actor: int = 1
    """Tensor-parallel GPUs of one actor."""
    collocate: bool = False
    """Actors and learners share every GPU; otherwise half the GPUs each."""
    num_actors: int = 0
    """Sampling processes; 0: one per GPU (group) on GPUs, one on the CPU."""
    num_learners: int = 0
    """Training ranks; 0: one per GPU on GPUs, one on the CPU."""
    ray_address: str = ""
    """Existing Ray cluster, `auto` or HOST:PORT; empty starts a private one on loopback."""
    vllm_gpu_ratio: float = 0.25
    """Share of a GPU's memory each vLLM engine may take."""
    vllm_sleep: bool = False
    """Put vLLM to sleep while learners train on the same GPUs (needs --collocate)."""
    weight_transfer: Literal["auto", "ray", "nccl", "ipc"] = "auto"
    """How weights reach actors: auto is Ray's shared memory on the CPU, NCCL on split GPUs, CUDA IPC on collocated ones."""
    max_actor_restarts: int = 3
    """Actor deaths in a row, without a finished group between them, before the run gives up."""


@dataclass(frozen=True)
class ModelArgs:
    """The policy (actors/engine.py and learners/engine.py)."""

    pretrain: str = TINY_MODEL
    """Model directory or hub id."""
    bf16: bool = False
    """Train and sample in bfloat16; otherwise float32."""
    fp16: bool = False
    """Train and sample in float16 (GPU); the loss is scaled, and a step whose gradient overflows is skipped."""
    flash_attn: bool = False
    """Train with FlashAttention-2 (GPU); otherwise PyTorch's SDPA."""
    gradient_checkpointing: bool = False
    """Recompute activations in the backward pass to save memory."""
    activation_offload: bool = False
    """Keep what the backward pass needs of the forward pass in host memory (GPU); see --gradient_checkpointing."""
    max_model_len: int = 0
    """Context of the sampler in tokens; 0: prompt_max_length + the longest generation."""
    trust_remote_code: bool = False
    """Allow model code from the hub to run."""

    @property
    def dtype(self) -> Dtype:
        """Of the weights that are trained, published and sampled from."""
        if self.fp16:
            return "float16"
        return "bfloat16" if self.bf16 else "float32"


@dataclass(frozen=True)
class DataArgs:
    """Training problems and how they are asked (understand_r1_zero/data.py and templates.py)."""

    prompt_data: str = DEMO_PROMPT_DATA
    """DatasetDict directory, jsonl/json/parquet file, hub id (NAME or CONFIG@NAME), or reasoning_gym:NAME?key=value&..."""
    train_split: str = "train"
    """Split of --prompt_data."""
    input_key: str = "problem"
    """Column of the problem text."""
    output_key: str = "answer"
    """Column of the gold answer or answers."""
    max_train: int = 1_000_000
    """Use at most this many training problems."""
    num_prompt_epoch: int = 1
    """Passes over the training problems."""
    prompt_max_length: int = 1024
    """Longer prompts (tokens) are dropped and counted."""
    prompt_template: str = "qwen_math"
    """qwen_math, r1, no, few_shot, chat, or the import path (module:NAME) of your own."""


@dataclass(frozen=True)
class SamplingArgs:
    """What actors sample (actors/sampling.py)."""

    rollout_batch_size: int = 64
    """Problems (groups) a step."""
    num_samples: int = 8
    """Responses a problem: the group size."""
    temperature: float = 1.0
    """Sampling temperature."""
    top_p: float = 1.0
    """Nucleus mass."""
    top_k: int = -1
    """Keep the k likeliest tokens; -1: all."""
    generate_max_length: int = 64
    """Longest response in tokens; also the constant length of Dr. GRPO's loss."""
    enable_prefix_caching: bool = True
    """Share the KV cache of equal prefixes within one policy version."""
    max_staleness: int = 0
    """Policy versions a trajectory may lag behind the learner; 0 is synchronous, on-policy."""


@dataclass(frozen=True)
class OracleArgs:
    """What scores responses (oracles/)."""

    oracle: str = "math"
    """math, or the import path (module:Class) of your own; value, prm, monte_carlo, tree, self_critic or remote reward steps too, several as NAME=WEIGHT,NAME=WEIGHT (--step_reward); searches: see --search_oracle."""
    oracle_type: Literal["reward"] = "reward"
    """Oracles that return rewards."""
    audit_grader: bool = False
    """Grade each answer under the other presets too, and report where they disagree; up to five times the grading."""

    @property
    def is_rule_based(self) -> bool:
        """Whether answers are compared with gold answers, so that --preset and its like count."""
        return ":" not in self.oracle

    @property
    def is_of_steps(self) -> bool:
        """Whether it names what values steps, and not the grader alone."""
        return self.is_rule_based and self.oracle != "math"


@dataclass(frozen=True)
class GradingArgs:
    """What counts as the same answer, and who finds out (understand_r1_zero/grading/)."""

    preset: Literal["default", "strict", "lenient", "fast", "math_verify"] = "default"
    """Grading conventions (docs/grading.md); Oat's --verifier_version is another name of this flag."""
    answer_order: Literal["preset", "any", "ordered"] = "preset"
    """Whether values listed without brackets have an order."""
    answer_percent: Literal["preset", "either", "ignored", "exact"] = "preset"
    """50% equals 50 and 0.5, 50 only, or 0.5 only."""
    answer_units: Literal["preset", "optional", "ignored", "required"] = "preset"
    """A missing unit is forgiven, every unit is dropped, or both must be the same."""
    answer_tolerance: float | None = None
    """Relative tolerance where a decimal point is written; by default the preset's."""
    answer_simplified: Literal["preset", "yes", "no"] = "preset"
    """Whether fractions must be in lowest terms and integers written as such."""
    grader_workers: int = 2
    """Grading processes, of each actor in training."""
    grader_timeout_s: float = 3.0
    """Seconds one answer may take before its grading process is killed."""


@dataclass(frozen=True)
class RewardArgs:
    """What a response is worth (understand_r1_zero/rewards.py); accuracy does not depend on it."""

    correct_reward: float = 1.0
    """Reward of a correct response; your own --oracle gives its own."""
    incorrect_reward: float = 0.0
    """Reward of an incorrect or unparsable response, and where grading fails; your own --oracle gives its own."""
    format_reward: float = 0.0
    """Added when the response has an answer where its template asks for it, right or wrong; not with your own --oracle."""
    non_stop_fixed_reward: float = 0.0
    """Reward of a truncated response, which is not graded."""
    overlong_buffer_tokens: int = 0
    """Over the last so many tokens before --generate_max_length a penalty grows from 0 to --overlong_penalty (DAPO); 0: off."""
    overlong_penalty: float = 1.0
    """Subtracted at --generate_max_length tokens, truncated or not, with --overlong_buffer_tokens above 0."""


@dataclass(frozen=True)
class AlgorithmArgs:
    """Advantages and losses (learners/policy_gradient.py)."""

    algo: Literal["ppo", "dpo", "sft", "rft", "value"] = "ppo"
    """Policy gradient, preferences, supervised (--sft_data), the same on correct samples, or a value model (--value_data)."""
    critic_type: Literal[
        "drgrpo",
        "grpo",
        "rloo",
        "reinforce",
        "reinforce_pp",
        "reinforce_pp_baseline",
        "remax",
        "ppo",
    ] = "drgrpo"
    """What is subtracted from a reward and divides it: the group's mean (Dr. GRPO), and std (GRPO), the mean of the others (RLOO), nothing, the batch's mean and std (REINFORCE++, also after the group's mean), the greedy response's reward (ReMax), or what a critic predicts at each token (PPO)."""
    num_ppo_epochs: int = 1
    """Passes over one batch."""
    cliprange: float = 0.2
    """Clip of the probability ratio, epsilon; the lower one alone with --cliprange_high."""
    beta: float = 0.0
    """Weight of the KL to the reference model in the loss."""
    kl_penalty_coef: float = 0.0
    """Weight of the KL to the reference model in the reward (k1)."""
    tis_c: float = 2.0
    """Cap of the importance weight between learner and sampler; 0: no correction."""
    ignore_no_eos: bool = False
    """Take the gradient of truncated responses out."""


@dataclass(frozen=True)
class OptimArgs:
    """Optimisation (learners/engine.py and batching.py)."""

    learning_rate: float = 5e-4
    """Peak learning rate."""
    lr_scheduler: str = "constant"
    """constant, linear, cosine, cosine_with_min_lr (floor: a tenth), with warm-up."""
    lr_warmup_ratio: float = 0.0
    """Share of the optimizer steps that warm up."""
    max_step_adjustment: float = 1.0
    """Multiplies the schedule's horizon."""
    train_batch_size: int = 0
    """Responses an optimizer step, over all learners; 0: all of a step's."""
    train_batch_size_per_device: int = 128
    """At most this many responses a micro-batch."""
    max_tokens_per_micro_batch: int = 16384
    """At most this many padded tokens a micro-batch (one longer response goes alone)."""
    packing: bool = True
    """Put several prompts in one row where that is cheaper than padding; the gradient is the same."""
    zero_stage: Literal[0, 1, 2, 3] = 2
    """DeepSpeed ZeRO stage."""
    ref_offload: bool = False
    """Keep the reference model in host memory between uses."""
    adam_offload: bool = False
    """Keep the optimizer in host memory."""
    max_norm: float = 1.0
    """Gradient norm clip; 0: none."""
    loss_scale_power: int = 16
    """With --fp16: the loss is scaled by 2 to this power at first; an overflow halves the scale, 1000 steps without one double it."""
    adam_beta_1: float = 0.9
    """AdamW's first-moment decay."""
    adam_beta_2: float = 0.95
    """AdamW's second-moment decay."""
    l2: float = 0.0
    """AdamW's weight decay."""
    sync_params_every: int = 1
    """Publish weights every this many steps."""


@dataclass(frozen=True)
class CheckpointArgs:
    """Checkpoints (understand_r1_zero/checkpoint.py)."""

    save_steps: int = -1
    """Checkpoint every this many steps; -1: only at the end."""
    save_from: int = 0
    """No periodic checkpoint before this step."""
    max_save_num: int = 5
    """Keep at most this many checkpoints."""
    max_save_mem: float = 1000.0
    """Keep at most this many GB of checkpoints; the newest always stays."""


@dataclass(frozen=True)
class EvaluationArgs:
    """Benchmarks (understand_r1_zero/evaluate.py)."""

    eval_data: str = ""
    """Benchmarks, as --prompt_data, several with commas, NAME=SOURCE to name one; empty with the default --prompt_data: the demo's."""
    test_split: str = "all"
    """Benchmarks to use, by exact name, with commas; all: every one."""
    eval_steps: int = 20
    """Evaluate every this many steps, besides before the first and after the last; -1: never."""
    holdout: float = 0.0
    """Share of the prompts of --sft_data, --value_data or --preference_data that are held out of training; their loss is evaluated."""
    eval_n: int = 1
    """Responses a problem in evaluation."""
    eval_temperature: float = 0.0
    """Sampling temperature in evaluation; 0: greedy."""
    eval_top_p: float = 1.0
    """Nucleus mass in evaluation."""
    eval_generate_max_length: int = 0
    """Longest response in evaluation, in tokens; 0: as --generate_max_length."""
    eval_input_key: str = "problem"
    """Column of the problem text in benchmarks."""
    eval_output_key: str = "answer"
    """Column of the gold answer or answers in benchmarks."""
    max_eval: int = 1000
    """Use at most this many problems of each benchmark."""


@dataclass(frozen=True)
class TrackingArgs:
    """Where metrics go besides the run directory (understand_r1_zero/tracking.py)."""

    use_wb: bool = False
    """Log to wandb (offline when not logged in)."""
    wb_run_name: str = ""
    """Name of the wandb run; empty: the run directory's name."""
    wb_project: str = "train_zero_math"
    """wandb project."""
    wb_group: str = ""
    """wandb group."""
    wb_org: str = ""
    """wandb entity."""


@dataclass(frozen=True)
class AlarmArgs:
    """When a run warns or stops (understand_r1_zero/alarms.py)."""

    max_logprob_gap: float = 1e-4
    """Step 0: mean |sampler - learner| log-prob in nats above which the run stops; 0.05 if not given with --bf16 or --fp16; 0: off."""
    warn_truncated: float = 0.3
    """Warn above this share of truncated responses."""
    warn_unparsable: float = 0.5
    """Warn above this share of responses without an answer."""


@dataclass(frozen=True)
class LegacyArgs:
    """Flags of the ancestor that change nothing here (understand_r1_zero/cli.py says so once)."""

    rollout_batch_size_per_device: int | None = None
    """Groups stream to the least loaded actor."""
    mini_train_batch_size_per_device: int | None = None
    """Micro-batches are filled by --train_batch_size_per_device and --max_tokens_per_micro_batch."""
    pi_buffer_maxlen_per_device: int | None = None
    """A batch is never cut or replayed."""
    eval_batch_size: int | None = None
    """Evaluation streams like training."""


@dataclass(frozen=True)
class Args:
    """All flags of train_zero_math.py."""

    run: RunArgs = field(default_factory=RunArgs)
    cluster: ClusterArgs = field(default_factory=ClusterArgs)
    model: ModelArgs = field(default_factory=ModelArgs)
    data: DataArgs = field(default_factory=DataArgs)
    sampling: SamplingArgs = field(default_factory=SamplingArgs)
    oracle: OracleArgs = field(default_factory=OracleArgs)
    grading: GradingArgs = field(default_factory=GradingArgs)
    reward: RewardArgs = field(default_factory=RewardArgs)
    algorithm: AlgorithmArgs = field(default_factory=AlgorithmArgs)
    policy: PolicyArgs = field(default_factory=PolicyArgs)
    critic: CriticArgs = field(default_factory=CriticArgs)
    preference: PreferenceArgs = field(default_factory=PreferenceArgs)
    supervised: SupervisedArgs = field(default_factory=SupervisedArgs)
    value: ValueArgs = field(default_factory=ValueArgs)
    optim: OptimArgs = field(default_factory=OptimArgs)
    lora: LoraArgs = field(default_factory=LoraArgs)
    checkpoint: CheckpointArgs = field(default_factory=CheckpointArgs)
    evaluation: EvaluationArgs = field(default_factory=EvaluationArgs)
    search: SearchArgs = field(default_factory=SearchArgs)
    steps: StepArgs = field(default_factory=StepArgs)
    valuing: StepOracleArgs = field(default_factory=StepOracleArgs)
    step_reward: StepRewardArgs = field(default_factory=StepRewardArgs)
    files: SearchFileArgs = field(default_factory=SearchFileArgs)
    collecting: CollectArgs = field(default_factory=CollectArgs)
    labelling: LabelArgs = field(default_factory=LabelArgs)
    verifying: VerifyArgs = field(default_factory=VerifyArgs)
    tracking: TrackingArgs = field(default_factory=TrackingArgs)
    alarm: AlarmArgs = field(default_factory=AlarmArgs)
    legacy: LegacyArgs = field(default_factory=LegacyArgs)

    @property
    def learns_from_file(self) -> bool:
        """Whether examples are read from a file, and none sampled."""
        algo = self.algorithm.algo
        return algo in ("sft", "value") or (algo == "dpo" and bool(self.preference.preference_data))

    @property
    def benchmark_data(self) -> str:
        """`--eval_data`; the demo's benchmarks for the demo's problems; empty: there are none."""
        if not self.evaluation.eval_data and self.data.prompt_data == DEMO_PROMPT_DATA:
            return DEMO_EVAL_DATA
        return self.evaluation.eval_data

    @property
    def is_searched(self) -> bool:
        """Whether evaluation searches."""
        return self.search.method != "sample"

    @property
    def step_oracle(self) -> str:
        """The step oracles that reward steps in training; empty: outcomes alone are rewarded."""
        pays_steps = self.oracle.is_of_steps and self.algorithm.algo == "ppo"
        return self.oracle.oracle if pays_steps else ""

    @property
    def searches_by(self) -> str:
        """The step oracles of searches."""
        return self.valuing.search_oracle or self.oracle.oracle

    @property
    def needs_actors(self) -> bool:
        """Whether anything is sampled: what is learned from, or answers to benchmarks."""
        has_policy = self.algorithm.algo != "value" or self.value.value_joint
        is_evaluated = has_policy and self.evaluation.eval_steps > 0 and bool(self.benchmark_data)
        return is_evaluated or not self.learns_from_file

    @property
    def critic_kind(self) -> Literal["none", "separate", "shared"]:
        """`--critic_trunk` of the critic, where there is one."""
        has_critic = self.algorithm.algo == "ppo" and self.algorithm.critic_type == "ppo"
        return self.critic.critic_trunk if has_critic else "none"

    @property
    def needs_reference_model(self) -> bool:
        """Whether learners hold a reference model beside the policy."""
        if self.algorithm.algo == "dpo":
            return self.preference.needs_reference_model
        has_kl = self.algorithm.beta > 0 or self.algorithm.kl_penalty_coef > 0
        return has_kl and self.algorithm.algo == "ppo"

    @property
    def responses_per_step(self) -> int:
        """Responses that one step samples, unless its examples are stored."""
        return self.sampling.rollout_batch_size * self.sampling.num_samples

    @property
    def responses_per_optimizer_step(self) -> int:
        """`--train_batch_size`, resolved for the policy gradient (else `workload.Workload`)."""
        return self.optim.train_batch_size or self.responses_per_step

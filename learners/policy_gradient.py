"""Policy-gradient updates: rewards to advantages to losses to optimizer steps."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from learners import losses
from learners.batching import Batch, MicroBatch, optimizer_batches
from learners.critic import Critic, CriticLoss, Targets
from learners.metrics import StepSums, batch_metrics, combine_steps
from learners.optimizer_steps import OptimizerSteps
from learners.policy import Policy
from learners.returns import Recipe, Rewards, critic_advantages, token_advantages
from understand_r1_zero.args import Args
from understand_r1_zero.types import Trajectory


@dataclass(frozen=True)
class Update:
    """One update under way: what its losses need of R responses and their T tokens.

    `advantages` are float32 (T,). `scores` (2, T) are `old_logprobs` and entropies. With `is_on_policy` one
    optimizer step is the whole update: its own forward pass finds them, and fills them in as it goes.
    `targets` are those of the critic.
    """

    step: int
    batch: Batch
    advantages: np.ndarray
    is_active: np.ndarray
    scores: np.ndarray
    ref_logprobs: np.ndarray | None
    is_on_policy: bool
    targets: Targets | None


class PolicyGradient:
    """The objective of `--algo ppo`, on one rank.

    Responses without a gradient (advantage 0, or masked) are scored but not trained on.
    `old_logprobs` holds float32 (T,) of each trajectory of the last update, before it; `first_step` the
    metrics of its first optimizer step. `critic` is a separate one.
    """

    def __init__(
        self, args: Args, policy: Policy, steps: OptimizerSteps, critic: Critic | None
    ) -> None:
        self._args = args
        self._policy = policy
        self._steps = steps
        self._critic = critic
        self._is_shared = args.critic_kind == "shared"
        self.old_logprobs: list[np.ndarray] = []
        self.first_step: dict[str, float] = {}

    def update(self, trajectories: Sequence[Trajectory], step: int) -> dict[str, float]:
        """Run every optimizer step of one batch; returns its metrics over all ranks.

        `--num_ppo_epochs` passes in optimizer steps of `--train_batch_size` responses, in an order
        that follows from the seed and `step` alone.
        """
        schedule = optimizer_batches(
            len(trajectories),
            self._args.responses_per_optimizer_step,
            self._args.algorithm.num_ppo_epochs,
            (self._args.run.seed, step),
        )
        refresh = self._args.policy.ref_refresh_steps
        if refresh and step and step % refresh == 0:
            self._policy.refresh_reference()
        is_warm_up = step < self._args.critic.critic_warmup_steps
        of_policy = [] if is_warm_up else schedule
        update = self._prepare(Batch.of(trajectories), step, is_single=len(of_policy) == 1)
        metrics = {} if update.targets is None else update.targets.metrics()
        if update.targets is not None and self._critic is not None:
            metrics |= self._critic.update(update.targets, schedule, step)
        steps = [self._optimizer_step(update, responses) for responses in of_policy]
        if not steps:
            steps = [StepSums.zeros(self._policy.engine.device).metrics()]
        if update.is_on_policy:
            self._policy.complete(update.scores)
        old_logprobs, entropies = update.scores[:2]
        self.first_step = steps[0]
        self.old_logprobs = update.batch.split(old_logprobs)
        return {
            **metrics,
            **combine_steps(steps),
            **batch_metrics(
                update.batch, update.advantages, old_logprobs, entropies, update.ref_logprobs
            ),
        }

    def _prepare(self, batch: Batch, step: int, *, is_single: bool) -> Update:
        algorithm = self._args.algorithm
        everything = np.arange(len(batch.lengths))
        is_on_policy = is_single and algorithm.kl_penalty_coef == 0 and not self._is_shared
        scores = ref_logprobs = None
        if not is_on_policy:
            scores = self._policy.complete(self._policy.score(batch, everything))
        if self._policy.has_reference:
            ref_logprobs = self._policy.complete(self._policy.score_reference(batch))[0]
        advantages, targets = self._advantages(batch, scores, ref_logprobs)
        trains_all = algorithm.beta > 0 or self._args.policy.ent_coef > 0 or self._is_shared
        teaching = np.bincount(batch.response_of, advantages != 0, len(everything)) > 0
        is_active = ~batch.is_masked & (teaching | trains_all)
        if scores is None:
            scores = self._policy.score(batch, everything[~is_active])
        return Update(
            step, batch, advantages, is_active, scores, ref_logprobs, is_on_policy, targets
        )

    def _advantages(
        self, batch: Batch, scores: np.ndarray | None, ref_logprobs: np.ndarray | None
    ) -> tuple[np.ndarray, Targets | None]:
        """float32 (T,), and what a critic is to learn."""
        algorithm, policy = self._args.algorithm, self._args.policy
        recipe = Recipe(
            algorithm.critic_type,
            algorithm.kl_penalty_coef,
            policy.gamma,
            policy.whiten_adv,
            self._args.critic.lam,
        )
        rewards = Rewards.of(batch.trajectories, batch.offsets, policy.reward_scale)
        k1 = None
        if scores is not None and ref_logprobs is not None and algorithm.kl_penalty_coef:
            k1 = scores[0] - ref_logprobs
        if self._args.critic_kind == "none":
            return token_advantages(batch, rewards, k1, recipe), None
        if self._critic is not None:
            values = self._critic.values(batch)
        else:
            assert scores is not None, "a shared critic is scored with the policy"
            values = scores[2]
        advantages, returns = critic_advantages(batch, rewards, k1, values, recipe)
        return advantages, Targets(batch, values, returns)

    def _optimizer_step(self, update: Update, responses: np.ndarray) -> dict[str, float]:
        engine = self._policy.engine
        weights = self._response_weights(update.batch, responses)
        sums = StepSums.zeros(engine.device)
        found: list[tuple[np.ndarray, Tensor]] = []
        critic_loss = None
        if self._is_shared and update.targets is not None:
            critic_loss = CriticLoss(self._args, update.targets, responses, engine)

        def loss_of(
            micro_batch: MicroBatch, logprobs: Tensor, entropies: Tensor, *values: Tensor
        ) -> Tensor:
            scores = torch.stack([logprobs.detach(), entropies.detach()])
            found.append((micro_batch.tokens, scores))
            loss = self._loss(update, weights, micro_batch, (logprobs, entropies), sums)
            if critic_loss is None:
                return loss
            return loss + self._args.critic.vf_coef * critic_loss.part(micro_batch, *values)

        active = responses[update.is_active[responses]]
        result = self._steps.take(update.batch, active, loss_of)
        if update.is_on_policy:
            for tokens, values in found:
                update.scores[:, tokens] = values.cpu().numpy()
        engine.all_reduce(sums.sums)
        engine.all_reduce(sums.maxima, is_max=True)
        metrics = sums.metrics() | (critic_loss.metrics() if critic_loss is not None else {})
        self._steps.require_finite(
            result.grad_norm,
            metrics["train/pg_loss"],
            update.step,
            {"responses": responses, "update": update},
        )
        return {
            **metrics,
            "train/policy_grad_norm": result.grad_norm,
            "misc/lr": result.learning_rate,
        }

    def _loss(
        self,
        update: Update,
        weights: np.ndarray,
        micro_batch: MicroBatch,
        scores: tuple[Tensor, Tensor],
        sums: StepSums,
    ) -> Tensor:
        """This micro-batch's part of the optimizer step's loss; adds its metrics to `sums`."""
        algorithm, policy, batch = self._args.algorithm, self._args.policy, update.batch
        tokens, (logprobs, entropies) = micro_batch.tokens, scores
        response_of = batch.response_of[tokens]
        advantages, weight, sampler_logprobs, old_logprobs, ref_logprobs = self._to_device(
            update.advantages[tokens],
            weights[response_of],
            batch.sampler_logprobs[tokens],
            update.scores[0, tokens],
            np.zeros(0) if update.ref_logprobs is None else update.ref_logprobs[tokens],
        )
        _, local = np.unique(response_of, return_inverse=True)
        responses = torch.from_numpy(local).to(logprobs.device)
        if update.is_on_policy:
            old_logprobs = logprobs.detach()
        surrogate, is_clipped = losses.policy_loss(
            policy.policy_loss, logprobs, old_logprobs, advantages, responses, self._clip
        )
        surrogate = surrogate * losses.importance_weights(
            old_logprobs,
            sampler_logprobs,
            responses,
            algorithm.tis_c,
            level=policy.is_level,
            mode=policy.is_mode,
        )
        pg_loss = (weight * surrogate).sum()
        reg_loss = torch.zeros_like(pg_loss)
        if algorithm.beta:
            kl = losses.kl(policy.kl_estimator, logprobs, ref_logprobs, old_logprobs)
            reg_loss = algorithm.beta * (weight * kl).sum()
        if policy.ent_coef:
            reg_loss = reg_loss - policy.ent_coef * (weight * entropies).sum()
        sums.add(pg_loss, reg_loss, logprobs - old_logprobs, is_clipped)
        return pg_loss + reg_loss

    @property
    def _clip(self) -> losses.Clip:
        low = self._args.algorithm.cliprange
        return losses.Clip(
            low, self._args.policy.cliprange_high or low, self._args.policy.dual_clip
        )

    def _response_weights(self, batch: Batch, responses: np.ndarray) -> np.ndarray:
        """float32 (R,): `losses.response_weights` of the optimizer step's responses, else 0."""
        weights = np.zeros(len(batch.lengths), np.float32)
        weights[responses] = losses.response_weights(
            torch.from_numpy(batch.lengths[responses]),
            torch.from_numpy(batch.is_masked[responses]),
            loss_aggregation(self._args),
            self._args.sampling.generate_max_length,
        ).numpy()
        return weights

    def _to_device(self, *arrays: np.ndarray) -> list[Tensor]:
        device = self._policy.engine.device
        return [torch.from_numpy(array).to(device, torch.float32) for array in arrays]


def loss_aggregation(args: Args) -> str:
    """`--loss_aggregation`, resolved: as the paper of the loss has it, or that of the advantage.

    GSPO: sequence; CISPO: token; else GRPO: sequence, REINFORCE++ and PPO with a critic: token, and where
    the paper sums over a response's tokens (Dr. GRPO, RLOO, REINFORCE, ReMax) constant.
    """
    if args.policy.loss_aggregation != "auto":
        return args.policy.loss_aggregation
    of_loss = {"gspo": "sequence", "cispo": "token"}
    of_critic = {"grpo": "sequence"}
    of_critic |= dict.fromkeys(("reinforce_pp", "reinforce_pp_baseline", "ppo"), "token")
    default = of_critic.get(args.algorithm.critic_type, "constant")
    return of_loss.get(args.policy.policy_loss, default)

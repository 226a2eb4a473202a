"""How far a run is: what a checkpoint records beside the learner's state."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

from understand_r1_zero.args import Args
from understand_r1_zero.collect import Position
from understand_r1_zero.run_directory import write_atomic

FILE = "progress.json"


@dataclass
class Progress:
    """Steps trained, the policy version the actors hold, and the place in the prompt order.

    `problems` is the digest of the training problems that the place refers to.
    """

    problems: str
    step: int = 0
    version: int = 0
    position: Position = field(default_factory=Position)

    def write(self, checkpoint: Path) -> None:
        """Write `progress.json` into a checkpoint directory."""
        write_atomic(checkpoint / FILE, json.dumps(asdict(self)))

    @classmethod
    def resume(cls, checkpoint: Path, problems: str) -> "Progress":
        """Read what `write` wrote, to go on with the problems of that digest.

        Raises ValueError when the directory is no checkpoint of ours, or of other problems.
        """
        path = checkpoint / FILE
        if not path.is_file():
            raise ValueError(f"--resume: {checkpoint} has no {FILE}; name a run or a checkpoint")
        record = json.loads(path.read_text(encoding="utf-8"))
        if record["problems"] != problems:
            raise ValueError(
                "--resume: the training problems are others than when the checkpoint was taken, so its "
                "place among them means nothing; give the same --prompt_data, and the same benchmarks "
                "(--eval_data, --test_split, --max_eval), whose problems are left out"
            )
        position = Position(**record["position"])
        return cls(problems, record["step"], record["version"], position)


class Schedule:
    """What happens after which step; `num_steps` are the run's."""

    def __init__(self, args: Args, num_steps: int) -> None:
        self.num_steps = num_steps
        self._eval_steps = args.evaluation.eval_steps
        self._sync_params_every = args.optim.sync_params_every
        self._save_steps = args.checkpoint.save_steps
        self._save_from = args.checkpoint.save_from

    def evaluates_at(self, step: int) -> bool:
        """Benchmarks and what is held out are evaluated before the first step, every so often, and after the last."""
        every = self._eval_steps
        return every > 0 and (step % every == 0 or step == self.num_steps)

    def publishes_at(self, step: int) -> bool:
        """Actors get new weights every so often, and after the last step to be evaluated."""
        return step % self._sync_params_every == 0 or step == self.num_steps

    def saves_at(self, step: int) -> bool:
        """A checkpoint is taken every so often, and after the last step."""
        every = self._save_steps
        return step == self.num_steps or (
            every > 0 and step >= self._save_from and step % every == 0
        )

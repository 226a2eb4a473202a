"""What became of a codec's samples, and a warning where none of them is a step."""

from collections import Counter
from dataclasses import dataclass, field

from understand_r1_zero.search.codecs.step import Fault, Reason
from understand_r1_zero.search.step import Step

NUM_SAMPLES_BEFORE_WARNING = 50
NUM_REASONS_NAMED = 3


@dataclass(slots=True)
class FaultCounts:
    """How many samples were steps, and how many were not for which reason."""

    codec_name: str
    num_steps: int = 0
    faults: Counter[Reason] = field(default_factory=Counter)

    @property
    def num_samples(self) -> int:
        """All that were parsed."""
        return self.num_steps + self.faults.total()

    def count(self, parsed: Step | Fault) -> str:
        """Count one sample; after the first 50, the warning that none was a step, else nothing."""
        if isinstance(parsed, Step):
            self.num_steps += 1
        else:
            self.faults[parsed.reason] += 1
        if self.num_steps or self.num_samples != NUM_SAMPLES_BEFORE_WARNING:
            return ""
        return (
            f"none of the first {self.num_samples} samples is a step of the codec {self.codec_name}: "
            f"{self.commonest()}; choose the codec that the policy writes, or train it on this one first"
        )

    def commonest(self) -> str:
        """The three commonest reasons and their counts, on one line."""
        # Among equals by name, so that the line does not depend on the order of samples.
        ranked = sorted(self.faults.items(), key=lambda item: (-item[1], item[0]))
        return ", ".join(f"{reason} ({number})" for reason, number in ranked[:NUM_REASONS_NAMED])

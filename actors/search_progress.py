"""How far a command is that asks actors, in one line: what is done, speed, cache, oracle."""

import contextlib
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from typing import Any

from tqdm import tqdm

from understand_r1_zero.types import Group, Status

POLL_S = 1.0
LINE_S = 10.0
"""Between two lines where there is no terminal."""

Statistics = Mapping[str, float]


def speed_text(before: Statistics, now: Statistics, seconds: float) -> str:
    """What actors did in some seconds, by their counts before and after, and what they wait for."""

    def rate(name: str) -> float:
        return (now.get(name, 0.0) - before.get(name, 0.0)) / seconds

    asked = rate("prompt_tokens")
    parts = [f"{rate('nodes'):.0f} nodes/s"] if "nodes" in now else []
    parts.append(f"{rate('tokens') + rate('sampled_tokens'):,.0f} tokens/s")
    if asked:
        parts.append(f"cache {rate('cached_tokens') / asked:.0%}")
    if waiting := now.get("waiting_values"):
        parts.append(f"{waiting:.0f} values waited for")
    return ", ".join(parts)


class SearchProgress:
    """A bar on a terminal, elsewhere a line now and then.

    Args:
        total: questions, or what `unit` names.
        num_done: of them before this run.
        unit: the word for many of them.
    """

    def __init__(self, total: int, num_done: int, unit: str = "questions") -> None:
        self._is_terminal = sys.stdout.isatty()
        self._bar = tqdm(
            total=total,
            initial=num_done,
            file=sys.stdout,
            disable=not self._is_terminal,
            dynamic_ncols=True,
            leave=False,
            bar_format=f"{{percentage:3.0f}}% |{{bar}}| {{n_fmt}}/{{total_fmt}} {unit}, {{elapsed}} passed, "
            "{remaining} left{postfix}",
        )
        self._total = total
        self._unit = unit
        self._num_done = num_done
        self._statuses: Counter[Status] = Counter()
        self._stop = threading.Event()

    def note(self, text: str) -> None:
        """Print a line above the bar."""
        self._bar.write(text, file=sys.stdout)
        sys.stdout.flush()

    def warn(self, text: str) -> None:
        """Print a warning in one line."""
        self.note(f"warning: {' '.join(text.split())}")

    def finished(self, group: Group) -> None:
        """A question has its tree, or what else was asked for."""
        self._num_done += 1
        self._statuses.update(response.verdict.status for response in group.responses)
        self._bar.update()

    @contextlib.contextmanager
    def watching(self, ask: Callable[[], Sequence["Future[Statistics]"]]) -> Iterator[None]:
        """Show how fast the actors are meanwhile, from what they say of themselves."""
        thread = threading.Thread(target=self._watch, args=(ask,), daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._stop.set()
            thread.join()

    def close(self) -> None:
        """Take the bar away."""
        self._bar.close()

    def _watch(self, ask: Callable[[], Sequence["Future[Statistics]"]]) -> None:
        before, before_s = _sum(ask()), time.monotonic()
        while not self._stop.wait(POLL_S if self._is_terminal else LINE_S):
            now, now_s = _sum(ask()), time.monotonic()
            if now:
                self._show(speed_text(before, now, now_s - before_s))
                before, before_s = now, now_s

    def _show(self, speed: str) -> None:
        num_known = self._statuses.total() - self._statuses[Status.UNKNOWN]
        share = f"{self._statuses[Status.CORRECT] / num_known:.1%} right, " if num_known else ""
        if self._is_terminal:
            self._bar.set_postfix_str(share + speed)
        else:
            self.note(f"{self._num_done}/{self._total} {self._unit}, {share}{speed}")


def _sum(futures: Sequence["Future[Statistics]"]) -> dict[str, Any]:
    """The counts of all actors together; nothing where one of them died meanwhile."""
    total: Counter[str] = Counter()
    for future in futures:
        if future.exception() is not None:
            return {}
        total.update(future.result())
    return dict(total)

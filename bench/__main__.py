"""`python -m bench [NAME ...] [--smoke]`: how fast the system is, as ratios measured side by side.

Prints one table; each result, with all its samples, goes to `bench/results/<name>.json`.
"""

import argparse
import importlib
import os
import signal
import sys
import time
from pathlib import Path

from bench.result import table
from bench.scale import FULL, SMOKE

NAMES = ("grader", "interpreter", "search", "actor", "learner", "publication", "peer")
"""The benchmarks; each is a module with `run(scale)`, which gives a `Result` or several."""
RESULTS = Path(__file__).with_name("results")


def main() -> int:
    """Run the benchmarks that were named, or all."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(NAMES))
    parser.add_argument("--smoke", action="store_true", help="tiny: only shows that it runs")
    parser.add_argument("--out", type=Path, help=f"default {RESULTS.name}/; --smoke: nowhere")
    args = parser.parse_args()
    unknown = sorted(set(args.names) - set(NAMES))
    if unknown:
        parser.error(f"no benchmark {', '.join(unknown)}; there are {', '.join(NAMES)}")
    # So that what was started ends too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    out = args.out or (None if args.smoke else RESULTS)
    results = []
    for name in args.names or NAMES:
        started_s = time.monotonic()
        busy = os.getloadavg()[0]
        found = importlib.import_module(f"bench.{name}").run(SMOKE if args.smoke else FULL)
        found = found if isinstance(found, list) else [found]
        results += found
        elapsed_s = time.monotonic() - started_s
        print(f"{name}: {elapsed_s:.0f} s, load before it {busy:.1f}", file=sys.stderr, flush=True)
        for result in found if out is not None else ():
            result.write(out, f"python -m bench {name}{' --smoke' if args.smoke else ''}")
    print(table(results))
    return 0


if __name__ == "__main__":
    sys.exit(main())

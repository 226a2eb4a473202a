"""The step oracles by name, alone or weighted: `prm=0.7,math=0.3`."""

import math

from understand_r1_zero.sources import nearest

STEP_ORACLES = ("math", "value", "prm", "monte_carlo", "tree", "self_critic", "remote")


def parse_oracles(spec: str) -> dict[str, float]:
    """The weights of `NAME[=WEIGHT],...` by name, in their order; 1 where none is given.

    Raises:
        ValueError: a name that is not known or is there twice, or a weight that is no positive number.
    """
    weights: dict[str, float] = {}
    for part in spec.split(","):
        name, equals, weight = (text.strip() for text in part.partition("="))
        if name not in STEP_ORACLES:
            raise ValueError(
                f"--oracle must name {', '.join(STEP_ORACLES)}, or be the import path module:Class of your "
                f"own, got {name!r}; the nearest is {nearest(name, STEP_ORACLES)}"
            )
        if name in weights:
            raise ValueError(f"--oracle names {name} twice, got {spec!r}; add up its weights")
        weights[name] = _weight(weight, name) if equals else 1.0
    return weights


def _weight(text: str, name: str) -> float:
    try:
        weight = float(text)
    except ValueError:
        weight = math.nan
    if not (weight > 0 and math.isfinite(weight)):
        raise ValueError(
            f"--oracle must give {name} a positive weight, got {text!r}; leave the name out instead"
        )
    return weight

from pathlib import Path

import numpy as np
import pytest

from oracles.load import as_verdict, load_oracle
from oracles.math import MathOracle
from understand_r1_zero.args import Args, GradingArgs, OracleArgs
from understand_r1_zero.types import Status, Verdict

MINE = """
class Length:
    def get_reward(self, inputs, responses, references, batch_size=4):
        return [float(len(response)) for response in responses], {"oracle/mine": 1.0}

class Nothing:
    pass

length = Length()
"""


@pytest.fixture(autouse=True)
def my_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "my_oracle_module.py").write_text(MINE)
    (tmp_path / "my_broken_module.py").write_text("import a_package_that_is_not_installed")
    monkeypatch.syspath_prepend(tmp_path)


def test_the_rule_based_oracle_gets_the_flags() -> None:
    args = Args(grading=GradingArgs(preset="fast"))
    oracle = load_oracle(args, "answer_tag")
    assert isinstance(oracle, MathOracle)
    responses = ["</think> <answer>5</answer>", r"\boxed{5}"]
    verdicts, _ = oracle.get_reward(["?"] * 2, responses, ["5"] * 2)
    assert verdicts[0] == Verdict(1.0, Status.CORRECT, "5")
    assert as_verdict(verdicts[1]).status is Status.UNPARSABLE


def test_the_rule_based_oracle_is_audited_on_demand() -> None:
    args = Args(oracle=OracleArgs(audit_grader=True), grading=GradingArgs(grader_workers=1))
    oracle = load_oracle(args, "boxed")
    assert isinstance(oracle, MathOracle)
    (verdict,), _ = oracle.get_reward(["?"], [r"\boxed{5}"], ["5"])
    oracle.close()
    assert [name for name, _ in verdict.audit] == ["strict", "lenient", "fast", "math_verify"]


def test_an_import_path() -> None:
    oracle = load_oracle(Args(oracle=OracleArgs(oracle="my_oracle_module:Length")), "boxed")
    rewards, metrics = oracle.get_reward(["?"], ["abc"], ["5"])
    assert list(rewards) == [3.0]
    assert metrics == {"oracle/mine": 1.0}


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("mathy", "must name math, .*, or be the import path .* got 'mathy'; the nearest is math"),
        (":Length", "must be math or an import path"),
        ("my_oracle_module:", "must be math or an import path"),
        ("no_such_module:Length", "no module 'no_such_module'; put its folder into PYTHONPATH"),
        ("my_oracle_module.sub:Length", "no module 'my_oracle_module.sub'"),
        ("my_oracle_module:Width", "my_oracle_module.py defines no class 'Width'"),
        ("my_oracle_module:length", "defines no class 'length'"),
        ("my_oracle_module:Nothing", r"Nothing has no method get_reward\(inputs"),
    ],
)
def test_wrong_paths_are_refused_with_the_remedy(path: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        load_oracle(Args(oracle=OracleArgs(oracle=path)), "boxed")


def test_what_a_users_module_lacks_is_not_called_a_wrong_path() -> None:
    with pytest.raises(ModuleNotFoundError, match="a_package_that_is_not_installed"):
        load_oracle(Args(oracle=OracleArgs(oracle="my_broken_module:Length")), "boxed")


def test_numbers_become_verdicts() -> None:
    verdict = Verdict(0.5, Status.UNPARSABLE, None, "why")
    assert as_verdict(verdict) is verdict
    assert as_verdict(1) == Verdict(1.0, Status.CORRECT)
    assert as_verdict(np.float32(1.0)) == Verdict(1.0, Status.CORRECT)
    assert as_verdict(0.9) == Verdict(0.9, Status.INCORRECT)
    assert as_verdict(2.0) == Verdict(2.0, Status.INCORRECT)
    with pytest.raises(ValueError, match="finite rewards, got nan"):
        as_verdict(float("nan"))
    with pytest.raises(ValueError, match="finite rewards, got inf"):
        as_verdict(Verdict(float("inf"), Status.CORRECT))

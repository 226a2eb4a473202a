"""What several tests of the core share."""

from collections.abc import Callable

import pytest

from understand_r1_zero.cli import parse


@pytest.fixture
def refusal(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Parses a command line that must be refused and returns what it prints to stderr."""

    def refuse(*argv: str) -> str:
        with pytest.raises(SystemExit) as stopped:
            parse(argv)
        assert stopped.value.code == 2
        captured = capsys.readouterr()
        assert captured.out == ""
        return captured.err.removesuffix("\n")

    return refuse

"""What `--oracle` may say for a search."""

import pytest

from understand_r1_zero.search.oracle_names import parse_oracles


def test_names_and_weights_are_read():
    assert parse_oracles("value") == {"value": 1.0}
    assert parse_oracles("prm=0.7,math=0.3") == {"prm": 0.7, "math": 0.3}
    assert list(parse_oracles(" math , prm = 2e0 ").items()) == [("math", 1.0), ("prm", 2.0)]


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("", "--oracle must name math, value, .* got ''"),
        ("maths", "got 'maths'; the nearest is math"),
        ("prm=1,", "got ''"),
        ("prm=0.7,prm=0.3", "--oracle names prm twice, got 'prm=0.7,prm=0.3'; add up"),
        ("prm=0", "must give prm a positive weight, got '0'; leave the name out"),
        ("prm=-1", "got '-1'"),
        ("prm=", "got ''"),
        ("prm=much", "got 'much'"),
        ("prm=nan", "got 'nan'"),
        ("prm=inf", "got 'inf'"),
    ],
)
def test_what_is_no_list_of_oracles_is_refused(spec, message):
    with pytest.raises(ValueError, match=message):
        parse_oracles(spec)

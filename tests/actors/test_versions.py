from actors.versions import VersionLog
from understand_r1_zero.types import VersionSpan


def test_without_a_publication_all_tokens_belong_to_the_current_version():
    log = VersionLog(3)
    log.open("a")
    assert log.close("a", [5, 7]) == [(VersionSpan(3, 5),), (VersionSpan(3, 7),)]


def test_tokens_before_and_after_publications_are_told_apart():
    log = VersionLog(3)
    log.open("a")
    log.publish(4, {"a": {0: 2, 1: 6}})
    log.publish(6, {"a": {0: 5, 1: 6}})
    assert log.close("a", [9, 8]) == [
        (VersionSpan(3, 2), VersionSpan(4, 3), VersionSpan(6, 4)),
        (VersionSpan(3, 6), VersionSpan(6, 2)),
    ]


def test_a_sample_that_had_finished_keeps_its_version():
    log = VersionLog(1)
    log.open("a")
    log.publish(2, {"a": {1: 4}})
    assert log.close("a", [3, 9]) == [
        (VersionSpan(1, 3),),
        (VersionSpan(1, 4), VersionSpan(2, 5)),
    ]


def test_a_request_whose_samples_had_all_finished_keeps_its_version():
    log = VersionLog(1)
    log.open("a")
    log.publish(2, {"b": {0: 4}})
    assert log.close("a", [3]) == [(VersionSpan(1, 3),)]


def test_a_sample_that_had_no_token_yet_is_of_the_new_version():
    log = VersionLog(1)
    log.open("a")
    log.publish(2, {"a": {0: 0}})
    assert log.close("a", [3]) == [(VersionSpan(2, 3),)]


def test_a_request_opened_after_the_publication_is_of_the_new_version():
    log = VersionLog(1)
    log.publish(2, {})
    log.open("a")
    assert log.close("a", [3]) == [(VersionSpan(2, 3),)]


def test_a_response_without_tokens_has_a_version():
    log = VersionLog(1)
    log.open("a")
    assert log.close("a", [0]) == [(VersionSpan(1, 0),)]


def test_a_dropped_request_is_forgotten():
    log = VersionLog(1)
    log.open("a")
    log.drop("a")
    log.drop("a")
    log.publish(2, {})
    assert log._marks == {}

"""Calls go to the least loaded server, outlive its death, and end at their deadline."""

import pytest

from protocols.errors import Busy
from runtime.calls import ATTEMPTS, QUEUE, Calls


def test_a_call_waits_for_a_server_and_goes_to_the_freest() -> None:
    calls = Calls()
    assert calls.submit(b"caller", 1, "act", b"", 9.0) == []
    [first] = calls.serve(b"small", "act", 1)
    assert (first.session, first.call.number) == (b"small", 1)
    calls.serve(b"large", "act", 3)
    [second] = calls.submit(b"caller", 2, "act", b"", 9.0)
    assert second.session == b"large"
    assert calls.serving() == {"act": {b"small": 1, b"large": 1}}


def test_capacity_is_never_exceeded_and_frees_the_next_in_line() -> None:
    calls = Calls()
    calls.serve(b"s", "act", 1)
    [running] = calls.submit(b"c", 1, "act", b"", 9.0)
    assert calls.submit(b"c", 2, "act", b"", 9.0) == []
    done, following = calls.finish(b"s", running.call.id)
    assert done is running.call
    assert [item.call.number for item in following] == [2]


def test_a_dead_servers_calls_go_to_another_in_their_order() -> None:
    calls = Calls()
    calls.serve(b"dies", "act", 2)
    for number in (1, 2):
        calls.submit(b"c", number, "act", b"", 9.0)
    calls.serve(b"lives", "act", 2)
    assigned, given_up = calls.drop(b"dies")
    assert [(item.session, item.call.number) for item in assigned] == [(b"lives", 1), (b"lives", 2)]
    assert given_up == []


def test_a_call_that_kills_its_servers_is_given_up() -> None:
    calls = Calls()
    calls.submit(b"c", 1, "act", b"", 9.0)
    for attempt in range(ATTEMPTS):
        server = f"s{attempt}".encode()
        assert len(calls.serve(server, "act", 1)) == 1
        _, given_up = calls.drop(server)
    assert [waiting.number for waiting in given_up] == [1]
    assert calls.serve(b"fresh", "act", 1) == []


def test_an_answer_from_a_server_that_lost_the_call_is_ignored() -> None:
    calls = Calls()
    calls.serve(b"old", "act", 1)
    [assigned] = calls.submit(b"c", 1, "act", b"", 9.0)
    calls.drop(b"old")
    [again] = calls.serve(b"new", "act", 1)
    assert calls.finish(b"old", assigned.call.id) == (None, [])
    assert calls.finish(b"new", again.call.id)[0] is not None


def test_the_same_number_of_the_same_caller_is_one_call() -> None:
    calls = Calls()
    calls.serve(b"s", "act", 8)
    assert len(calls.submit(b"c", 1, "act", b"", 9.0)) == 1
    assert calls.submit(b"c", 1, "act", b"", 9.0) == []


def test_late_calls_are_reported_once_and_free_their_server() -> None:
    calls = Calls()
    calls.serve(b"s", "act", 1)
    calls.submit(b"c", 1, "act", b"", 1.0)
    calls.submit(b"c", 2, "act", b"", 5.0)
    late, assigned = calls.expire(2.0)
    assert [waiting.number for waiting in late] == [1]
    assert [item.call.number for item in assigned] == [2]
    assert calls.expire(2.0) == ([], [])


def test_a_caller_that_left_is_forgotten() -> None:
    calls = Calls()
    calls.submit(b"c", 1, "act", b"", 9.0)
    calls.drop(b"c")
    assert calls.serve(b"s", "act", 1) == []


def test_too_many_waiting_calls_are_refused() -> None:
    calls = Calls()
    for number in range(QUEUE):
        calls.submit(b"c", number, "act", b"", 9.0)
    with pytest.raises(Busy, match="add an instance"):
        calls.submit(b"c", QUEUE, "act", b"", 9.0)

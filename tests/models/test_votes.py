"""Self-consistency: which requests are sampled, and which answer counts."""

import pytest

from services.models.engine import Generation, Request
from services.models.votes import ballots, majority

OPEN = Request(prompt="Next action?", image=b"", image_id="f" * 64)
CLOSED = Request(prompt="Done?", image=b"", image_id="f" * 64, choices=("yes", "no"))


def said(*words: str) -> list[Generation]:
    return [Generation(text=word, version=3, log_prob=-float(at)) for at, word in enumerate(words)]


def test_one_sample_is_the_request_itself() -> None:
    assert ballots(OPEN, 1) == [OPEN]
    (alone,) = said("find mug")
    assert majority(OPEN, [alone]) is alone


def test_every_vote_has_a_seed_of_its_own_and_the_same_one_again() -> None:
    votes = ballots(OPEN, 5)
    assert len({vote.seed for vote in votes}) == 5 and all(vote.temperature == 1.0 for vote in votes)
    assert ballots(OPEN, 5) == votes != ballots(CLOSED, 5)
    assert {vote.temperature for vote in ballots(Request(prompt="?", image=b"", image_id="a", temperature=0.7), 3)} == {
        0.7
    }


def test_the_commonest_answer_counts_and_of_equally_common_ones_the_first() -> None:
    assert majority(OPEN, said("find mug", "Find  cup", "find cup")).text == "Find  cup"
    assert majority(OPEN, said("b", "a", "a", "b")).text == "b"


@pytest.mark.parametrize(("words", "answer"), [(("yes", "no", "yes"), "yes"), (("no", "no", "yes"), "no")])
def test_between_two_choices_the_log_odds_are_those_of_the_votes(words: tuple[str, ...], answer: str) -> None:
    counted = majority(CLOSED, said(*words))
    assert counted.text == answer and counted.version == 3
    assert counted.log_odds is not None and (counted.log_odds > 0) == (answer == "yes")


def test_a_tie_is_a_no() -> None:
    counted = majority(CLOSED, said("yes", "no"))
    assert (counted.text, counted.log_odds) == ("no", 0.0)


def test_an_answer_that_is_not_wanted_counts_only_where_there_is_no_other() -> None:
    assert majority(OPEN, said("done", "Done", "find mug", "open fridge"), ("done",)).text == "find mug"
    assert majority(OPEN, said("done", "done"), ("done",)).text == "done"

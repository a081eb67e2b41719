"""Benchmarks compare ways in turns: each sees the same machine, and a turn that all found slow counts for none."""

from scripts.bench.paired import compare, medians, take_turns


def test_every_way_runs_once_a_turn_in_changing_order_and_is_made_ready_untimed() -> None:
    done: list[str] = []

    def begin() -> dict[str, object]:
        done.append("begin")
        return {name: lambda name=name: done.append(name) for name in ("bare", "adapter", "process")}

    took = take_turns(begin, turns=12, again=5)  # type: ignore[arg-type]
    assert {name: len(times) for name, times in took.items()} == {"bare": 12, "adapter": 12, "process": 12}
    assert [i for i, name in enumerate(done) if name == "begin"] == [0, 16, 32]
    rest = [name for name in done if name != "begin"]
    turns = [tuple(rest[i : i + 3]) for i in range(0, 36, 3)]
    assert all(len(set(turn)) == 3 for turn in turns) and len(set(turns)) > 1


def test_what_is_added_is_told_by_differences_within_turns() -> None:
    bare = [0.1, 0.2, 0.1, 9.0, 0.1]
    found = compare({"bare": bare, "process": [time + 0.01 for time in bare]}, base="bare", steps=10)
    assert (found["bare_ms"], found["process_ms"]) == (10.0, 11.0)
    assert found["process_added_percent"] == 10.0 and found["process_ci95"] == [10.0, 10.0]
    assert medians([found, found, found]) == {"bare_ms": 10.0, "process_ms": 11.0, "process_added_percent": 10.0}

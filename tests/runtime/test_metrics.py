"""Metrics: whole lines from many writers, finite figures, and a reader that survives what a crash leaves."""

from pathlib import Path
from threading import Thread

from runtime.metrics import Metrics, read_metrics
from runtime.runfolder import RunFolder


def test_lines_of_many_writers_do_not_mix(tmp_path: Path) -> None:
    run = RunFolder.create(tmp_path / "run")

    def write(name: str) -> None:
        metrics = Metrics(run, name)
        for i in range(50):
            metrics.write("step", number=i, text=name * 200)

    writers = [Thread(target=write, args=(f"w{i}",)) for i in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(10)
    rows = list(read_metrics(run.metrics_file))
    assert len(rows) == 200
    for name in ("w0", "w1", "w2", "w3"):
        assert [row["number"] for row in rows if row["instance"] == name] == list(range(50))


def test_what_is_not_finite_is_null(tmp_path: Path) -> None:
    run = RunFolder.create(tmp_path / "run")
    Metrics(run, "trainer-0").write("loss", value=float("nan"), other=float("inf"), good=0.5)
    (row,) = read_metrics(run.metrics_file)
    assert (row["value"], row["other"], row["good"]) == (None, None, 0.5)


def test_half_a_line_and_foreign_lines_are_passed_over(tmp_path: Path) -> None:
    run = RunFolder.create(tmp_path / "run")
    assert list(read_metrics(run.metrics_file)) == []
    Metrics(run, "a").write("one")
    with run.metrics_file.open("ab") as file:
        file.write(b'[1, 2]\n{"kind": "no time"}\n\xff\xfe\n{"time": 5, "kin')
    assert [row["kind"] for row in read_metrics(run.metrics_file)] == ["one"]

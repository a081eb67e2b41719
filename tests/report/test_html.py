"""The report: one page that opens anywhere, shows what was said as text, and stays small."""

import re
import tomllib
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import msgspec
import pytest

from protocols.codec import digest, seal
from protocols.messages import Estimate, Fault, Question
from runtime.blobs import BlobStore
from runtime.log import Append, Log
from runtime.metrics import Metrics
from runtime.runfolder import RunFolder
from runtime.settings import dump
from services.report.charts import chart
from services.report.frames import Frames
from services.report.html import render
from services.report.load import gather, load_state
from services.report.samples import Sample
from services.report.summary import EngineFigures
from services.report.templating import _environment  # pyright: ignore[reportPrivateUsage]
from services.settings import Settings
from tests.report.story import PICK, Story, two_rounds

ROOT = Path(__file__).parents[2]
LIMIT = 5 << 20
CURVE = '{% from "chart.html" import curve %}{{ curve(chart) }}'


def curve(points: list[tuple[int, Estimate]], *, name: str, series: str) -> str:
    """A chart as the report's template draws it."""
    return _environment().from_string(CURVE).render(chart=chart(points, name=name, series=series))


def folder(tmp_path: Path, story: Story) -> RunFolder:
    """A run folder that holds the story."""
    run = RunFolder.create(tmp_path / "a <run>")
    log = Log(run.log_file)
    log.write(
        [
            Append(d.topic, d.id, seal(d.topic, d.message, id=d.id, producer=d.producer, seq=d.offset))  # pyright: ignore[reportArgumentType]
            for d in story.told
        ]
    )
    log.close()
    blobs = BlobStore(run.blobs)
    for data in story.blobs.values():
        blobs.put(data)
    Metrics(run, "actor-0").write("engine", name="scripted", version="1", device="cpu", base_model="micro@1")
    run.write_settings(dump(Settings()))
    return run


def page(run: RunFolder) -> str:
    state = load_state(run)
    return render(gather(run, state, state.summary(run=str(run.path)), run.settings_file.read_text()))


class Checked(HTMLParser):
    """Raises where an element is closed that is not the open one; keeps the text and the addresses."""

    VOID = ("meta", "img", "line", "circle", "path", "polyline", "br")

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.addresses: list[str] = []
        self.words: list[str] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href", "xlink:href", "srcset")]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def test_a_report_is_one_well_formed_page_that_fetches_nothing(tmp_path: Path) -> None:
    text = page(folder(tmp_path, two_rounds()))
    checked = Checked(text)
    assert checked.addresses and all(address.startswith("data:image/") for address in checked.addresses)
    assert "<script" not in text and "@import" not in text and "url(" not in text
    assert len(text.encode()) <= LIMIT


def test_it_shows_curves_samples_questions_adapters_faults_and_settings(tmp_path: Path) -> None:
    checked = Checked(page(folder(tmp_path, two_rounds())))
    said = " ".join(checked.words)
    for part in (
        "Critic accuracy", "+20.0 points", "pick up the apple", "Which object is the robot holding?", "knife",
        "Its own answer turned a no into a success", "Hindsight found another instruction for it", "pick up the knife",
        "critic@2", "collapsed", "it collapsed", "quota = 300", "truncated: the world died",
    ):  # fmt: skip
        assert part in said, part


def test_it_shows_each_round_as_the_model_saw_itself(tmp_path: Path) -> None:
    shown = page(folder(tmp_path, two_rounds()))
    section = shown[shown.index("<h2>Self-feedback</h2>") :]
    first = re.search(r"<tbody>\s*<tr>(.*?)</tr>", section, re.DOTALL)
    assert first is not None
    cells = re.findall(r"<td>(.*?)</td>", first[1])
    assert [cell.split("%")[0] for cell in cells[1:7]] == ["33.3", "50.0", "50.0", "33.3", "", "83.3"]


def test_what_was_said_in_the_run_is_text_and_never_markup(tmp_path: Path) -> None:
    text = page(folder(tmp_path, two_rounds()))
    assert "the hand is &lt;full&gt;" in text and "<full>" not in text
    assert "a &lt;run&gt;" in text and "<run>" not in text


def test_every_text_of_a_run_is_escaped_and_reads_back(tmp_path: Path) -> None:
    odd = "<b onclick=\"x\">&amp; 'ü' {{ name }}</b>"
    task = msgspec.structs.replace(PICK, instruction=f"task {odd}")
    run = folder(tmp_path, two_rounds())
    state = load_state(run)
    found = gather(run, state, state.summary(run=f"/x/run {odd.replace('/', '')}"), f'text = "settings {odd}"')
    engine = EngineFigures(name=f"engine {odd}", version=odd, device=f"device {odd}", base_model=f"model {odd}")
    fault = Fault(service=f"service {odd}", what=f"what {odd}", why=f"why {odd}", do=f"do {odd}")
    question = Question(
        text=f"question {odd}", answer=f"answer {odd}", frame=digest(b""), version=0, expected=f"e {odd}"
    )
    known = next(sample.first for sample in found.samples if sample.first)
    verdict = msgspec.structs.replace(known, task=task, questions=(question,))
    samples: list[Sample] = []
    for sample in found.samples:
        steps = tuple(
            msgspec.structs.replace(s, action=f"action {odd}", error=f"error {odd}") for s in sample.trajectory.steps
        )
        samples.append(
            msgspec.structs.replace(
                sample,
                fate=f"fate {odd}",
                trajectory=msgspec.structs.replace(sample.trajectory, task=task, steps=steps, id=f"id {odd}"),
                first=verdict,
                again=(verdict,),
                dropped=f"dropped {odd}",
            )
        )
    evaluations = {
        key: msgspec.structs.replace(one, by_task={f"verb {odd}": one.score}, extra={f"extra {odd}": 0.5})
        for key, one in found.evaluations.items()
    }
    summary = msgspec.structs.replace(found.summary, engine=engine)
    text = render(
        msgspec.structs.replace(
            found, summary=summary, samples=tuple(samples), faults=(fault,), evaluations=evaluations
        )
    )
    checked = Checked(text)
    said = "".join(checked.words)
    for word in (
        "task", "settings", "engine", "device", "model", "service", "what", "why", "do", "question", "answer", "e",
        "action", "error", "fate", "id", "dropped", "verb", "extra",
    ):  # fmt: skip
        assert f"{word} {odd}" in said, word
    assert "<b onclick" not in text and f"run {odd.replace('/', '')}: SELU run" in said


def test_the_templates_are_in_the_package() -> None:
    kept = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]["package-data"]
    files = {file for pattern in kept["services.report"] for file in (ROOT / "services/report").glob(pattern)}
    assert files == {file for file in (ROOT / "services/report/templates").rglob("*") if file.is_file()} != set()


def test_the_charts_are_svg_with_a_point_and_an_interval_for_each_round(tmp_path: Path) -> None:
    charts = re.findall(r"<svg.*?</svg>", page(folder(tmp_path, two_rounds())), re.DOTALL)
    assert len(charts) == 2
    for drawn in charts:
        tree = ElementTree.fromstring(drawn)
        assert len(tree.findall(".//circle")) == len(tree.findall(".//path")) == 3


@pytest.mark.parametrize(
    ("shares", "ticks"), [([0.0, 0.05], ["0%", "30%"]), ([0.99, 1.0], ["70%", "100%"]), ([0.1, 0.95], ["0%", "100%"])]
)
def test_the_axis_holds_every_interval_and_is_never_too_narrow(shares: list[float], ticks: list[str]) -> None:
    points = [
        (i, Estimate(value=share, n=100, ci95=(max(0.0, share - 0.04), min(1.0, share + 0.04))))
        for i, share in enumerate(shares)
    ]
    tree = ElementTree.fromstring(curve(points, name="x", series="actor"))
    found = [text.text for text in tree.findall("text") if (text.text or "").endswith("%")]
    assert [found[0], found[-1]] == ticks
    assert all(20 <= float(circle.attrib["cy"]) <= 220 for circle in tree.findall(".//circle"))


def test_many_rounds_are_labelled_only_now_and_then() -> None:
    points = [(i, Estimate(value=0.5, n=9, ci95=(0.2, 0.8))) for i in range(100)]
    tree = ElementTree.fromstring(curve(points, name="x", series="actor"))
    assert len(tree.findall(".//circle")) == 100 and len(tree.findall(".//*[@class='value']")) < 20


def test_a_run_that_has_hardly_begun_has_a_report_too(tmp_path: Path) -> None:
    story = Story()
    story.round(1, "collect", 0, 0)
    said = " ".join(Checked(page(folder(tmp_path, story))).words)
    assert "not finished" in said and "has not been evaluated" in said


def test_frames_that_are_gone_or_damaged_leave_a_place_that_says_so(tmp_path: Path) -> None:
    run = folder(tmp_path, two_rounds())
    files = [file for file in run.blobs.rglob("*") if file.is_file()]
    for i, file in enumerate(files):
        if i % 2:
            file.unlink()
        else:
            file.write_bytes(b"rubbish")
    text = page(run)
    assert "data:image" not in text and "frame not kept" in text


def test_frames_stop_at_their_budget_and_large_ones_are_made_smaller(tmp_path: Path) -> None:
    import numpy as np
    from PIL import Image

    store = BlobStore(tmp_path)
    names: list[str] = []
    for seed in range(3):
        noise = np.random.default_rng(seed).integers(0, 255, (600, 600, 3), dtype=np.uint8)
        file = tmp_path / "noise.png"
        Image.fromarray(noise).save(file)
        names.append(store.put(file.read_bytes()))
    first = Frames(store).uri(names[0])
    assert first is not None and first.startswith("data:image/webp") and len(first) < 100_000
    tight = Frames(store, budget=2 * len(first))
    assert [tight.uri(name) is not None for name in (*names, names[0])] == [True, True, False, True]


def test_a_log_line_that_cannot_be_read_is_left_out_and_the_rest_is_shown(tmp_path: Path) -> None:
    run = folder(tmp_path, two_rounds())
    log = Log(run.log_file)
    log.write([Append("verdicts", "broken", b"\xc1 not msgpack")])
    log.close()
    with run.metrics_file.open("a") as metrics:
        metrics.write('{"time": 3, "kind": "engi')
    assert load_state(run).finished and "Critic accuracy" in page(run)

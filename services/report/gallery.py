"""Sample trajectories: what the actor saw and did, the last third-person frame, and what was said of it. Pure."""

from html import escape

from protocols.messages import Digest, Question, Verdict
from services.report.page import Material, chip, section
from services.report.samples import Sample

_NOTE = (
    "What the actor saw and did, then the last frame from outside, from which the critic judges. "
    "No truth of the simulator's is shown here: nobody who learns has seen it either."
)


def gallery(material: Material) -> str:
    if not material.samples:
        return section("Trajectories", "None was finished.")
    gone = ", ".join(map(str, material.summary.let_go.rounds))
    note = f"{_NOTE} Frames of rounds {gone} were let go to save space." if gone else _NOTE
    return section("Trajectories", note, *(_sample(sample, material.frames) for sample in material.samples))


def _sample(sample: Sample, frames: dict[Digest, str]) -> str:
    t = sample.trajectory
    strip = "".join(_figure(frames.get(step.frame), _caption(step.action, step.error)) for step in t.steps)
    end = {"done": "the actor said it was done", "limit": "the step limit was reached", "truncated": "it was cut short"}
    last = _figure(frames.get(t.final_frame) if t.final_frame else None, f"from outside, after {end[t.ended]}", "third")
    return (
        f'<article class="card sample"><header><h3>{escape(t.task.instruction)}</h3>{chip(sample.fate)}'
        f'<span class="id">{escape(t.id)}, actor@{t.actor_version}</span></header>'
        f'<div class="play"><div><div class="strip">{strip}</div><ul class="talk">{_talk(sample)}</ul></div>{last}'
        "</div></article>"
    )


def _caption(action: str, error: str | None) -> str:
    return escape(action) + (f"<em>refused: {escape(error)}</em>" if error else "")


def _figure(uri: str | None, caption: str, kind: str = "") -> str:
    picture = (
        f'<img class="frame" src="{uri}" alt="" loading="lazy">'
        if uri
        else '<div class="frame none">frame not kept</div>'
    )
    return f'<figure class="{kind}">{picture}<figcaption>{caption}</figcaption></figure>'


def _talk(sample: Sample) -> str:
    lines: list[str] = []
    if sample.first is not None:
        lines += _verdict(sample.first)
    if sample.relabel is not None and sample.first is not None and not sample.first.success:
        lines += [_question("hindsight", question) for question in sample.relabel.questions]
        task = sample.relabel.task
        found = chip("fulfils nothing else") if task is None else f"it did {chip(task.instruction, 'good')}"
        lines.append(_line("hindsight", found))
    for verdict in sample.again:
        said = _yes(verdict.judged)
        lines.append(
            _line("judges again", f"critic@{verdict.critic_version} on “{escape(verdict.task.instruction)}”: {said}")
        )
    if sample.dropped is not None:
        lines.append(_line("dropped", escape(sample.dropped)))
    return "".join(lines)


def _verdict(verdict: Verdict) -> list[str]:
    asked = f"critic@{verdict.critic_version}: is it done? {_yes(verdict.judged)} (log-odds {verdict.log_odds:+.2f})"
    lines = [_line("critic", asked)]
    lines += [_question("asks itself", question) for question in verdict.questions]
    stands = chip("success", "good") if verdict.success else chip("failure", "bad")
    turned = ", turned by its own answer" if verdict.flipped else ""
    lines.append(_line("so it is a", stands + turned))
    for finding in verdict.findings:
        holds = chip("holds", "good") if finding.holds else chip("does not hold", "bad")
        lines.append(
            _line("also finds", f"“{escape(finding.task.instruction)}” {holds} (by {finding.confidence:.1f} nats)")
        )
    return lines


def _question(who: str, question: Question) -> str:
    expected = (
        "" if question.expected is None else f' <span class="lead">(done would be: {escape(question.expected)})</span>'
    )
    return _line(who, f"<q>{escape(question.text)}</q> <b>{escape(question.answer)}</b>{expected}")


def _yes(judged: bool) -> str:
    return "<b>yes</b>" if judged else "<b>no</b>"


def _line(who: str, said: str) -> str:
    return f'<li><span class="who">{escape(who)}</span>{said}</li>'

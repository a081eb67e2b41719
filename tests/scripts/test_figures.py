"""What the launcher tells machines that watch: ready only when all can work, and figures without a hub too."""

import json
import socket
from http import HTTPStatus
from pathlib import Path

import pytest

from protocols.commands import Report
from protocols.messages import Health
from runtime.exposition import render
from runtime.settings import SettingsError
from runtime.storage import STORAGE_FULL
from runtime.streams import Delivery
from scripts.launch.figures import Sizes, families, health
from scripts.launch.plan import new_plan
from scripts.launch.preflight import problems
from scripts.launch.watch import Watch
from tests.exposition import parse

REPORT = Report(tail=7, lag={"a:b/c:trajectories": 3}, sessions={}, serving={}, counts={"refused_decode": 2})


def watch(*, ready: bool, disk_full: bool = False) -> Watch:
    plan = new_plan("scripted")
    watch = Watch(plan.settings, {process.instance: process.role for process in plan.processes})
    for process in plan.processes:
        if process.role != "hub":
            said = Health(role=process.role, instance=process.instance, pid=1, ready=ready, rss_bytes=1)
            watch.hear_live(Delivery("health", 0, "x", process.instance, 0.0, said), now=1.0)
    said = Health(role="hub", instance="hub", pid=1, ready=True, rss_bytes=1, gauges={STORAGE_FULL: float(disk_full)})
    watch.hear_live(Delivery("health", 0, "x", "hub", 0.0, said), now=1.0)
    return watch


def test_a_mesh_is_healthy_when_the_hub_answers_and_writes_and_every_service_is_ready() -> None:
    assert health(watch(ready=True), REPORT).status is HTTPStatus.OK
    for page in (
        health(watch(ready=False), REPORT),
        health(watch(ready=True), None),
        health(watch(ready=True, disk_full=True), REPORT),
    ):
        assert page.status is HTTPStatus.SERVICE_UNAVAILABLE and json.loads(page.body)["status"] == "unready"
    assert "critic-0" in json.loads(health(watch(ready=False), REPORT).body)["unready"]


def test_without_the_hub_the_rest_is_told_and_a_groups_name_may_have_colons() -> None:
    sizes = Sizes(log=1, free=2)
    away = parse(render(families(watch(ready=True), None, sizes)))
    assert away["selu_hub_up"].value() == 0 and "selu_published_total" not in away
    there = parse(render(families(watch(ready=True), REPORT, sizes)))
    assert there["selu_consumer_lag_messages"].value(group="a:b/c", topic="trajectories") == 3
    assert there["selu_rejected_total"].value(code="decode") == 2


def test_metrics_that_cannot_be_served_are_refused_before_the_start(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        (said,) = problems(new_plan("scripted", folder=tmp_path / "r", overrides=[f"metrics.port={port}"]))
    assert f"port {port} (Address already in use)" in said
    far = ["metrics.port=9464", "metrics.host=0.0.0.0"]
    (said,) = problems(new_plan("scripted", folder=tmp_path / "r", overrides=far))
    assert "set metrics.token_file" in said


@pytest.mark.parametrize("host", ["", "*", "http://127.0.0.1", "127.0.0.1:9464", "a" * 70, "küche", "300.0.0.1"])
def test_a_host_that_is_none_is_refused_before_the_start(tmp_path: Path, host: str) -> None:
    wanted = ["metrics.port=9464", f"metrics.host={host}"]
    (said,) = problems(new_plan("scripted", folder=tmp_path / "r", overrides=wanted))
    assert said.startswith("metrics.host ") and "give 127.0.0.1, ::1" in said


@pytest.mark.parametrize("key", ["metrics.port=70000", "retention.rounds=-1", "retention.gib=-0.5"])
def test_settings_out_of_bounds_are_refused(key: str) -> None:
    with pytest.raises(SettingsError, match="is not allowed"):
        new_plan("scripted", overrides=[key])

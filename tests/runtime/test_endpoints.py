"""Addresses as people type them: each wrong one is told in a sentence; listening and connecting differ."""

import socket
import threading
from collections.abc import Callable

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.endpoints import EndpointError, address, check_url, from_here, pair, resolve, to_connect, to_listen
from runtime.mesh import connect

WRONG = [
    ("", "is empty"),
    (" ", "has a space"),
    ("127.0.0.1:5555", "does not begin with tcp://"),
    ("gpu1:5555", "does not begin with tcp://"),
    ("localhost", "has no port"),
    ("5555", "has no host"),
    ("tcp://", "is empty"),
    ("tcp://gpu1", "has no port"),
    ("tcp://gpu1:", "has no port"),
    ("tcp://:5555", "has no host"),
    ("http://127.0.0.1:5555", "begins with 'http://'"),
    ("TCP://gpu1:5555", "begins with 'TCP://'"),
    ("udp://gpu1:5555", "begins with 'udp://'"),
    ("tcp:/gpu1:5555", "after host and port"),
    ("tcp://gpu1:0", "has port 0; a port is from 1 to 65535"),
    ("tcp://gpu1:70000", "has port 70000"),
    ("tcp://gpu1:" + "9" * 5000, "has port 999"),
    ("tcp://gpu1:-1", "has the port '-1'; a port is a number"),
    ("tcp://gpu1:hub", "has the port 'hub'; a port is a number"),
    ("tcp://gpu1:٥٥٥٥", "a port is a number"),
    ("tcp://gpu1:5555/", "has '/' after host and port"),
    ("tcp://gpu1:5555?x=1", "after host and port"),
    ("tcp://me@gpu1:5555", "has a user's name"),
    (" tcp://gpu1:5555", "has a space"),
    ("tcp://gpu 1:5555", "has a space"),
    ("tcp://gpu1:5555\n", "has a space"),
    ("tcp://gpu1\0:5555", "has a space or another character"),
    ("tcp://gpu1\udcff:5555", "has a space or another character"),
    ("tcp://küche:5555", "cannot be the name of a host"),
    ("tcp://gpu..1:5555", "cannot be the name of a host"),
    ("tcp://" + "a" * 64 + ":5555", "cannot be the name of a host"),
    ("tcp://300.0.0.1:5555", "is no IPv4 address"),
    ("tcp://127.1:5555", "is no IPv4 address"),
    ("tcp://::1:5555", "needs brackets"),
    ("tcp://[::1]", "has no port"),
    ("tcp://[::1:5555", "brackets that do not close"),
    ("tcp://[:::1]:5555", "is no IPv6 address"),
]
"""Neither a client nor a hub can use these."""


def one_sentence(error: EndpointError) -> bool:
    return "\n" not in str(error) and str(error).isprintable() and len(str(error)) < 400 and ": " in str(error)


@pytest.mark.parametrize(("endpoint", "said"), WRONG)
@pytest.mark.parametrize("use", [to_connect, pair])
def test_what_is_no_endpoint_is_refused_with_what_is_wrong_and_what_to_give(
    use: Callable[[str], object], endpoint: str, said: str
) -> None:
    with pytest.raises(EndpointError) as refused:
        use(endpoint)
    assert said in str(refused.value) and "give tcp://" in str(refused.value) and one_sentence(refused.value)


@pytest.mark.parametrize(
    "endpoint",
    ["tcp://gpu1:5555", "tcp://gpu-1.lab_2.example.org:80", "tcp://10.0.0.1:5555", "tcp://[::1]:5555", "ipc:///tmp/x",
     "tcp://[fe80::1%eth0]:5555", "inproc://x"],
)  # fmt: skip
def test_a_client_connects_to_names_and_addresses(endpoint: str) -> None:
    assert to_connect(endpoint) == endpoint


@pytest.mark.parametrize(
    ("endpoint", "here"),
    [
        ("tcp://*:5555", "tcp://127.0.0.1:5555"),
        ("tcp://0.0.0.0:5555", "tcp://127.0.0.1:5555"),
        ("tcp://[::]:5555", "tcp://[::1]:5555"),
        ("tcp://[0:0::0]:5555", "tcp://[::1]:5555"),
    ],
)
def test_all_devices_are_listened_at_and_not_connected_to(endpoint: str, here: str) -> None:
    assert from_here(pair(endpoint)[0]) == here
    if "0::0" not in endpoint:
        with pytest.raises(EndpointError, match=r"is where a hub listens on all its devices: give .*tcp://HOST:5555"):
            to_connect(endpoint)


@pytest.mark.parametrize("endpoint", ["ipc://", "ipc://" + "x" * 200, "ipc:///a\0b", "inproc://"])
def test_a_socket_needs_a_path_that_fits(endpoint: str) -> None:
    with pytest.raises(EndpointError, match="has no path, or one over 107 bytes"):
        to_connect(endpoint)


@pytest.mark.parametrize("endpoint", ["tcp://127.0.0.1:80", "tcp://127.0.0.1:65535", "ipc:///tmp/x"])
def test_a_hub_listens_at_two_ports_that_anybody_may_open(endpoint: str) -> None:
    with pytest.raises(EndpointError, match="leave it empty for ipc, or give tcp://"):
        pair(endpoint)


@pytest.mark.parametrize("text", [end.removeprefix("tcp://") for end, _ in WRONG if end.startswith("tcp://")])
def test_a_servers_address_has_a_host_and_a_port(text: str) -> None:
    with pytest.raises(EndpointError, match=r"give HOST:PORT") as refused:
        address(text)
    assert one_sentence(refused.value)
    assert address("[::1]:8080") == ("[::1]", 8080) and address("gpu1:8080") == ("gpu1", 8080)


@pytest.mark.parametrize("url", ["http://gpu1", "https://gpu1:8000/v1/", "http://[::1]", "http://[::1]:8000"])
def test_a_servers_url_may_lack_the_port_and_have_a_path(url: str) -> None:
    check_url(url)


@pytest.mark.parametrize(
    "url",
    ["", "gpu1:8000", "http://", "http:///v1", "http://:8000", "ftp://gpu1", "http://gpu1:0", "http://gpu1:99999",
     "http://gpu 1", "http://gpu1/v 1", "http://gpu1?key=1", "http://gpu1#x", "http://me:secret@gpu1", "http://::1:80",
     "http://küche", "http://gpu1:", "http://gpu1/\n", "http://gpu1\t:80"],
)  # fmt: skip
def test_what_is_no_servers_url_is_refused_in_a_sentence(url: str) -> None:
    with pytest.raises(EndpointError, match="give http://HOST:PORT or https://HOST:PORT") as refused:
        check_url(url)
    assert one_sentence(refused.value)


@pytest.mark.parametrize("host", ["", "*", "http://x", "localhost:9464", "a b", "a" * 70, "a\0b", "ö", "300.0.0.1"])
def test_a_host_to_listen_at_is_a_name_or_an_address(host: str) -> None:
    with pytest.raises(EndpointError, match="give 127") as refused:
        to_listen(host)
    assert one_sentence(refused.value)
    assert [to_listen(good) for good in ("127.0.0.1", "[::1]", "::1", "localhost")] == [
        "127.0.0.1", "::1", "::1", "localhost",
    ]  # fmt: skip


@given(st.text(alphabet=st.sampled_from("tcphi:/[]*.@ %0159aö\n\0\udcff-?#_"), max_size=30))
def test_any_text_is_taken_or_told_in_one_sentence(text: str) -> None:
    for use in (to_connect, pair, address, check_url, to_listen):
        for given_text in (text, f"tcp://{text}", f"http://{text}"):
            try:
                use(given_text)
            except EndpointError as error:
                assert one_sentence(error)


@pytest.mark.parametrize("error", [socket.gaierror(-2, "Name or service not known"), UnicodeError("label too long")])
def test_a_name_that_nobody_knows_is_told(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    with pytest.raises(EndpointError, match=r"no address is known for the host 'gpu1' .*(not known|too long)"):
        resolve("tcp://gpu1:5555")
    resolve("ipc:///tmp/x")


def test_a_name_service_that_does_not_answer_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = threading.Event()
    monkeypatch.setattr("runtime.endpoints.RESOLVE_SECONDS", 0.05)
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: asked.wait(10))
    with pytest.raises(EndpointError, match=r"the name service gave no answer within 0\.05 s"):
        resolve("tcp://gpu1:5555")
    asked.set()


@pytest.mark.anyio
async def test_connecting_refuses_before_it_tries() -> None:
    with anyio.fail_after(10), pytest.raises(EndpointError, match="give tcp://"):
        async with connect("127.0.0.1:5555", role="observer", instance="me"):
            pass

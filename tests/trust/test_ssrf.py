"""Webhooks against a resolver that lies: what is watched is the socket, at the very call that connects."""

import ipaddress
import socket
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import pytest

from housekeeping.outgoing import Unreachable, is_public, post

PUBLIC, PUBLIC6 = "93.184.216.34", "2606:2800:220:1:248:1893:25c8:1946"
PRIVATE = (
    "127.0.0.1", "10.1.2.3", "172.31.255.254", "192.168.0.10", "169.254.169.254", "100.64.1.1", "0.0.0.0", "0.1.2.3",
    "192.0.0.8", "192.0.2.1", "198.18.0.1", "224.0.0.251", "240.0.0.1", "255.255.255.255", "::", "::1", "fe80::1",
    "fd00:ec2::254", "::ffff:169.254.169.254", "64:ff9b::a9fe:a9fe", "2002:a9fe:a9fe::1", "ff02::1", "2001:db8::1",
    "64:ff9b:1::a9fe:a9fe", "::169.254.169.254", "::ffff:0:169.254.169.254", "200::1", "4000::1", "5f00::1",
)  # fmt: skip


@dataclass
class Net:
    """A resolver with a script, and a network in which nobody answers: it only writes down who was to be reached."""

    answers: list[Sequence[str]] = field(default_factory=list)
    asked: int = 0
    reached: list[str] = field(default_factory=list)

    def resolve(self, host: str, port: int, *_: Any, **__: Any) -> list[Any]:
        """Answer as the script says; when it is over, with its last line."""
        line = self.answers[min(self.asked, len(self.answers) - 1)]
        self.asked += 1
        try:
            literal = str(ipaddress.ip_address(host))
        except ValueError:
            return [self._entry(one, port) for one in line]
        return [self._entry(literal, port)]  # an address is what it is, whatever a resolver says

    def put_in_place(self, patch: pytest.MonkeyPatch) -> None:
        """Let every socket write down whom it was to connect to, and be refused."""

        def connect(_socket: socket.socket, address: Any) -> None:
            self.reached.append(str(address[0]))
            raise ConnectionRefusedError("nobody answers in this network")

        patch.setattr(socket.socket, "connect", connect)

    @staticmethod
    def _entry(address: str, port: int) -> tuple[Any, ...]:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        return (family, socket.SOCK_STREAM, 6, "", (address, port))


@pytest.fixture
def net(monkeypatch: pytest.MonkeyPatch) -> Net:
    """The network as the attacker would have it."""
    made = Net()
    monkeypatch.setattr(socket, "getaddrinfo", made.resolve)
    made.put_in_place(monkeypatch)
    return made


def _sent(url: str, times: int = 1) -> None:
    for _ in range(times):
        with suppress(Unreachable):
            post(url, b"{}", {}, timeout_seconds=1)


@pytest.mark.parametrize("private", PRIVATE)
def test_a_resolver_that_changes_its_answer(net: Net, private: str) -> None:
    """Whatever it says the second time, each POST asks once and connects to what it was told and has checked."""
    scripts: list[list[Sequence[str]]] = [
        [[PUBLIC], [private]], [[private], [PUBLIC]], [[PUBLIC, private]], [[private, PUBLIC6]],
    ]  # fmt: skip
    for script in scripts:
        net.answers, net.asked, before = script, 0, len(net.reached)
        _sent("https://hooks.example/in", times=len(script))
        asked_by_post = net.asked - (len(net.reached) - before)  # connecting to an address looks that address up too
        assert asked_by_post == len(script)
    assert net.reached == [PUBLIC, PUBLIC]
    assert all(is_public(ipaddress.ip_address(one)) for one in net.reached)


@pytest.mark.parametrize(
    "url",
    [
        "https://127.0.0.1/", "https://[::1]/", "https://[::ffff:10.0.0.1]/", "https://2130706433/", "https://0x7f.1/",
        "https://127.1/", "https://0177.0.0.1/", "https://localhost/", "https://public.example@127.0.0.1/",
        "https://127.0.0.1#@public.example/", "https://127.0.0.1\\@public.example/", "file:///etc/passwd",
        "gopher://127.0.0.1/", "https://[fe80::1%25eth0]/", "https://public.example:99999/", "https://[::1/",
        "https:///", "//127.0.0.1/", "https://１２７.0.0.1/",
    ],
)  # fmt: skip
def test_an_address_in_disguise(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    """However it is written, an address of ours is not connected to: here the real resolver reads it."""
    net = Net()
    net.put_in_place(monkeypatch)
    _sent(url)
    assert net.reached == []


def test_an_address_that_is_anybodys(net: Net) -> None:
    """A public address is connected to: the network above does see who is reached."""
    net.answers = [[PUBLIC6, PUBLIC]]
    _sent("https://hooks.example/in")
    assert net.reached == [PUBLIC6]

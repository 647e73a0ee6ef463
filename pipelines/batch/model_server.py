"""One process that owns the networks of a device for all workers of the local engine, and batches their windows.

Each worker has a connection and a thread here; the threads put their windows before one `Batcher` a network, which
computes what is waiting, of whatever files, as one batch. A task knows nothing of it: in a worker `load_model` gives a
network that computes here (`model_client.py`).
"""

from __future__ import annotations

import secrets
import threading
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection, Listener
from typing import Any

from vitapps.errors import VitappsError
from vitapps.options import RunOptions
from vitapps.pipelines.batch.child import Child
from vitapps.pipelines.batch.faults import fault_of
from vitapps.pipelines.batch.segments import Parcel, Receiver, Sender
from vitapps.pipelines.runtime.stream import Batcher
from vitapps.shared_backbones.engines.load import load_model
from vitapps.shared_backbones.engines.model import CompiledModel
from vitapps.shared_backbones.weights.cards import Card

BATCH = 8  # windows at most in a call


@dataclass(frozen=True, slots=True)
class Load:
    """Asks for the network of a card; the answer is a `Facts`."""

    card: Card
    options: RunOptions


@dataclass(frozen=True, slots=True)
class Run:
    """Asks a network, by number, for its answer to a parcel; the answer is a `Parcel`."""

    network: int
    inputs: Parcel


@dataclass(frozen=True, slots=True)
class Facts:
    """What a worker's copy of a network says of itself in the run record."""

    network: int
    values: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Used:
    """What the networks have done so far: windows, calls, calls with windows of several files."""

    windows: int
    calls: int
    mixed: int

    def __str__(self) -> str:
        return f"{self.windows} windows in {self.calls} calls, {self.mixed} of them with several files"


class ModelServer:
    """The server as the driver holds it. `address` is known before it listens: workers start at the same time."""

    def __init__(self, threads: int) -> None:
        key = secrets.token_bytes(16)
        self.address = (f"\0vitapps-{secrets.token_hex(8)}", key)  # a name of Linux that leaves no file
        self.child = Child("vitapps.pipelines.batch.model_server", [(threads, *self.address)])

    def used(self) -> Used | None:
        """What the networks have done; None when the server is gone or busy."""
        try:
            self.child.link.send(None)
            return self.child.link.recv() if self.child.link.poll(1.0) else None
        except (EOFError, OSError):
            return None


def main(link: Connection) -> None:
    """The life of the server. Takes (threads, address, key), then sends a `Used` for every message."""
    threads, address, key = link.recv()
    networks = _Networks(threads)
    with Listener(address, authkey=key) as listener:
        threading.Thread(target=_accept, args=(listener, networks), daemon=True).start()
        while True:
            try:
                link.recv()
                link.send(networks.used())
            except (EOFError, OSError):
                return  # the driver is gone


def _accept(listener: Listener, networks: _Networks) -> None:
    while True:
        try:
            connection = listener.accept()
        except OSError:
            return
        threading.Thread(target=_serve, args=(connection, networks), daemon=True).start()


def _serve(connection: Connection, networks: _Networks) -> None:
    """Answer one worker until it ends. What goes wrong is its answer."""
    receiver, sender = Receiver(), Sender()
    while True:
        try:
            asked = connection.recv()
        except (EOFError, OSError):
            return
        try:
            if isinstance(asked, Load):
                answer: Any = networks.load(asked.card, asked.options)
            else:
                answer = sender.put(networks.batcher(asked.network)(*receiver.take(asked.inputs)))
        except Exception as error:  # told to the worker, whose item it concerns
            answer = error if isinstance(error, VitappsError) else VitappsError(fault_of(error).message)
        try:
            connection.send(answer)
        except OSError:
            return


class _Networks:
    """Networks by card and options, each loaded once, each behind a batcher."""

    def __init__(self, threads: int) -> None:
        self._threads, self._lock = threads, threading.Lock()
        self._numbers: dict[tuple[str, str, RunOptions], int] = {}
        self._loaded: list[tuple[CompiledModel, Batcher]] = []

    def load(self, card: Card, options: RunOptions) -> Facts:
        options = replace(options, threads=self._threads)
        with self._lock:
            key = (str(card.folder), card.name, options)
            if key not in self._numbers:
                model = load_model(card, options)
                self._loaded.append((model, Batcher(model, batch=BATCH)))
                self._numbers[key] = len(self._loaded) - 1
            number = self._numbers[key]
        model = self._loaded[number][0]
        names = ("engine", "precision", "device", "threads", "card_name", "output_names", "reason")
        return Facts(number, {name: getattr(model, name) for name in names})

    def batcher(self, number: int) -> Batcher:
        return self._loaded[number][1]

    def used(self) -> Used:
        batchers = [batcher for _, batcher in self._loaded]
        return Used(
            sum(item.windows for item in batchers), sum(item.calls for item in batchers),
            sum(item.mixed for item in batchers),
        )  # fmt: skip

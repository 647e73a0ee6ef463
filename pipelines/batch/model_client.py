"""Networks that compute in the model server: what `load_model` gives in a worker that shares them."""

from __future__ import annotations

import os
import threading
import time
from multiprocessing.connection import Client, Connection
from typing import Any

from vitapps.errors import VitappsError
from vitapps.options import RunOptions
from vitapps.pipelines.batch.model_server import Facts, Load, Run
from vitapps.pipelines.batch.segments import Floats, Receiver, Sender
from vitapps.shared_backbones.engines.load import load_elsewhere
from vitapps.shared_backbones.engines.model import CompiledModel
from vitapps.shared_backbones.weights.cards import Card

Address = tuple[str, bytes]  # of a model server, and its key


def share_networks(address: Address) -> None:
    """From now on `load_model` of this process asks the server at `address`."""
    load_elsewhere(_Server(address).load)


def _connected(address: Address) -> Connection:
    """A worker may be up before the server listens; when that never does, the driver sees it and ends the worker."""
    while True:
        try:
            return Client(address[0], authkey=address[1])
        except (FileNotFoundError, ConnectionRefusedError):
            time.sleep(0.05)


class _Server:
    """A connection; threads of one worker take turns."""

    def __init__(self, address: Address) -> None:
        self._connection = _connected(address)
        self._lock, self._sender, self._receiver = threading.Lock(), Sender(), Receiver()

    def load(self, card: Card, options: RunOptions) -> CompiledModel:
        with self._lock:
            facts: Facts = self._ask(Load(card, options))

        def run(*inputs: Floats) -> tuple[Floats, ...]:
            with self._lock:
                return self._receiver.take(self._ask(Run(facts.network, self._sender.put(inputs))))

        return CompiledModel(run=run, **facts.values)

    def _ask(self, question: Load | Run) -> Any:
        try:
            self._connection.send(question)
            answer = self._connection.recv()
        except (EOFError, OSError):  # the server died, and a worker is of no use without it
            os._exit(1)
        if isinstance(answer, VitappsError):
            raise answer
        return answer

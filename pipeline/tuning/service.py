"""KerasTuner's gRPC service, both ends of it: its own servicer and client, over channels that fit a search."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Iterator
from concurrent import futures
from contextlib import contextmanager
from typing import Any

os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # before it is loaded: its own lines explain nothing to a user

import grpc
from keras_tuner.src import protos
from keras_tuner.src.distribute.oracle_chief import OracleServicer
from keras_tuner.src.distribute.oracle_client import OracleClient

from pipeline.errors import TuningError
from pipeline.tuning.address import Address

# gRPC lets two servers share a port, and then answers from either of them.
_SERVER = [("grpc.so_reuseport", 0)]
# A proxy is for the world outside. A chief that comes back is found within two seconds.
_CHANNEL = [("grpc.enable_http_proxy", 0), ("grpc.initial_reconnect_backoff_ms", 200)]
_CHANNEL += [("grpc.min_reconnect_backoff_ms", 1000), ("grpc.max_reconnect_backoff_ms", 2000)]
_THREADS = 8
_GONE = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.CANCELLED)


@contextmanager
def serving(oracle: Any, address: Address) -> Iterator[Address]:
    """Answers workers while it is open.

    Args:
      oracle: see `pipeline.tuning.chief.Chief`.
      address: to listen at; port 0: any that is free.

    Yields:
      The address with its port.

    Raises:
      TuningError: one cannot listen there.
    """
    _check_free(address)
    server = grpc.server(futures.ThreadPoolExecutor(_THREADS), options=_SERVER)
    protos.get_service_grpc().add_OracleServicer_to_server(OracleServicer(oracle), server)
    try:
        port = server.add_insecure_port(str(address))
    except RuntimeError as error:  # taken since it was looked at
        raise _cannot_listen(address, str(error)) from None
    server.start()
    try:
        yield Address(address.host, port)
    finally:
        server.stop(grace=None).wait()


class Client(OracleClient):
    """KerasTuner's client; a chief that does not answer is tried again for a while.

    Args:
      address: of the chief.
      name: of this worker.
      patience: seconds that a chief may be away.
    """

    def __init__(self, address: Address, name: str, patience: float) -> None:
        self._channel = grpc.insecure_channel(str(address), _CHANNEL)
        self.stub = _PatientStub(protos.get_service_grpc().OracleStub(self._channel), address, patience)
        self.tuner_id = name
        self.multi_worker, self.should_report = False, True

    def close(self) -> None:
        """Lets go of the connection."""
        self._channel.close()


class _PatientStub:
    """Calls that are tried again: KerasTuner's own wait for an hour, or fail at once when a connection breaks."""

    def __init__(self, stub: Any, address: Address, patience: float) -> None:
        self._stub, self._address, self._patience = stub, address, patience

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self._stub, name)

        def call(request: Any, **options: Any) -> Any:
            until = time.monotonic() + self._patience
            while True:
                try:
                    left = max(until - time.monotonic(), 0.1)
                    return method(request, wait_for_ready=True, timeout=left)
                except grpc.RpcError as error:
                    if error.code() not in _GONE:
                        raise _failed(self._address, error) from None
                    if time.monotonic() >= until:
                        raise _unreachable(self._address, self._patience) from None
                    time.sleep(0.1)

        return call


def _check_free(address: Address) -> None:
    """What the system says of an address; gRPC does not."""
    try:
        host = address.host.strip("[]")
        found = socket.getaddrinfo(host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        with socket.socket(*found[:3]) as trial:
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            trial.bind(found[4])
    except OSError as error:
        raise _cannot_listen(address, error.strerror or str(error)) from None


def _cannot_listen(address: Address, why: str) -> TuningError:
    return TuningError(
        f"The chief cannot listen at {address}: {why}.",
        expected="an address of this machine, and a port that is free",
        fix=f"Choose another port, or every address of this machine: 0.0.0.0:{address.port}.",
    )


def _unreachable(address: Address, seconds: float) -> TuningError:
    return TuningError(
        f"No chief answers at {address}; it was tried for {seconds:g} s.",
        expected="a search that runs there, and a port that is open between the two machines",
        fix=f"Start it: pipeline tune CONFIG --chief 0.0.0.0:{address.port}. If the search has ended, nothing is lost.",
    )


def _failed(address: Address, error: Any) -> TuningError:
    if error.code() == grpc.StatusCode.UNIMPLEMENTED:
        return TuningError(f"What answers at {address} is no chief of a search.", expected="pipeline tune --chief")
    return TuningError(
        f"The chief at {address} cannot go on: {error.details()}", fix="Mend it there; its search goes on from there."
    )

"""Chiefs of searches, and where they listen."""

from __future__ import annotations

import socket
from typing import Any

from pipeline.training.search import Search
from pipeline.tuning.address import Address
from pipeline.tuning.chief import Chief

LOCALHOST = Address("127.0.0.1", 0)


def chief_of(search: Search, **options: Any) -> Chief:
    return Chief(**{"about": {}, "has_time": lambda: True, "at_once": lambda workers: 64, **options}, search=search)


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])

"""Where the chief of a search listens for workers."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

from pipeline.errors import ConfigError

_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\]")


@dataclass(frozen=True)
class Address:
    """A host and a port; port 0 is any that is free.

    Example:
      >>> print(Address.parse("10.0.0.5:8000", "--worker"))
      10.0.0.5:8000
    """

    host: str
    port: int

    @classmethod
    def parse(cls, text: str, option: str) -> Address:
        """Reads HOST:PORT as people write it; an IPv6 address in brackets.

        Args:
          text: what came.
          option: of the command line, for the error.

        Raises:
          ConfigError: it is not that.
        """
        host, _, port = text.rpartition(":")
        if _HOST.fullmatch(host) and port.isascii() and port.isdigit() and 0 < int(port) < 2**16:
            return cls(host, int(port))
        raise ConfigError(
            f'{option} "{text}" is no address.',
            expected="HOST:PORT with a port from 1 to 65535, e.g. 10.0.0.5:8000",
            fix="A chief may listen everywhere: --chief 0.0.0.0:8000." if option == "--chief" else None,
        )

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


# Beside the config, because it changes nothing of what is made, and stands on a command line once.
_listening: ContextVar[Address | None] = ContextVar("listening", default=None)


@contextmanager
def listening_at(address: Address | None) -> Iterator[None]:
    """Searches that begin in here are for workers from elsewhere, at this address.

    >>> with listening_at(Address("0.0.0.0", 8000)):
    ...     print(listening())
    0.0.0.0:8000
    >>> print(listening())
    None
    """
    token = _listening.set(address)
    try:
        yield
    finally:
        _listening.reset(token)


def listening() -> Address | None:
    """Where workers from elsewhere will come; None: there are none."""
    return _listening.get()

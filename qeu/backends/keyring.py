"""Keys of providers and addresses of servers that one visitor may use; held in memory only.

A key leaves this object only to become the header of a request to its own provider. It is never
part of a settings object, a request's canonical form, a receipt, a log line or a link.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from urllib.parse import urlsplit

from qeu.core.errors import UsageError

GROQ_ADDRESS = "https://api.groq.com"
# Which variable of the environment holds whose key.
KEY_NAMES = {"groq": "GROQ_API_KEY", "server": "OPENAI_API_KEY"}
SERVERS_NAME = "QEU_SERVERS"
GROQ_ADDRESS_NAME = "GROQ_BASE_URL"


@dataclass(frozen=True)
class Keyring:
    """Keys by provider ("groq", "server", "server:LAB") and addresses by provider.

    A server without a key of its own is asked without one, except "server", which takes
    OPENAI_API_KEY: a key is never sent to an address that it was not given for.
    """

    keys: Mapping[str, str] = field(default_factory=dict, repr=False)
    addresses: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> "Keyring":
        """Read GROQ_API_KEY, OPENAI_API_KEY and QEU_SERVERS; raises UsageError for a bad address.

        QEU_SERVERS holds addresses, separated by commas: `http://localhost:8000/v1` is the
        provider "server", `lab=http://gpu:8000/v1` is "server:lab".
        """
        found = cls()
        if address := environ.get(GROQ_ADDRESS_NAME, "").strip():
            found = replace(found, addresses={"groq": checked_address(address)})
        for entry in environ.get(SERVERS_NAME, "").split(","):
            if entry := entry.strip():
                name, equals, address = entry.partition("=")
                name, address = (name.strip(), address) if equals else ("", entry)
                found = found.with_server(address, name)
        for provider, variable in KEY_NAMES.items():
            if key := environ.get(variable, "").strip():
                found = found.with_key(provider, key)
        return found

    @property
    def providers(self) -> tuple[str, ...]:
        """Providers that can be asked: Groq where a key is known, servers with an address."""
        groq = ("groq",) if "groq" in self.keys else ()
        return groq + tuple(sorted(name for name in self.addresses if name != "groq"))

    def key(self, provider: str) -> str | None:
        """The key to send to a provider, if there is one."""
        return self.keys.get(provider)

    def address(self, provider: str) -> str | None:
        """Where a provider answers; None for a server that nobody named."""
        return self.addresses.get(provider, GROQ_ADDRESS if provider == "groq" else None)

    def identity(self, provider: str) -> str:
        """A name for (address, key) that tells nothing of the key, to share a budget by."""
        text = f"{self.address(provider)}\n{self.key(provider) or ''}"
        return hashlib.sha256(text.encode()).hexdigest()

    def with_key(self, provider: str, key: str) -> "Keyring":
        """The same with a key added, or taken away where it is empty."""
        key = key.strip()
        if key and (not key.isascii() or not key.isprintable() or " " in key):
            raise UsageError(
                "This is not a key: it holds blanks or characters that no key has. "
                "Copy it again from the provider's page."
            )
        others = {name: value for name, value in self.keys.items() if name != provider}
        return replace(self, keys=others | ({provider: key} if key else {}))

    def with_server(self, address: str, name: str = "") -> "Keyring":
        """The same with a server added under "server" or "server:NAME"; UsageError if unusable."""
        if name and not (name.isascii() and name.replace("-", "").replace("_", "").isalnum()):
            raise UsageError(
                f"{name[:40]!r} cannot name a server. Use letters, digits, - and _ only."
            )
        provider = f"server:{name}" if name else "server"
        return replace(self, addresses={**self.addresses, provider: checked_address(address)})

    def without(self, provider: str) -> "Keyring":
        """The same without a provider's key and address."""
        return Keyring(
            {name: value for name, value in self.keys.items() if name != provider},
            {name: value for name, value in self.addresses.items() if name != provider},
        )


def checked_address(address: str) -> str:
    """An http(s) address without user, password, query or fragment; UsageError if it is not one."""
    address = address.strip().rstrip("/")
    try:
        parts = urlsplit(address)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname)
        usable = usable and (parts.port is None or parts.port > 0)
    except ValueError:
        usable = False
    if not usable:
        raise UsageError(
            f"{address[:80]!r} is not the address of a server. "
            "Write it as http://localhost:8000/v1."
        )
    if "@" in parts.netloc or parts.query or parts.fragment:
        raise UsageError(
            "A server's address must not hold a user, a password or a question mark. "
            "Give the key in its own field."
        )
    return address

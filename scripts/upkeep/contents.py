"""The contents of a log: a fold over its rows that finds damaged messages, and the blobs that messages name. No I/O."""

from collections import Counter

from protocols.codec import adapter_digest, unseal
from protocols.errors import ProtocolError, SchemaError
from protocols.messages import Adapter, AnyMessage, Digest
from runtime.log import Record
from scripts.upkeep.retention import Holdings
from services.settings import Settings

SHOWN = 3
"""Examples to show for one problem."""


class Contents:
    """Call `apply` with every row of the log, in order."""

    def __init__(self, settings: Settings) -> None:
        self.holdings = Holdings(settings)
        self.rows = 0
        self.topics: Counter[str] = Counter()
        self.adapters: dict[str, Adapter] = {}
        self.newer = 0
        self.broken: list[str] = []
        self.tail = 0

    def apply(self, record: Record) -> AnyMessage | None:
        """Adds a row. Returns its message, or None if it cannot be decoded."""
        self.rows += 1
        self.topics[record.topic] += 1
        self.tail = record.offset
        try:
            envelope = unseal(record.envelope)
        except SchemaError:
            self.newer += 1
            return None
        except ProtocolError as error:
            self.broken.append(f"offset {record.offset} on {record.topic}: {error}")
            return None
        if (envelope.topic, envelope.id) != (record.topic, record.id):
            self.broken.append(
                f"offset {record.offset}: the row says {record.topic} {record.id!r}, "
                f"its message {envelope.topic} {envelope.id!r}"
            )
        message = envelope.body
        self.holdings.apply(record.offset, record.topic, message)
        if isinstance(message, Adapter):
            name = f"{message.role}@{message.version}"
            self.adapters[name] = message
            if message.digest != adapter_digest(message.files):
                self.broken.append(f"offset {record.offset}: the files of {name} do not give its digest")
        return message

    def files(self) -> dict[Digest, str]:
        """The blobs of adapters' files, with the adapter's name for each."""
        return {digest: name for name, adapter in self.adapters.items() for digest in adapter.files.values()}


def shortly(items: list[str]) -> str:
    """The first few items as text, with the number of further ones."""
    more = f", and {len(items) - SHOWN} more" if len(items) > SHOWN else ""
    return "; ".join(items[:SHOWN]) + more

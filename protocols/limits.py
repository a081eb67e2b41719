"""Every bound of the protocol in one place. Sizes are bytes, times are seconds."""

KIB, MIB = 1024, 1024 * 1024

SCHEMA = 1
"""Version of the envelope and of every message. Raised when a field changes its meaning or a required one is added."""

COUNT = 2**63 - 1
"""The largest number, offsets among them: what 64 bits with a sign hold, as SQLite and most languages have it."""

MESSAGE_BYTES = 1 * MIB
"""One encoded envelope. Pixels and weights are blobs, so a message that is larger is a mistake."""

BATCH_BYTES = 8 * MIB
"""All envelopes of one fetch or pull reply together."""

BATCH_MESSAGES = 512
"""Envelopes in one fetch or pull reply."""

BLOB_BYTES = 2 * 1024 * MIB
"""One blob: a frame, or one file of an adapter."""

CHUNK_BYTES = 4 * MIB
"""One piece of a blob on the wire."""

FRAME_BYTES = CHUNK_BYTES + 64 * KIB
"""One ZeroMQ frame. ZeroMQ drops the connection of who announces a larger one, so senders check first."""

ID_CHARS = 200
"""A message id, producer, group or role name."""

TEXT_CHARS = 20_000
"""One instruction, question, answer, action or error text."""

STEPS = 200
"""Steps of one trajectory."""

CALL_SECONDS = 600.0
"""The longest deadline a call may ask for."""

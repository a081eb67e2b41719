"""All limits of the protocol. Sizes are in bytes, times in seconds."""

KIB, MIB = 1024, 1024 * 1024

SCHEMA = 1
"""Version of the envelope and all messages. It increases if a field changes its meaning or a required one is added."""

COUNT = 2**63 - 1
"""The largest integer, for example an offset: that of signed 64 bits, as in SQLite and most languages."""

MESSAGE_BYTES = 1 * MIB
"""One encoded envelope. Frames and weights are sent as blobs, so a larger message is a mistake."""

BATCH_BYTES = 8 * MIB
"""All envelopes of one fetch or pull reply together."""

BATCH_MESSAGES = 512
"""Envelopes in one fetch or pull reply."""

BLOB_BYTES = 2 * 1024 * MIB
"""One blob: a frame, or one file of an adapter."""

CHUNK_BYTES = 4 * MIB
"""One piece of a blob on the wire."""

FRAME_BYTES = CHUNK_BYTES + 64 * KIB
"""One ZeroMQ frame. ZeroMQ closes a connection on which a larger frame arrives, so senders check the size first."""

ID_CHARS = 200
"""A message id, producer, group or role name."""

TEXT_CHARS = 20_000
"""One instruction, question, answer, action or error text."""

STEPS = 200
"""Steps of one trajectory."""

CALL_SECONDS = 600.0
"""The longest timeout of a call."""

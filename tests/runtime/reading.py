"""Reading a topic in tests."""

from protocols.messages import Round
from runtime.mesh import Mesh


async def numbers(mesh: Mesh, count: int, *, start: int | str = "start") -> list[int]:
    """The numbers of so many rounds, in the order of the topic."""
    found: list[int] = []
    async with mesh.subscribe("rounds", start=start) as stream:  # type: ignore[arg-type]
        async for delivery in stream:
            assert isinstance(delivery.message, Round)
            found.append(delivery.message.number)
            if len(found) == count:
                return found
    raise AssertionError("the stream ended")

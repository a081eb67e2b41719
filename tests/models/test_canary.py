"""The fixed picture of the canary."""

import subprocess
import sys

from services.models.canary import SIZE, picture
from services.models.pictures import decode


def test_the_pixels_of_the_canary_are_a_fixed_gradient() -> None:
    found = decode(picture())
    assert found.size == (SIZE, SIZE)
    for x, y in ((0, 0), (1, 0), (0, 1), (63, 64), (100, 3), (127, 127)):
        assert found.getpixel((x, y)) == (2 * x % 256, 2 * y % 256, x + y)


def test_every_process_writes_the_same_bytes() -> None:
    program = "import sys; from services.models.canary import picture; sys.stdout.buffer.write(picture())"
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, timeout=60, check=True)
    assert said.stdout == picture()

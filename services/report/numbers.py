"""Formats numbers for people."""


def percent(share: float) -> str:
    return f"{100 * share:.1f}%"


def points(difference: float) -> str:
    """A difference in points of a hundred, with its sign: "+18.3 points"."""
    return f"{difference:+.1f} points"


def seconds(time: float) -> str:
    """A duration: "0.42 s", "12 s", "3 min 5 s", "1 h 20 min"."""
    if time < 10:
        return f"{time:.2f} s"
    whole = round(time)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def size(count: float) -> str:
    """A number of bytes in binary units."""
    for unit in ("bytes", "KiB", "MiB"):
        if count < 1024:
            return f"{count:.0f} {unit}"
        count /= 1024
    return f"{count:.1f} GiB"

"""What requirements.txt weighs when it is installed, without and with byte code."""

import subprocess
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
MEGABYTE = 1_000_000


@dataclass(frozen=True)
class Size:
    """Bytes: of all, of its byte code, and of its parts, largest first."""

    total: int
    compiled: int
    parts: list[tuple[str, int]]


def run() -> Size:
    """Install what is deployed into a folder of its own, and weigh it."""
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder)
        install = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--require-hashes"]
        command = [sys.executable, *install, "--target", str(target), "-r", str(ROOT / "requirements.txt")]
        subprocess.run(command, check=True, timeout=600)
        sizes: Counter[str] = Counter()
        compiled = 0
        for file in target.rglob("*"):
            if file.is_file():
                sizes[file.relative_to(target).parts[0]] += file.stat().st_size
                compiled += file.stat().st_size if file.suffix == ".pyc" else 0
    return Size(sum(sizes.values()), compiled, sizes.most_common(6))


def lines(found: Size) -> list[tuple[str, str, str]]:
    """What, measured, goal."""
    total, compiled = found.total / MEGABYTE, found.compiled / MEGABYTE
    return [
        ("installed packages of the app", f"{total:.1f} MB", "≤ 75 MB"),
        ("  of which byte code", f"{compiled:.1f} MB", ""),
        *((f"  {name}", f"{size / MEGABYTE:.1f} MB", "") for name, size in found.parts),
    ]


def main() -> None:
    for what, measured, goal in lines(run()):
        print(f"{what:<48} {measured:>12}  {goal}")


if __name__ == "__main__":
    main()

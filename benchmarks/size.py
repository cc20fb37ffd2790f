"""What requirements.txt weighs when it is installed, without and with byte code."""

import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).parents[1]
MEGABYTE = 1_000_000


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder)
        install = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--require-hashes"]
        command = [sys.executable, *install, "--target", target, "-r", ROOT / "requirements.txt"]
        subprocess.run(command, check=True, timeout=600)
        sizes: Counter[str] = Counter()
        compiled = 0
        for file in target.rglob("*"):
            if file.is_file():
                sizes[file.relative_to(target).parts[0]] += file.stat().st_size
                compiled += file.stat().st_size if file.suffix == ".pyc" else 0
    total = sum(sizes.values())
    print(f"installed  {total / MEGABYTE:.1f} MB, of which byte code {compiled / MEGABYTE:.1f} MB")
    for name, size in sizes.most_common(6):
        print(f"           {name:<28} {size / MEGABYTE:6.1f} MB")


if __name__ == "__main__":
    main()

"""Make ``.venv`` and install the pinned requirements: ``python3 setup_venv.py app|test``.

Only the standard library, and only syntax that an old Python parses too, so that an unfit machine gets
one sentence instead of a traceback. When nothing has changed it returns in a fraction of a second.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
VENV_PYTHON = VENV / "bin" / "python"
OLDEST, NEWEST = (3, 11), (3, 13)
REQUIREMENTS = {"app": ["requirements.txt"], "test": ["requirements.txt", "requirements-dev.txt"]}
TORCH_CPU_INDEX = "https://download.pytorch.org/whl/cpu"
BROWSERS = ("chromium", "chromium-browser", "google-chrome")


def main(goal: str) -> None:
    """Bring ``.venv`` to the state that *goal* (``app`` or ``test``) needs."""
    check_python()
    torch_index = os.environ.get("TORCH_INDEX", "")
    with one_at_a_time():
        if not is_whole(VENV) or (torch_index and torch_index != read(VENV / "torch-index")):
            make_venv()
        for name in REQUIREMENTS[goal]:
            install(ROOT / name, torch_index)


@contextlib.contextmanager
def one_at_a_time():
    """Of two makes at once, the second waits here for the first."""
    folder = os.open(ROOT, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)


def check_python() -> None:
    """Stop with one sentence on a Python that the pins do not cover, or one that cannot make a venv."""
    if not OLDEST <= sys.version_info[:2] <= NEWEST:
        sys.exit(
            "xfunc needs Python 3.11, 3.12 or 3.13, and this is %d.%d: name another one, for example "
            "`make app PYTHON=python3.12`." % sys.version_info[:2]
        )
    try:
        import ensurepip  # noqa: F401  Debian leaves it out until python3-venv is installed
    except ImportError:
        sys.exit("Python cannot make virtual environments here yet: run `sudo apt install python3-venv`, then again.")


def is_whole(venv: Path) -> bool:
    """Whether an earlier run finished installing there, and its Python still starts."""
    if not stamp_of("requirements.txt", venv).exists():
        return False
    supported = "import sys, pip; sys.exit(not %r <= sys.version_info[:2] <= %r)" % (OLDEST, NEWEST)
    try:
        return subprocess.run([str(venv / "bin" / "python"), "-c", supported], capture_output=True).returncode == 0
    except OSError:
        return False


def make_venv() -> None:
    """An empty ``.venv``, in place of whatever half-made one is there."""
    say("Making .venv with Python %d.%d …" % sys.version_info[:2])
    shutil.rmtree(VENV, ignore_errors=True)
    run([sys.executable, "-m", "venv", str(VENV)])


def install(requirements: Path, torch_index: str) -> None:
    """Install one pinned file, unless the stamp says that exactly this content is installed."""
    stamp, content = stamp_of(requirements.name, VENV), hashlib.sha256(requirements.read_bytes()).hexdigest()
    if read(stamp) == content:
        return
    stamp.unlink(missing_ok=True)  # cut short from here on, it is half-made
    if requirements.name == "requirements.txt":
        install_torch(requirements, torch_index)
    say("Installing the packages of %s (a minute or more the first time) …" % requirements.name)
    pip("-r", str(requirements))
    stamp.write_text(content)


def install_torch(requirements: Path, torch_index: str) -> None:
    """Install torch alone, so that its build is chosen here and the rest finds it satisfied.

    A given index is taken at its word. Otherwise a machine with an NVIDIA GPU gets the default (CUDA)
    build, and any other the CPU build, or the default one where the CPU index cannot be reached.
    """
    pin = next(line.split()[0] for line in requirements.read_text().splitlines() if line.startswith("torch=="))
    if torch_index:
        say("Installing %s from %s …" % (pin, torch_index))
        pip("--no-deps", "--index-url", torch_index, pin)
        (VENV / "torch-index").write_text(torch_index)
    elif has_nvidia_gpu():
        say("Installing %s with CUDA for the NVIDIA GPU here (several GB) …" % pin)
        pip(pin, "-c", str(requirements))
    else:
        say("Installing %s, CPU build (about 200 MB) …" % pin)
        quick = ["--no-deps", "--index-url", TORCH_CPU_INDEX, "--retries", "0", "--timeout", "5", pin]
        if not pip(*quick, must=False):
            say("The CPU build's index cannot be reached: taking the default build, which may be several GB …")
            pip("--no-deps", pin)


def has_nvidia_gpu() -> bool:
    """Whether ``nvidia-smi`` is there and answers."""
    found = shutil.which("nvidia-smi")
    return bool(found) and subprocess.run([found], capture_output=True).returncode == 0


def ensure_browser() -> None:
    """Chromium for the browser tests: present, or installed by apt where that is allowed."""
    if any(map(shutil.which, BROWSERS)):
        return
    if os.geteuid() == 0 and shutil.which("apt-get"):
        say("Installing chromium for the browser tests …")
        quiet = dict(os.environ, DEBIAN_FRONTEND="noninteractive")
        run(["apt-get", "update", "-qq"], must=False, env=quiet)
        run(["apt-get", "install", "-qq", "-y", "--no-install-recommends", "chromium"], must=False, env=quiet)
    if any(map(shutil.which, BROWSERS)):
        return
    say("The browser tests need Chromium: run `sudo apt install chromium`. The other tests run without it.")
    if os.environ.get("CI"):
        sys.exit(1)


def stamp_of(name: str, venv: Path) -> Path:
    """Where *venv* keeps the hash of the requirement file that it was installed from."""
    return venv / ("installed-%s.sha256" % name)


def pip(*arguments: str, must: bool = True) -> bool:
    """``pip install`` into ``.venv``, silent but for errors; none at all where failing is allowed."""
    command = [str(VENV_PYTHON), "-m", "pip", "install", "-qq", "--disable-pip-version-check", "--no-input"]
    return run(command + list(arguments), must=must, stderr=None if must else subprocess.DEVNULL)


def run(command: list, must: bool = True, **options) -> bool:
    """Run *command*; where it must succeed and does not, stop with what it was."""
    ok = subprocess.run(command, stdout=subprocess.DEVNULL, stdin=subprocess.DEVNULL, **options).returncode == 0
    if must and not ok:
        sys.exit("This step failed; the lines above say why: %s" % " ".join(command))
    return ok


def read(path: Path) -> str:
    """The text of a small file, or nothing where there is none."""
    return path.read_text() if path.exists() else ""


def say(sentence: str) -> None:
    """Tell what is going on before a step that takes a while."""
    print(sentence, flush=True)


if __name__ == "__main__":
    if sys.argv[1:] not in (["app"], ["test"]):
        sys.exit("usage: python3 setup_venv.py app|test")
    try:
        main(sys.argv[1])
        if sys.argv[1] == "test":
            ensure_browser()
    except KeyboardInterrupt:
        sys.exit("\nStopped before the end: the next `make` starts the installation over.")

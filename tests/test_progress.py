import os
import pty
import subprocess
import sys
import termios

from zoo.progress import progress, watched

CODE = (
    "import time\nfrom zoo import progress as module\nmodule.DELAY = 0\n"
    "print(sum(1 for _ in module.progress(range(3), label='thinking') if not time.sleep(0.15)))"
)


def test_nobody_watches_a_file(capsys, monkeypatch):
    monkeypatch.delenv("ZOO_PROGRESS", raising=False)
    assert not watched()
    assert list(progress(range(3), label="steps")) == [0, 1, 2]
    assert capsys.readouterr() == ("", "")


def test_the_environment_decides(monkeypatch):
    monkeypatch.setenv("ZOO_PROGRESS", "1")
    assert watched()
    monkeypatch.setenv("ZOO_PROGRESS", "0")
    assert not watched()


def test_a_terminal_shows_a_bar():
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, 80))
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    environment.pop("ZOO_PROGRESS", None)
    done = subprocess.run(
        [sys.executable, "-c", CODE], stderr=theirs, stdout=subprocess.PIPE, env=environment
    )
    shown = os.read(ours, 10_000).decode()
    os.close(theirs)
    os.close(ours)
    assert done.stdout.strip() == b"3"
    assert "thinking" in shown

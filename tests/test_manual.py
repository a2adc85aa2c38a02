"""The plugin manual's hooks are those of `zoo.hookspecs`, to the letter.

`python tests/test_manual.py` writes them anew.
"""

import inspect
import re
from pathlib import Path

from zoo import hookspecs

MANUAL = Path(__file__).parent.parent / "plugins" / "README.md"
BEGIN, END = "<!-- hooks -->\n", "<!-- /hooks -->"


def hooks():
    """Each hook's exact signature and the first paragraph of what it is."""
    written = []
    for name in (*hookspecs.HOOKS, *hookspecs.WORKSHOP):
        spec = getattr(hookspecs, name)
        signature = re.sub(r"'([^']*)'", r"\1", f"{name}{inspect.signature(spec)}")
        meaning = " ".join((inspect.getdoc(spec) or "").split("\n\n")[0].split())
        written.append(f"- `{signature}`  \n  {meaning}")
    return "\n" + "\n".join(written) + "\n"


def renewed(text):
    before, _, rest = text.partition(BEGIN)
    return before + BEGIN + hooks() + END + rest.partition(END)[2]


def test_the_manual_says_what_the_specs_say():
    text = MANUAL.read_text(encoding="utf-8")
    assert text == renewed(text), "run: python tests/test_manual.py"


if __name__ == "__main__":
    MANUAL.write_text(renewed(MANUAL.read_text(encoding="utf-8")), encoding="utf-8")

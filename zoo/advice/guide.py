"""The rules as the tables of README.md, which a test holds to them."""

from __future__ import annotations

from collections.abc import Sequence

from zoo.advice.rules import FAMILIES, LOW, RULES, Rule

BEGIN, END = "<!-- rules -->\n", "<!-- /rules -->"


def tables() -> str:
    """The table of rules and the table of families, in Markdown."""
    rules: list[tuple[str, ...]] = [
        ("wanted", "pretrained", "data", "compute", "px", "family", "why", "stands on")
    ]
    rules += [_rule(each) for each in RULES]
    families: list[tuple[str, ...]] = [
        ("family", "what", "log_prob", "passes for a picture", "control", "good for")
    ]
    families += [
        (f"`{name}`", it.what, it.log_prob, it.sampling, it.control, ", ".join(sorted(it.gives)))
        for name, it in FAMILIES.items()
    ]
    return f"{_markdown(rules)}\n## The families\n\n{_markdown(families)}"


def renewed(text: str) -> str:
    """The README's text with the tables as the rules have them."""
    before, _, rest = text.partition(BEGIN)
    return f"{before}{BEGIN}{tables()}{END}{rest.partition(END)[2]}"


def _rule(rule: Rule) -> tuple[str, ...]:
    pretrained = {None: "", True: "yes", False: "no"}[rule.pretrained]
    sides = {None: "", True: f"up to {LOW}", False: f"over {LOW}"}[rule.low]
    verb = {"train": "train", "finetune": "fine-tune"}[rule.do]
    families = ", ".join(f"`{each}`" for each in rule.families)
    low = f" Work at {LOW} px or less." if rule.work_low else ""
    return (
        " and ".join(rule.wants), pretrained, rule.data or "", rule.compute or "", sides,
        f"{verb} {families}", rule.reason + low, "; ".join(rule.stands_on),
    )  # fmt: skip


def _markdown(rows: Sequence[tuple[str, ...]]) -> str:
    lines = [rows[0], ("---",) * len(rows[0]), *rows[1:]]
    return "".join(f"| {' | '.join(row)} |\n" for row in lines)

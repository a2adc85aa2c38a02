"""The split that every model shares."""

from hashlib import sha256

from zoo.data.split import held_out


def test_held_out_follows_the_published_rule_and_its_shares():
    names = [f"concept-{i}" for i in range(4000)]
    expected = [
        sha256(f"noto:{name}".encode()).digest()[0] < 13 or sha256(name.encode()).digest()[0] < 5
        for name in names
    ]
    assert [held_out("noto", name) for name in names] == expected
    assert 0.05 < sum(expected) / len(expected) < 0.09


def test_a_held_out_concept_is_held_out_in_every_style():
    name = next(n for n in map(str, range(9999)) if sha256(n.encode()).digest()[0] < 5)
    assert all(held_out(style, name) for style in ("noto", "twemoji", "fxemoji", "a stranger's"))


def test_case_does_not_matter():
    assert all(held_out("NOTO", f"Apple-{i}") == held_out("noto", f"apple-{i}") for i in range(500))

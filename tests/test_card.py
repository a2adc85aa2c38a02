from dataclasses import FrozenInstanceError, replace

import pytest

from zoo.card import Card, Density, File, Metric, Training, version_key
from zoo.errors import CardError

CARD = Card(
    name="vqgan-f16",
    family="vq",
    version="1.0.0",
    license="mit",
    tags=("vector-quantization",),
    datasets=("icons",),
    config={"ch_mult": [1, 2], "eps": 1e-6, "nothing": None, "empty": [], "deep": {"no": "no"}},
    image=(3, 128, 128),
    latent=(8, 8),
    latent_kind="tokens",
    codes=1024,
    multiple=16,
    hooks=("encode", "decode"),
    log_prob=Density("lower bound", "8-bit pixels"),
    parts={"eyes": "vgg@2.0.0-rc.1"},
    sampling={"top_p": 0.9},
    files={"model.safetensors": File("ab" * 32, 12), "sheet.png": File("0" * 64, 3)},
    metrics=(Metric("PSNR", 23.5, "icons test", "zoo eval vqgan-f16 icons", unit="dB", count=512),),
    training=Training(data=("icons",), licences=("MIT",), images=10**6, seconds=1.5, machine="CPU"),
    paper="https://arxiv.org/abs/2012.09841",
    source={"layout": "taming-vqgan"},
    body="# vqgan-f16\n\n---\n\nText.\n",
)


def test_a_card_survives_its_text():
    assert Card.parse(CARD.text()) == CARD


def test_a_card_is_frozen_and_shares_nothing():
    with pytest.raises(FrozenInstanceError):
        CARD.name = "other"
    config = {"sizes": (1, 2)}
    card = replace(CARD, config=config)
    config["sizes"] = 3
    assert card.config == {"sizes": [1, 2]}


def test_windows_line_ends_and_a_byte_order_mark_are_read():
    assert Card.parse("\ufeff" + CARD.text().replace("\n", "\r\n")).files == CARD.files


def test_a_card_is_read_from_its_folder(tmp_path):
    (tmp_path / "README.md").write_text(CARD.text(), encoding="utf-8")
    assert Card.read(tmp_path) == Card.read(tmp_path / "README.md") == CARD
    assert CARD.bytes == 15


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("version: 1.0.0", "version: 1.0", r"zoo\.version: 1\.0 must be text.*quotes"),
        ("version: 1.0.0", "version: '1.0'", r"'1\.0' is not a semantic version like '1\.0\.0'"),
        ("version: 1.0.0", "version: 2024-01-01", r"zoo\.version: YAML reads .* as a date"),
        ("license: mit", "license: no", r"license: False must be text.*quotes"),
        ("license: mit\n", "", r"license: missing"),
        ("license:", "licence:", r"licence is no key of a card\. Did you mean 'license'\?"),
        ("codes:", "codez:", r"zoo\.codez is no key.*Did you mean 'codes'"),
        ("unit:", "units:", r"zoo\.metrics\[0\]\.units is no key.*Did you mean 'unit'"),
        ("  name: vqgan-f16\n", "", r"zoo\.name is missing"),
        ("name: vqgan-f16", "name: VQGAN f16", r"zoo\.name: 'VQGAN f16' must be lower-case"),
        ("[3, 128, 128]", "[3, 128]", r"zoo\.image: \[3, 128\] must be a list of 3"),
        ("[3, 128, 128]", "[3, 128, 0]", r"zoo\.image"),
        ("[3, 128, 128]", "[3, 128.0, 128]", r"zoo\.image\[1\]: 128\.0 must be a whole number"),
        ("codes: 1024", "codes: true", r"zoo\.codes: True must be a whole number"),
        ("codes: 1024", "codes: null", r"latent_kind is tokens.*codes must be given"),
        ("latent_kind: tokens", "latent_kind: token", r"'token' is none of.*mean 'tokens'"),
        ("hooks: [encode", "hooks: [encodes", r"'encodes' is none of.*mean 'encode'"),
        ("kind: lower bound", "kind: bound", r"zoo\.log_prob\.kind: 'bound' is none of exact"),
        ("vgg@2.0.0-rc.1", "vgg", r"zoo\.parts\.eyes: 'vgg' must be name@version"),
        ("abab", "ab", r"sha256: .* must be 64 lower-case hex digits"),
        ("paper: h", "paper: 'h", r"the front matter is not YAML that a card may hold: line \d+"),
        ("sheet.png", "../sheet.png", r"'\.\./sheet\.png' must be a plain path"),
        ("sheet.png", "/sheet.png", r"must be a plain path"),
        ("sheet.png", "a\\\\b.png", r"must be a plain path"),
        ("size: 12", "size: '12'", r"size: '12' must be a whole number"),
        ("  schema: 1", "  schema: 2", r"zoo\.schema: 2; this version of genzoo reads schema 1"),
        ("  schema: 1", "  schema: 1\n  schema: 1", r"line \d+: the key 'schema' stands twice"),
        ("eps: 1.0e-06", "eps: 1e-6", r"zoo\.config\.eps: 1e-6 as text; write 1\.0e-6"),
        ("ch_mult: [1, 2]", "ch_mult: &a [*a]", r"YAML alias"),
        ("ch_mult: [1, 2]", "ch_mult: [!!python/name:os.system '']", r"is not YAML that a card"),
        (
            "ch_mult: [1, 2]",
            "ch_mult: {1: 2}",
            r"the key 1 under zoo\.config\.ch_mult must be text",
        ),
        ("  config:", "  config: 3\n  x:", r"zoo\.\w+"),
        ("---\n", "", r"no YAML front matter"),
        ("zoo:", "zoos:", r"no block `zoo:`.*zoo convert"),
    ],
)
def test_a_wrong_card_is_told_where_and_what(old, new, words):
    text = CARD.text()
    assert old in text
    with pytest.raises(CardError, match=f"(?s)^there/README.md: .*{words}"):
        Card.parse(text.replace(old, new, 1), "there/README.md")


def test_a_hash_of_digits_that_yaml_reads_as_a_number_is_refused():
    text = CARD.text().replace(f"'{'0' * 64}'", "0" * 64)
    with pytest.raises(CardError, match=r"sha256: 0 must be text.*quotes"):
        Card.parse(text)


def test_a_card_that_cannot_be_read_names_the_file(tmp_path):
    with pytest.raises(CardError, match=r"README\.md: cannot read the card"):
        Card.read(tmp_path)
    (tmp_path / "README.md").write_bytes(b"---\n\xff\n---\n")
    with pytest.raises(CardError, match=r"README\.md: cannot read the card"):
        Card.read(tmp_path)


def test_an_endless_card_is_refused():
    with pytest.raises(CardError, match=r"characters; a card has at most"):
        Card.parse(CARD.text() + "x" * (1 << 20))


@pytest.mark.parametrize("deep", ["[" * 50_000, "{a: " * 50_000, "\n" + "- " * 50_000 + "a"])
def test_a_card_so_deep_that_its_parser_would_crash_is_refused(deep):
    with pytest.raises(CardError, match=r"^x: the front matter has more than 5000 brackets"):
        Card.parse(f"---\nzoo: {deep}\n---\n", "x")


def test_a_deep_card_is_refused_without_a_crash():
    with pytest.raises(CardError, match=r"^x: the front matter is not YAML that a card may hold"):
        Card.parse(f"---\nzoo: {'[' * 4_000}{']' * 4_000}\n---\n", "x")


def test_versions_sort_as_versions():
    order = [
        "0.9.0",
        "1.0.0-alpha",
        "1.0.0-alpha.1",
        "1.0.0-rc.2",
        "1.0.0-rc.10",
        "1.0.0",
        "1.10.0",
    ]
    assert sorted(set(order), key=version_key) == order
    for wrong in ("1.0", "v1.0.0", "01.0.0", "1.0.0-"):
        with pytest.raises(CardError, match="semantic version"):
            version_key(wrong)

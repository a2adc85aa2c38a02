from dataclasses import replace

from zoo import card_table
from zoo.card import Card, File, Metric
from zoo.tables import headlines


def test_the_table_has_a_row_a_card():
    card = Card(
        name="vq",
        family="vq",
        version="1.0.0",
        license="mit",
        config={},
        image=(3, 128, 128),
        latent=(8, 8),
        latent_kind="tokens",
        codes=1024,
        files={"model.safetensors": File("0" * 64, 3_456_789), "sheet.png": File("1" * 64, 211)},
        metrics=(Metric("PSNR", 23.456, "icons test", "zoo eval vq", unit="dB"),),
    )
    assert card_table([card]) == (
        "| model | pictures | family | takes | latents | size | license | measured |\n"
        "| --- | --- | --- | --- | --- | --- | --- | --- |\n"
        '| [vq@1.0.0](model_cards/vq/README.md) | <img src="model_cards/vq/sheet.png" width="200" alt=""> '
        "| vq | 3x128x128 | 8x8 tokens of 1024 | 3.5 MB "
        "| mit | PSNR 23.46 dB (icons test) |\n"
    )


def test_a_card_is_known_by_its_quality_first():
    names = (
        "seconds a picture",
        "bits per dimension, t = 99 .. 1",
        "PSNR",
        "bits per dimension",
        "PSNR",
        "bits per dimension (draws=16)",
        "FD-EfficientNetLite2 of samples",
    )
    metrics = tuple(Metric(name, float(at), "icons", "zoo eval") for at, name in enumerate(names))
    card = Card(
        name="vq", family="vq", version="1.0.0", license="mit", config={}, image=(3, 8, 8), metrics=metrics
    )  # fmt: skip
    assert [each.value for each in headlines(card)] == [6, 3, 5, 2]
    assert headlines(replace(card, metrics=metrics[:2])) == metrics[:2]

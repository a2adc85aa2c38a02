"""Train a vocabulary on a set's captions: python -m zoo_dalle.vocabulary --data icons --size 2048 -o tokenizer.json."""

from __future__ import annotations

import json
from pathlib import Path

import click

from zoo.data import open_set
from zoo.data.captions import captions_of
from zoo.nn.text import Vocabulary, trained


@click.command()
@click.option("--data", required=True, help="A built set or a folder of pictures with captions.")
@click.option("--pixels", type=int, default=None, help="The size at which the set is built.")
@click.option("--split", default="train", show_default=True)
@click.option("--size", type=int, default=2048, show_default=True, help="Pieces at most.")
@click.option("-o", "--out", type=click.Path(path_type=Path), default=Path("tokenizer.json"))
def main(data: str, pixels: int | None, split: str, size: int, out: Path) -> None:
    """Train a byte-pair vocabulary on a set's captions and write it for the `tokenizers` library."""
    captions = captions_of(open_set(data, split, pixels))
    content = trained(captions, size)
    out.write_text(
        json.dumps(content, ensure_ascii=False, separators=(",", ":")) + "\n", encoding="utf-8"
    )
    words = Vocabulary(content, 10**6)
    lengths = sorted(len(words.encode(each)) for each in captions)
    most, half = lengths[-1], lengths[len(lengths) // 2]
    click.echo(
        f"{out}: {words.size} pieces from {len(captions)} captions of {half} tokens in the middle and "
        f"{most} at most. A model's `text: {{length: ...}}` should be at least {most}."
    )


if __name__ == "__main__":
    main()

"""What makes an autoencoder's latents about N(0, 1), from data: python -m zoo_vq.autoencoder.scale NAME --data icons.

    shift = mean z,    scale = 1 / std z        over draws z of q(z | x) for all pictures of a set

(Rombach et al., 2021, arXiv:2112.10752, appendix G, where shift is 0.) Both go into the card's config.
"""

from __future__ import annotations

import torch
from click import argument, command, echo, option

from zoo.model import Model


@command()
@argument("model")
@option("--data", required=True, help="A built set or a folder of pictures.")
@option("--size", type=int, default=None, help="Pixels a side; the model's own if not given.")
@option("--split", default="train", show_default=True)
@option("--count", type=int, default=None, help="The first so many pictures; all if not given.")
def main(model: str, data: str, size: int | None, split: str, count: int | None) -> None:
    """Print the mean and the deviation of a model's latents, and the config that they ask for."""
    import zoo

    loaded = zoo.load(model)
    mean, deviations = measured(loaded, data, split, size or loaded.card.image[-1], count)
    total = float(torch.tensor(deviations).square().mean().sqrt())
    echo(
        f"mean {mean:.4f}, deviation {total:.4f}, of the channels "
        f"{', '.join(f'{each:.3f}' for each in deviations)}\nconfig: {{scale: {1 / total:.4f}}}"
    )


def measured(
    model: Model, data: str, split: str, size: int, count: int | None = None
) -> tuple[float, list[float]]:
    """The mean of all latents drawn (seed 0), and the root mean square about it of each channel."""
    from zoo.data import collate, open_set

    pictures = open_set(data, split, size)
    first = range(min(count or len(pictures), len(pictures)))
    total, squares, numbers = torch.zeros(()), torch.zeros(()), 0
    for start in range(0, len(first), 32):
        images = collate([pictures[i] for i in first[start : start + 32]])["images"]
        z = model.encode(images, seed=start).double()  # (B, D, h, w)
        total, squares = total + z.sum((0, 2, 3)), squares + z.square().sum((0, 2, 3))
        numbers += z.numel() // z.shape[1]
    mean = float(total.mean() / numbers)
    about = squares / numbers - 2 * mean * total / numbers + mean**2  # (D,)
    return mean, about.sqrt().tolist()


if __name__ == "__main__":
    main()

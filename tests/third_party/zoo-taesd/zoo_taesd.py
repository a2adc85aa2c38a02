"""Tiny autoencoders as diffusers has them (AutoencoderTiny; Bohan, "TAESD", 2023): a library's model as a family.

    z = E(x), x = D(z)     deterministic; sides shrink by 2 with every block but the first

`adopt` takes checkpoints of diffusers as they are: `zoo.load("taesd/", family="taesd")`. The library is imported when a
net is built.
"""

from inspect import signature

from zoo import Adoption, hookimpl

KEYS = ("encoder.layers.0.weight", "decoder.layers.0.weight")  # of AutoencoderTiny alone


@hookimpl
def build(config):
    from diffusers import AutoencoderTiny

    return AutoencoderTiny(**config)


@hookimpl
def encode(net, images):
    return net.encode(images).latents  # (B, c, h, w)


@hookimpl
def decode(net, latents):
    return net.decode(latents).sample  # (B, C, H, W)


@hookimpl
def adopt(keys, config):
    if (
        not all(key in keys for key in KEYS)
        or (config or {}).get("_class_name") != "AutoencoderTiny"
    ):
        return None
    from diffusers import AutoencoderTiny

    taken = signature(AutoencoderTiny).parameters  # its configuration file holds more
    own = {key: value for key, value in config.items() if key in taken}
    shrink = 2 ** (len(own["encoder_block_out_channels"]) - 1)
    side = 64 * shrink
    return Adoption(
        layout="diffusers-autoencoder-tiny",
        config=own,
        rename={key: key for key in keys},
        image=(own["in_channels"], side, side),
        latent=(own["latent_channels"], 64, 64),
        multiple=shrink,
    )

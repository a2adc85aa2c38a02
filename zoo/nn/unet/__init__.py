"""U-Nets that denoise: `UNet` and what it is made of. See `zoo.nn.unet.net`."""

from zoo.nn.unet.blocks import pieces as pieces
from zoo.nn.unet.net import UNet as UNet
from zoo.nn.unet.options import Attending as Attending
from zoo.nn.unet.options import Residual as Residual
from zoo.nn.unet.paths import Ascent as Ascent
from zoo.nn.unet.paths import Descent as Descent

"""ControlNets: what a frozen U-Net is told by a second encoder. See `zoo.nn.control.net`."""

from zoo.nn.control.hint import Hint as Hint
from zoo.nn.control.net import Control as Control
from zoo.nn.control.net import ControlNet as ControlNet
from zoo.nn.control.net import Controls as Controls

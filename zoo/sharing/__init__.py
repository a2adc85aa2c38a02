"""Models between machines: pushed, listed, mirrored, locked, bundled, healed.

`zoo.hub` turns a name into a folder on this machine, from a hub if need be; these modules do the
rest of what hubs are for. Metadata go through huggingface_hub, bytes through `zoo.hub.download`.
"""

from zoo.hub.pulling import pull as pull
from zoo.sharing.pushing import push as push

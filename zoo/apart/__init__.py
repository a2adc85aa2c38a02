"""What reads a stranger's file in a process of its own, and tells the parent only where the tensors lie.

`zoo.foreign` starts `zoo.apart.child` for every pickle (both of torch's formats) and for flax's MessagePack. The child
has the open file as its standard input and nothing else: `zoo.apart.guard` takes the network, other processes, the file
system and, where the system can, memory and time away before the first byte is read. It answers with one JSON document
(`zoo.apart.wire`): names, shapes, types and byte spans, plain data, and inert stand-ins for the rest. The parent checks
every number again (`zoo.foreign.rebuilding`) and maps the spans itself, so no tensor is copied between the two.

Nothing here imports torch or anything else that is not Python's own: the child starts in a fraction of the time that
`import torch` takes, without site-packages.
"""

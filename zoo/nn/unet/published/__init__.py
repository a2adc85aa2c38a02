"""How published files call the tensors of a U-Net, and what their shapes and configurations say of it.

Plain tables and readings that more than one family's layouts share: each gives options of `zoo.nn.unet.UNet` and the
names of tensors, as theirs -> ours.
"""

"""The devices of one process or of many that share the work, and what the processes agree upon."""

from reparam.devices.mesh import Devices, devices
from reparam.devices.processes import ALONE, Share, join, share
from reparam.devices.use import ONE_DEVICE, apart, in_use, using

__all__ = ["ALONE", "ONE_DEVICE", "Devices", "Share", "apart", "devices", "in_use", "join", "share", "using"]

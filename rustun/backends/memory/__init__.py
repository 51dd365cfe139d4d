"""In-memory twins of every contract of `base`, in virtual time: hours of faults in a second, the same each time.

reactor  VirtualReactor: time passes only when nothing is left to do
network  MemoryNetwork: TCP with latency, small buffers, short and refused writes, FIN, RST, cut links
monitor  MemoryNetworkMonitor: says that a host's network has changed when a test says so
host     MemoryTun, MemoryHostNetwork: a device to feed by hand, and the real plan over a host that is made up
"""

from rustun.backends.memory.host import MemoryHostNetwork, MemoryTun
from rustun.backends.memory.monitor import MemoryNetworkMonitor
from rustun.backends.memory.network import MemoryListener, MemoryNetwork, MemoryStream
from rustun.backends.memory.reactor import VirtualReactor

__all__ = [
    "MemoryHostNetwork",
    "MemoryListener",
    "MemoryNetwork",
    "MemoryNetworkMonitor",
    "MemoryStream",
    "MemoryTun",
    "VirtualReactor",
]

"""Items: the packets inside a data record (docs/protocol.md, section 4).

    0       1        3        5
    | flags | segment| length | IP packet ...
       u8      u16      u16       length bytes, big endian

`flags` bit 0: the TCP or UDP checksum is missing. `segment`: cut into packets that carry this many bytes each, 0 for a
packet that is complete. A run is one or more items back to back, as they travel and as they are queued.
"""

from __future__ import annotations

import struct
from typing import Final

ITEM: Final = struct.Struct("!BHH")
ITEM_HEADER_BYTES: Final = ITEM.size
FLAG_CHECKSUM_MISSING: Final = 1
MIN_SEGMENT_BYTES: Final = 500  # smaller ones would let one record make thousands of packets

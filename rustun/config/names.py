"""Names that people give: identities, clusters, devices."""

from __future__ import annotations

from typing import Final

from rustun.config.findings import Complaint
from rustun.printable import quoted

MAX_NAME_BYTES: Final = 255  # fits the first frame and one line of a table
MAX_DEVICE_BYTES: Final = 15  # IFNAMSIZ with its final zero byte


def parse_name(text: str) -> str:
    """Return an identity or a cluster: 1 to 255 bytes of printable UTF-8. Raises: Complaint."""
    if not text:
        raise Complaint("is empty", "give it a name")
    return parse_label(text)


def parse_label(text: str) -> str:
    """Return a text for people, which may be empty. Raises: Complaint: over 255 bytes, or not printable."""
    if not text.isprintable():
        raise Complaint(f"{quoted(text)} holds a control or invisible character", "use printable characters only")
    if len(text.encode("utf-8")) > MAX_NAME_BYTES:
        raise Complaint(f"{quoted(text)} is over {MAX_NAME_BYTES} bytes long", "choose a shorter one")
    if text != text.strip():
        raise Complaint(f"{quoted(text)} has spaces around it", f"write {quoted(text.strip())}")
    return text


def parse_device(text: str) -> str:
    """Return an interface name; one `%d` lets the kernel number it. Raises: Complaint."""
    usable = text.isascii() and text.isprintable() and not set(text) & set(" /:") and text not in (".", "..", "")
    if not usable or len(text) > MAX_DEVICE_BYTES or text.replace("%d", "", 1).count("%"):
        raise Complaint(
            f"{quoted(text)} is not an interface name", f"1 to {MAX_DEVICE_BYTES} letters and digits, as rustun0"
        )
    return text

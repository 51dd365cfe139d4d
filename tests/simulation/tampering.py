"""What a man in the middle can do to one frame, and to which frame: the rows and the columns of a table.

An action is a generator: it is made with the frame that was chosen, yields what is sent instead, and gets each frame
that follows in the same direction until it ends. A moment says which frame is chosen, by what anybody can see of it:
direction, type, length, order.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Final

from rustun.protocol.frames import HEADER_BYTES, FrameType, encode_frame
from tests.simulation.middleman import Direction, Middleman

SHORT_STALL_S: Final = 2.0  # under every limit
LONG_STALL_S: Final = 60.0  # over every limit
OTHER_TYPE: Final = {0x10: 0x12, 0x12: 0x10, 0x11: 0x13, 0x13: 0x11, 0x14: 0x15, 0x15: 0x14}
BACK: Final[dict[Direction, Direction]] = {"to_server": "to_client", "to_client": "to_server"}

Steps = Generator[list[bytes], bytes, None]
Action = Callable[[Middleman, Direction, bytes], Steps]


def dropped(_man: Middleman, _to: Direction, _frame: bytes) -> Steps:
    """The frame never arrives."""
    yield []


def doubled(_man: Middleman, _to: Direction, frame: bytes) -> Steps:
    """It arrives twice."""
    yield [frame, frame]


def swapped(_man: Middleman, _to: Direction, frame: bytes) -> Steps:
    """It arrives after the one that follows it."""
    following = yield []
    yield [following, frame]


def reflected(man: Middleman, to: Direction, frame: bytes) -> Steps:
    """Its sender gets it, too."""
    man.outlet(BACK[to])(frame)
    yield [frame]


def retyped(_man: Middleman, _to: Direction, frame: bytes) -> Steps:
    """It says that it is something else."""
    yield [frame[:5] + bytes([OTHER_TYPE[frame[5]]]) + frame[6:]]


def shortened(_man: Middleman, _to: Direction, frame: bytes) -> Steps:
    """Its last byte is gone, and its header says so."""
    yield [encode_frame(frame[5], frame[HEADER_BYTES:-1])]


def cut_short(_man: Middleman, _to: Direction, frame: bytes) -> Steps:
    """Its last byte is gone, and its header does not say so."""
    yield [frame[:-1]]


def lengthened(_man: Middleman, _to: Direction, frame: bytes) -> Steps:
    """It has a byte more, and its header says so."""
    yield [encode_frame(frame[5], frame[HEADER_BYTES:] + b"\0")]


def padded(_man: Middleman, _to: Direction, frame: bytes) -> Steps:
    """A byte more follows it."""
    yield [frame + b"\0"]


def altered(_man: Middleman, _to: Direction, frame: bytes) -> Steps:
    """One bit of its tag is another."""
    yield [frame[:-1] + bytes([frame[-1] ^ 1])]


def preceded(_man: Middleman, _to: Direction, frame: bytes) -> Steps:
    """A frame of the same kind, made up, comes before it."""
    yield [encode_frame(frame[5], b"\x55" * (len(frame) - HEADER_BYTES)), frame]


def repeated(man: Middleman, to: Direction, frame: bytes) -> Steps:
    """The first record of the session comes behind it once more."""
    seen = man.from_client if to == "to_server" else man.from_server
    first = next((one for one in seen if one[5] in (FrameType.DATA, FrameType.CONTROL)), frame)
    yield [frame, first]


def fragmented(_man: Middleman, _to: Direction, frame: bytes) -> Steps:
    """It comes as one segment a byte."""
    yield [bytes([byte]) for byte in frame]


def stalled(man: Middleman, to: Direction, frame: bytes, seconds: float = SHORT_STALL_S) -> Steps:
    """It and all behind it come a little later."""
    held = [frame]
    put = man.outlet(to)
    reactor = man.world.reactor

    def release() -> None:
        put(*held)
        held.clear()

    reactor.call_at(reactor.now() + seconds, release)
    following = yield []
    while held:
        held.append(following)
        following = yield []
    yield [following]


def stalled_long(man: Middleman, to: Direction, frame: bytes) -> Steps:
    """It and all behind it come when nobody waits any more."""
    return stalled(man, to, frame, LONG_STALL_S)


def closed(man: Middleman, _to: Direction, _frame: bytes) -> Steps:
    """Both ends are told, in the other's name, that the connection is closed."""
    man.end("closed")
    yield []


def reset(man: Middleman, _to: Direction, _frame: bytes) -> Steps:
    """Both ends are told, in the other's name, that the connection is reset."""
    man.end("reset")
    yield []


HARMLESS: Final[tuple[Action, ...]] = (fragmented, stalled)
HARMFUL: Final[tuple[Action, ...]] = (
    dropped, doubled, swapped, reflected, retyped, shortened, cut_short, lengthened, padded, altered, preceded,
    repeated, stalled_long, closed, reset,
)  # fmt: skip


Chosen = Callable[[list[bytes], list[bytes], bytes], bool]


@dataclass(frozen=True)
class Moment:
    """One frame of a session.

    Attributes:
        to: its direction.
        chosen: tells it from others: given what has passed upwards and downwards since looking began, and a frame.
        look_after_s: how long the member has been online when looking begins; None for before it connects.
    """

    to: Direction
    chosen: Chosen
    look_after_s: float | None


REKEY_S: Final = 115.0  # shortly before keys are replaced
NOISE_BYTES: Final = 100  # a control record of that length carries a handshake message: nothing else does by then


def _of_type(*types: int) -> Chosen:
    return lambda _up, _down, frame: frame[5] in types


def _rekeys(passed: list[bytes]) -> bool:
    return any(one[5] == FrameType.CONTROL and len(one) > NOISE_BYTES for one in passed)


CONTROL: Final = _of_type(FrameType.CONTROL)
DATA: Final = _of_type(FrameType.DATA)
MOMENTS: Final = {
    "the first message": Moment("to_server", _of_type(FrameType.KEY_INIT, FrameType.SHARED_INIT), None),
    "the answer": Moment("to_client", _of_type(FrameType.KEY_REPLY, FrameType.SHARED_REPLY), None),
    "the proof of the keys": Moment("to_server", CONTROL, None),
    "the server's first record": Moment("to_client", CONTROL, None),
    "data upwards": Moment("to_server", DATA, 2.0),
    "data downwards": Moment("to_client", DATA, 2.0),
    "a keepalive": Moment("to_server", CONTROL, 2.0),
    "a keepalive's answer": Moment("to_client", CONTROL, 2.0),
    "the rekey's first message": Moment("to_server", lambda _up, _down, frame: _rekeys([frame]), REKEY_S),
    "the rekey's answer": Moment("to_client", lambda _up, _down, frame: _rekeys([frame]), REKEY_S),
    "the switch mark": Moment(
        "to_server", lambda _up, down, frame: _rekeys(down) and frame[5] == FrameType.CONTROL, REKEY_S
    ),
    "the first record upwards with new keys": Moment(
        "to_server", lambda up, down, _frame: _rekeys(down) and up[-2][5] == FrameType.CONTROL, REKEY_S
    ),
    "the first record downwards with new keys": Moment(
        "to_client", lambda _up, down, _frame: _rekeys(down[:-1]), REKEY_S
    ),
}  # fmt: skip


def tamper(man: Middleman, moment: Moment, action: Action) -> list[bytes]:
    """Do the action to the moment's frame, once, and pass everything else on.

    Returns: a list that will have that frame once it came.
    """
    begin = len(man.from_client), len(man.from_server)
    chosen: list[bytes] = []
    steps: Steps | None = None
    link = None

    def change(frame: bytes) -> list[bytes]:
        nonlocal steps, link
        up, down = man.from_client[begin[0] :], man.from_server[begin[1] :]
        if not chosen and moment.chosen(up, down, frame):
            chosen.append(frame)
            link, steps = man.link, action(man, moment.to, frame)
            return next(steps)
        if steps is None or man.link != link:  # a new connection is left in peace
            return [frame]
        try:
            return steps.send(frame)
        except StopIteration:
            steps = None
            return [frame]

    setattr(man, moment.to, change)
    return chosen

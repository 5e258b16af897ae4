"""The protocol of one connection: event lists in, action lists out, and a time that only the test moves."""

from __future__ import annotations

import random
from typing import Any

import pytest

from kiterec.clock import NS_PER_S
from kiterec.feed.backoff import Backoff
from kiterec.feed.config import FeedConfig
from kiterec.feed.events import (
    Connecting,
    Gap,
    Held,
    Instant,
    Lost,
    Refused,
    RetryIn,
    Silent,
    Stopped,
    Subscribed,
)
from kiterec.feed.failure import Failure, FailureKind, of_network, of_status
from kiterec.feed.protocol import ConnectionProtocol
from kiterec.feed.state import State
from kiterec.feed.steps import (
    Abort,
    Changed,
    Close,
    Connect,
    ConnectFailed,
    Ended,
    Hold,
    NewToken,
    Opened,
    RefusedText,
    Release,
    Report,
    Send,
    Start,
    Stop,
    WaitUntil,
    Wake,
)
from kiterec.wire.packets import Mode
from kiterec.wire.requests import SetMode, Subscribe, Unsubscribe, decode_request

WALL_NS = 1_763_700_000 * NS_PER_S
NETWORK = ConnectFailed(of_network("nobody listens at there"))


class Life:
    """A protocol with a clock in the hand: `at(seconds, event)` gives the actions."""

    def __init__(
        self, wanted: dict[int, Mode] | None = None, *, renewable: bool = False, **changes: Any
    ) -> None:
        self.wanted = dict(wanted or {})
        settings: dict[str, Any] = {"subscribe_interval_s": 0.1, **changes}
        config = FeedConfig(**settings)
        backoff = Backoff(
            initial_s=config.backoff_initial_s, max_s=config.backoff_max_s, rng=random.Random(1)
        )
        self.protocol = ConnectionProtocol(
            "main-0", config, self.wanted, backoff=backoff, renewable=renewable
        )
        self.wall_shift_ns = 0

    def instant(self, seconds: float) -> Instant:
        return Instant(WALL_NS + round(seconds * NS_PER_S) + self.wall_shift_ns, round(seconds * NS_PER_S))

    def at(self, seconds: float, event: Any) -> list[Any]:
        return self.protocol.handle(event, self.instant(seconds))

    def heard(self, seconds: float) -> None:
        self.protocol.heard(*self.instant(seconds))

    def opened(self, seconds: float = 0.0) -> Life:
        self.at(seconds, Start())
        self.at(seconds, Opened())
        return self


def words(actions: list[Any]) -> list[Any]:
    """Give reports as the names of their events, waits as seconds, requests decoded, the rest as names."""
    found: list[Any] = []
    for action in actions:
        match action:
            case Report(event=event):
                found.append(type(event).__name__)
            case WaitUntil(monotonic_ns=None):
                found.append(None)
            case WaitUntil(monotonic_ns=at):
                found.append(at / NS_PER_S)
            case Send(text=text):
                found.append(decode_request(text))
            case _:
                found.append(type(action).__name__)
    return found


def reported(actions: list[Any], kind: type) -> Any:
    return next(
        action.event for action in actions if isinstance(action, Report) and isinstance(action.event, kind)
    )


def test_a_start_connects_and_waits_for_the_timeout() -> None:
    assert words(Life().at(5, Start())) == ["Connecting", "Connect", 35.0]


def test_an_open_connection_is_told_everything_in_the_right_modes() -> None:
    life = Life({1: Mode.FULL, 2: Mode.QUOTE, 3: Mode.LTP})
    life.at(0, Start())
    assert words(life.at(1, Opened())) == [
        "Connected",
        Subscribe((1, 2, 3)),
        SetMode(Mode.FULL, (1,)),
        SetMode(Mode.LTP, (3,)),
        "Subscribed",
        11.0,
    ]


def test_many_instruments_are_told_in_chunks_with_a_pause() -> None:
    life = Life(dict.fromkeys(range(5), Mode.QUOTE), subscribe_chunk=2)
    life.at(0, Start())
    assert words(life.at(0, Opened())) == ["Connected", Subscribe((0, 1)), 0.1]
    assert words(life.at(0.05, Wake())) == [0.1]
    assert words(life.at(0.1, Wake())) == [Subscribe((2, 3)), 0.2]
    assert words(life.at(0.2, Wake())) == [Subscribe((4,)), "Subscribed", 10.0]


def test_a_change_between_two_chunks_waits_for_its_turn() -> None:
    life = Life(dict.fromkeys(range(3), Mode.QUOTE), subscribe_chunk=2).opened()
    life.wanted[9] = Mode.FULL
    assert words(life.at(0.01, Changed((9,)))) == [0.1]
    assert words(life.at(0.1, Wake()))[:2] == [Subscribe((2, 9)), SetMode(Mode.FULL, (9,))]


def test_changes_are_told_without_a_reconnect_and_only_what_differs() -> None:
    life = Life({1: Mode.QUOTE, 2: Mode.QUOTE}).opened()
    life.wanted.update({1: Mode.FULL, 3: Mode.LTP})
    del life.wanted[2]
    assert words(life.at(1, Changed((1, 2, 3, 4)))) == [
        Unsubscribe((2,)),
        Subscribe((3,)),
        SetMode(Mode.FULL, (1,)),
        SetMode(Mode.LTP, (3,)),
        "Subscribed",
        10.0,
    ]
    assert words(life.at(2, Changed((1, 2, 3, 4)))) == [10.0]


def test_many_small_calls_become_few_requests() -> None:
    life = Life({1: Mode.QUOTE}, subscribe_interval_s=0.1).opened()
    life.wanted[2] = Mode.QUOTE
    assert words(life.at(0.02, Changed((2,)))) == [0.1]
    life.wanted[3] = Mode.QUOTE
    assert words(life.at(0.04, Changed((3,)))) == [0.1]
    assert words(life.at(0.1, Wake())) == [Subscribe((2, 3)), "Subscribed", 10.0]


def test_a_lowered_mode_is_told_even_when_it_is_quote() -> None:
    life = Life({1: Mode.FULL}).opened()
    life.wanted[1] = Mode.QUOTE
    assert words(life.at(1, Changed((1,))))[0] == SetMode(Mode.QUOTE, (1,))


def test_any_message_puts_silence_off() -> None:
    life = Life().opened()
    life.heard(9)
    assert words(life.at(10, Wake())) == [19.0]
    assert words(life.at(18.999, Wake())) == [19.0]
    assert words(life.at(19, Wake()))[:4] == ["Silent", "Abort", "Lost", "RetryIn"]


def test_silence_is_noticed_at_its_limit_and_modes_come_back_after_it() -> None:
    life = Life({1: Mode.FULL, 2: Mode.LTP}, silence_limit_s=10).opened()
    life.heard(3)
    assert words(life.at(10, Wake())) == [13.0]
    actions = life.at(13, Wake())
    assert reported(actions, Silent).silent_for_s == 10
    assert "10.0 s" in reported(actions, Lost).reason
    retry = actions[-1].monotonic_ns / NS_PER_S
    assert words(life.at(retry, Wake())) == ["Connecting", "Connect", retry + 30]
    told = life.at(retry + 1, Opened())
    assert words(told)[1:4] == [Subscribe((1, 2)), SetMode(Mode.FULL, (1,)), SetMode(Mode.LTP, (2,))]
    gap = reported(told, Gap)
    assert (gap.from_ns - WALL_NS) / NS_PER_S == 3
    assert (gap.to_ns - WALL_NS) / NS_PER_S == retry + 1


def test_a_server_that_never_speaks_after_accepting_is_silent_too() -> None:
    life = Life().opened(2)
    assert words(life.at(12, Wake()))[0] == "Silent"


def test_a_loop_that_slept_through_the_limit_listens_before_it_judges() -> None:
    life = Life(silence_limit_s=10).opened()
    assert words(life.at(40, Wake())) == [50.0]
    assert words(life.at(50, Wake()))[0] == "Silent"


def test_a_jump_of_the_wall_clock_changes_nothing_but_the_times_that_are_written() -> None:
    life = Life({1: Mode.LTP}).opened()
    for shift_s in (3600, -3600):
        life.wall_shift_ns = shift_s * NS_PER_S
        life.heard(4)
        assert words(life.at(9, Wake())) == [14.0]
    life.at(9, Ended(1006, "gone"))
    life.at(30, Wake())
    gap = reported(life.at(31, Opened()), Gap)
    assert gap.duration_ns == 27 * NS_PER_S


@pytest.mark.parametrize("code", [1000, 1001, 1006, 1011, 4000])
def test_every_close_code_is_reported_and_leads_back(code: int) -> None:
    life = Life().opened()
    life.heard(8)
    actions = life.at(9, Ended(code, "why"))
    assert words(actions)[:2] == ["Lost", "RetryIn"]
    assert (reported(actions, Lost).code, reported(actions, Lost).wanted) == (code, False)
    assert life.protocol.state is State.WAITING


def test_waits_double_up_to_the_longest_and_keep_at_least_half() -> None:
    life = Life(backoff_initial_s=1, backoff_max_s=8)
    life.at(0, Start())
    now = 0.0
    for longest in (1, 2, 4, 8, 8, 8):
        actions = life.at(now, NETWORK)
        delay = reported(actions, RetryIn).delay_s
        assert longest / 2 <= delay <= longest
        now = actions[-1].monotonic_ns / NS_PER_S
        assert words(life.at(now, Wake()))[1] == "Connect"


def test_a_connection_that_lived_begins_the_waits_anew() -> None:
    life = Life(backoff_initial_s=1, backoff_max_s=64)
    life.at(0, Start())
    for second in range(1, 5):
        life.at(second * 100, NETWORK)
        life.at(second * 100 + 70, Wake())
    life.at(500, Opened())
    life.heard(503)
    actions = life.at(504, Ended(1006, "gone"))
    assert reported(actions, RetryIn).delay_s <= 1
    assert reported(life.at(506, Wake()), Connecting).attempt == 1


def test_a_server_that_accepts_and_hangs_up_is_not_asked_faster_and_faster() -> None:
    life = Life(backoff_initial_s=1, backoff_max_s=64)
    life.at(0, Start())
    delays = []
    for second in range(0, 400, 100):
        life.at(second, Opened())
        delays.append(reported(life.at(second + 0.1, Ended(1006, "gone")), RetryIn).delay_s)
        life.at(second + 99, Wake())
    assert delays == sorted(delays)
    assert delays[-1] >= 4


def test_max_attempts_ends_it_with_a_sentence_and_another_token_wakes_it() -> None:
    life = Life(max_attempts=2)
    life.at(0, Start())
    life.at(1, NETWORK)
    life.at(10, Wake())
    actions = life.at(11, NETWORK)
    assert words(actions) == ["Stopped", None]
    assert "2 attempts" in reported(actions, Stopped).reason
    assert "nobody listens" in reported(actions, Stopped).reason
    assert life.protocol.hopeless
    assert words(life.at(12, NewToken()))[1] == "Connect"


def test_403_ends_the_account_until_another_token_comes() -> None:
    life = Life()
    life.at(0, Start())
    actions = life.at(1, ConnectFailed(of_status(403)))
    assert words(actions) == ["Refused", None]
    assert "403" in reported(actions, Refused).reason
    assert "access token" in reported(actions, Refused).reason
    assert life.protocol.hopeless
    assert words(life.at(999, Wake())) == [None]
    assert words(life.at(1000, NewToken())) == ["Connecting", "Connect", 1030.0]


def test_a_source_of_tokens_is_asked_again_in_silence() -> None:
    life = Life(renewable=True, backoff_max_s=60)
    life.at(0, Start())
    assert words(life.at(1, ConnectFailed(of_status(403)))) == ["Refused", 61.0]
    assert not life.protocol.hopeless
    assert words(life.at(61, Wake())) == ["Connect", 91.0]
    same = ConnectFailed(Failure(kind=FailureKind.SAME_CREDENTIALS, reason="the same", status=403))
    assert words(life.at(62, same)) == [122.0]
    life.at(122, Wake())
    assert words(life.at(123, Opened()))[0] == "Connected"


def test_a_refusal_after_another_fault_is_news_again() -> None:
    life = Life(renewable=True, backoff_max_s=60)
    life.at(0, Start())
    life.at(1, ConnectFailed(of_status(403)))
    life.at(61, Wake())
    assert words(life.at(62, NETWORK))[0] == "RetryIn"
    assert words(life.at(200, Wake()))[0] == "Connecting"
    same = ConnectFailed(Failure(kind=FailureKind.SAME_CREDENTIALS, reason="the same", status=403))
    assert words(life.at(201, same))[0] == "Refused"


def test_looking_for_another_token_is_no_failed_attempt() -> None:
    life = Life(renewable=True, backoff_max_s=60, max_attempts=3)
    life.at(0, Start())
    life.at(1, ConnectFailed(of_status(403)))
    same = ConnectFailed(Failure(kind=FailureKind.SAME_CREDENTIALS, reason="the same", status=403))
    for minute in range(1, 20):
        life.at(minute * 60 + 1, Wake())
        life.at(minute * 60 + 1, same)
    life.at(1201, Wake())
    assert words(life.at(1202, NETWORK))[0] == "RetryIn"


def test_the_sister_of_a_refused_connection_says_so_once_without_asking_the_server() -> None:
    life = Life()
    life.at(0, Start())
    same = ConnectFailed(Failure(kind=FailureKind.SAME_CREDENTIALS, reason="the same", status=403))
    assert words(life.at(1, same)) == ["Refused", None]


@pytest.mark.parametrize(("status", "word"), [(429, "too many connections"), (400, "did not understand")])
def test_429_and_400_are_refusals_that_are_tried_again(status: int, word: str) -> None:
    life = Life()
    life.at(0, Start())
    actions = life.at(1, ConnectFailed(of_status(status)))
    assert words(actions)[:2] == ["Refused", "RetryIn"]
    assert word in reported(actions, Refused).reason


def test_a_connect_that_takes_too_long_is_dropped_and_tried_again() -> None:
    life = Life(connect_timeout_s=30)
    life.at(0, Start())
    assert words(life.at(29, Wake())) == [30.0]
    assert words(life.at(30, Wake()))[:2] == ["Abort", "RetryIn"]
    assert words(life.at(30, Opened())) == []  # it came in the same instant: too late


def test_a_start_that_failed_first_leaves_a_gap() -> None:
    life = Life({1: Mode.LTP})
    life.at(0, Start())
    life.at(1, NETWORK)
    life.at(60, Wake())
    gap = reported(life.at(61, Opened()), Gap)
    assert (gap.from_ns, gap.duration_ns) == (WALL_NS, 61 * NS_PER_S)
    assert "nobody listens" in gap.reason


def test_one_outage_is_one_gap_however_many_connects_it_takes() -> None:
    life = Life(dict.fromkeys(range(4), Mode.LTP), subscribe_chunk=2).opened()
    life.at(0.1, Wake())
    life.heard(5)
    life.at(6, Ended(1011, "first"))
    life.at(10, Wake())
    life.at(11, Opened())
    life.heard(11)
    life.at(11.01, Ended(1006, "second"))
    life.at(20, Wake())
    assert "Gap" not in words(life.at(21, Opened()))
    gap = reported(life.at(21.1, Wake()), Gap)
    assert (gap.from_ns - WALL_NS, gap.reason) == (5 * NS_PER_S, "first")


def test_an_error_text_is_a_refusal_and_the_connection_stays() -> None:
    life = Life().opened()
    actions = life.at(1, RefusedText("Can't subscribe to more than 3000 instruments."))
    assert words(actions) == ["Refused"]
    assert reported(actions, Refused).status is None
    assert life.protocol.state is State.OPEN


def test_silence_of_our_own_making_is_no_fault() -> None:
    life = Life().opened()
    life.heard(1)
    assert words(life.at(2, Hold())) == [None]
    assert words(life.at(500, Wake())) == [None]
    actions = life.at(600, Release())
    assert words(actions) == ["Held", 610.0]
    held = reported(actions, Held)
    assert (held.to_ns - held.from_ns) == 598 * NS_PER_S
    assert words(life.at(610, Wake()))[0] == "Silent"


def test_a_loss_after_a_hold_counts_the_gap_from_the_last_message() -> None:
    life = Life().opened()
    life.heard(1)
    life.at(2, Hold())
    life.at(50, Release())
    life.at(51, Ended(1006, "gone while we did not read"))
    life.at(60, Wake())
    assert reported(life.at(60, Opened()), Gap).duration_ns == 59 * NS_PER_S


def test_stop_in_each_state() -> None:
    assert words(Life().at(0, Stop())) == ["Stopped", None]

    connecting = Life()
    connecting.at(0, Start())
    assert words(connecting.at(1, Stop())) == ["Abort", "Stopped", None]
    assert words(connecting.at(2, Opened())) == []

    opened = Life(close_timeout_s=2).opened()
    assert words(opened.at(1, Stop())) == ["Close", 3.0]
    assert words(opened.at(1, Stop())) == []
    actions = opened.at(1.5, Ended(1000, "closed"))
    assert words(actions) == ["Lost", "Stopped", None]
    assert reported(actions, Lost).wanted

    closing = Life(close_timeout_s=2).opened()
    closing.at(1, Stop())
    assert words(closing.at(3, Wake())) == ["Abort", "Lost", "Stopped", None]

    waiting = Life().opened()
    waiting.at(5, Ended(1006, "gone"))
    assert words(waiting.at(6, Stop())) == ["Gap", "Stopped", None]

    refused = Life()
    refused.at(0, Start())
    refused.at(0, ConnectFailed(of_status(403)))
    assert words(refused.at(1, Stop())) == ["Gap", "Stopped", None]
    assert words(refused.at(2, NewToken())) == []
    assert words(refused.at(3, Start())) == []


def test_nothing_wanted_is_said_once_and_sends_nothing() -> None:
    life = Life()
    life.at(0, Start())
    actions = life.at(0, Opened())
    assert words(actions) == ["Connected", "Subscribed", 10.0]
    assert reported(actions, Subscribed).instruments == 0


def test_actions_are_never_given_for_an_event_that_comes_too_late() -> None:
    life = Life()
    for event in (Opened(), NETWORK, Ended(1000, ""), Wake(), Changed((1,)), Release(), NewToken()):
        assert [
            action for action in life.at(0, event) if isinstance(action, Connect | Send | Close | Abort)
        ] == []

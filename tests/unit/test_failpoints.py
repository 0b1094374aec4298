"""The failpoints of both packages: how they are written, and that off means off."""

from types import ModuleType

import pytest

import receiver.failpoints
import simulator.failpoints

BOTH = pytest.mark.parametrize(
    "failpoints", [receiver.failpoints, simulator.failpoints], ids=["receiver", "simulator"]
)


@pytest.fixture(autouse=True)
def off_again():
    yield
    receiver.failpoints.arm("")
    simulator.failpoints.arm("")


@pytest.fixture
def killed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The signals that this process would have sent to itself."""
    signals: list[int] = []
    monkeypatch.setattr("os.kill", lambda _process, number: signals.append(int(number)))
    return signals


@BOTH
def test_a_point_that_is_off_does_nothing(failpoints: ModuleType, killed: list[int]) -> None:
    for name in failpoints.POINTS:
        failpoints.reach(name)
    assert killed == []


@BOTH
def test_a_point_kills_at_the_passing_it_names_and_at_no_other(
    failpoints: ModuleType, killed: list[int]
) -> None:
    first, second, *_ = failpoints.POINTS
    failpoints.arm(f"{first}:3, {second}")
    failpoints.reach(first)
    failpoints.reach(first)
    assert killed == []
    failpoints.reach(first)
    assert killed == [9]
    failpoints.reach(first)
    assert killed == [9]
    failpoints.reach(second)
    assert killed == [9, 9]


@BOTH
@pytest.mark.parametrize("text", ["T9-before", "T1", "{0}:0", "{0}:", "{0}:x", "{0}:-1"])
def test_what_names_no_passing_of_a_point_is_refused_in_a_sentence(
    failpoints: ModuleType, text: str
) -> None:
    text = text.format(failpoints.POINTS[0])
    with pytest.raises(ValueError, match=r"is no failpoint|must end with a number"):
        failpoints.arm(text)

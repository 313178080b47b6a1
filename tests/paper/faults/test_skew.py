"""A clock that is wrong at once, little by little, and right again."""

from vigil.paper.faults.skew import SkewedClock


class StillClock:
    def __init__(self):
        self.at_s = 100.0

    def now_ms(self):
        return round(self.at_s * 1000)

    def elapsed_s(self):
        return self.at_s

    async def sleep(self, delay_s):
        self.at_s += delay_s


def test_e33_it_is_off_at_once_and_right_again():
    clock = SkewedClock(StillClock())
    assert clock.now_ms() == 100_000
    clock.set_offset(-3_600_000)
    assert clock.now_ms() == 100_000 - 3_600_000
    clock.set_offset(0)
    assert clock.now_ms() == 100_000


def test_e33_it_is_smeared_and_stays_where_it_came_to():
    still = StillClock()
    clock = SkewedClock(still)
    clock.set_offset(1000, smear_s=10)
    offsets = []
    for _ in range(4):
        offsets.append(clock.offset_ms)
        still.at_s += 5
    assert offsets == [0, 500, 1000, 1000]


async def test_waits_and_ages_stay_true():
    still = StillClock()
    clock = SkewedClock(still)
    clock.set_offset(999_999)
    await clock.sleep(2)
    assert clock.elapsed_s() == still.at_s == 102

from vigil.deribit.quiet_channels import QuietChannels

A, B = "ticker.A.100ms", "ticker.B.100ms"


def test_a_channel_is_due_once_nothing_came_for_long_enough() -> None:
    quiet, latest = QuietChannels(10.0), {A: "a1", B: "b1"}
    assert quiet.look((A, B), latest, 0.0) == ()
    assert quiet.look((A, B), latest, 9.0) == ()
    latest[B] = "b2"
    assert quiet.look((A, B), latest, 10.0) == (A,)
    assert quiet.look((A, B), latest, 19.9) == (A,)
    assert quiet.look((A, B), latest, 20.1) == (A, B)


def test_a_channel_that_never_said_anything_is_due_as_well() -> None:
    quiet = QuietChannels(10.0)
    assert quiet.look((A,), {}, 0.0) == ()
    assert quiet.look((A,), {}, 10.0) == (A,)


def test_a_quiet_market_is_asked_about_ever_more_rarely() -> None:
    quiet, latest = QuietChannels(10.0), {A: "a1"}
    asked = []
    for second in range(1000):
        if quiet.look((A,), latest, float(second)):
            asked.append(second)
            quiet.found_quiet(A, float(second))
    pauses = [later - earlier for earlier, later in zip(asked, asked[1:], strict=False)]
    assert asked[0] == 10
    assert pauses[:4] == [20, 40, 80, 120]
    assert set(pauses[4:]) == {120}


def test_a_word_makes_it_new_again() -> None:
    quiet, latest = QuietChannels(10.0), {A: "a1"}
    quiet.look((A,), latest, 0.0)
    quiet.look((A,), latest, 10.0)
    quiet.found_quiet(A, 10.0)
    assert quiet.found_dead(A, 30.0)
    latest[A] = "a2"
    assert quiet.look((A,), latest, 31.0) == ()
    assert quiet.look((A,), latest, 41.0) == (A,)
    assert quiet.found_dead(A, 41.0)


def test_reviving_is_tried_twice_and_then_the_session_is_suspect() -> None:
    quiet, latest = QuietChannels(10.0), {A: "a1"}
    quiet.look((A,), latest, 0.0)
    verdicts = []
    for now_s in (10.0, 20.0, 30.0):
        assert quiet.look((A,), latest, now_s) == (A,)
        verdicts.append(quiet.found_dead(A, now_s))
    assert verdicts == [True, True, False]


def test_channels_that_are_no_longer_carried_are_forgotten() -> None:
    quiet = QuietChannels(10.0)
    quiet.look((A,), {}, 0.0)
    assert quiet.look((), {}, 50.0) == ()
    quiet.found_quiet(A, 50.0)
    assert quiet.found_dead(A, 50.0)
    assert quiet.look((A,), {}, 60.0) == ()

"""Chance from a seed: a stream for each choice, whoever asks first."""

from simulator.chance import Chance


def test_the_same_words_give_the_same_numbers_in_any_order() -> None:
    first, second = Chance("7"), Chance("7")
    one, two = first.of("retry", 1, 1).random(), first.of("retry", 1, 2).random()

    assert (second.of("retry", 1, 2).random(), second.of("retry", 1, 1).random()) == (two, one)
    assert one != two


def test_what_is_drawn_is_a_promise_to_whoever_kept_the_seed() -> None:
    assert Chance("7").of("retry", 1, 1).random() == 0.5290083142403393


def test_every_word_counts() -> None:
    drawn = {
        chance.of(*words).random()
        for chance in (Chance("7"), Chance("8"))
        for words in (("a", 1, 1), ("a", 11), ("a", "1", 1), ("b", 1, 1), ("a", 1))
    }
    assert len(drawn) == 10


def test_without_a_seed_one_is_drawn_and_can_be_given_again() -> None:
    chance = Chance()
    assert chance.seed != Chance().seed
    assert Chance(chance.seed).of("x").random() == chance.of("x").random()


def test_a_reset_begins_anew() -> None:
    chance = Chance("7")
    chance.reset("8")
    assert chance.of("x").random() == Chance("8").of("x").random()

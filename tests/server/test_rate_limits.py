"""How much each visitor may ask for, in a minute and at once."""

from typing import Literal

import pytest

from poster2plot import RateLimitError
from poster2plot.server.rate_limits import Limits, RateLimiter
from poster2plot.server.visitor import Visitor

ANN, BOB = Visitor("page", "ann"), Visitor("api", "192.0.2.7")


@pytest.mark.parametrize("what", ["plots", "pictures", "megapixels"])
def test_each_visitor_has_a_rate(what: Literal["plots", "pictures", "megapixels"]):
    limiter = RateLimiter(Limits(**{what: 2}))
    limiter.count(ANN, what)
    limiter.count(ANN, what)
    with pytest.raises(RateLimitError, match=f"more than 2 {what} in a minute") as refused:
        limiter.count(ANN, what)
    assert 1 <= refused.value.retry_after <= 60
    limiter.count(BOB, what)
    limiter.count(Visitor("api", ANN.name), what)


def test_what_is_refused_is_not_counted():
    limiter = RateLimiter(Limits(megapixels=3))
    limiter.count(ANN, "megapixels", 2)
    with pytest.raises(RateLimitError):
        limiter.count(ANN, "megapixels", 2)
    limiter.count(ANN, "megapixels", 1)


def test_one_thing_above_the_limit_takes_a_whole_minute():
    limiter = RateLimiter(Limits(megapixels=3))
    limiter.count(ANN, "megapixels", 50)
    with pytest.raises(RateLimitError):
        limiter.count(ANN, "megapixels", 1)


def test_each_visitor_may_do_so_much_at_once():
    limiter = RateLimiter(Limits(at_once=1))
    with limiter.present(ANN):
        with pytest.raises(RateLimitError, match="at once") as refused, limiter.present(ANN):
            pass
        assert refused.value.retry_after == 1
        with limiter.present(BOB):
            pass
    with limiter.present(ANN):
        pass


def test_a_request_that_fails_is_over():
    limiter = RateLimiter(Limits(at_once=1))
    with pytest.raises(ArithmeticError), limiter.present(ANN):
        raise ArithmeticError
    with limiter.present(ANN):
        pass

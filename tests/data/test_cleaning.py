import pytest

from tunewell.data.cleaning import STEPS, clean
from tunewell.recipe import Data


@pytest.mark.parametrize(
    ("step", "text", "expected"),
    [
        ("strip_html", "One.<br /><br>Two", "One.  Two"),
        ("strip_html", '<p class="x">a &amp; b</p><!-- no\n -->', " a & b  "),
        ("strip_html", "3 < 4 and <3 &lt;b&gt;", "3 < 4 and <3 <b>"),
        ("strip_html", "caf&eacute;&nbsp;x", "café\u00a0x"),
        ("normalize_unicode", "cafe\u0301\u00a0\u3000x", "café  x"),
        ("normalize_unicode", "a\u200bb\ufeffc\x00d\u00ade", "abcde"),
        ("normalize_unicode", "tab\tand\nline", "tab\tand\nline"),
        ("normalize_unicode", "👨\u200d👩\u200d👧", "👨\u200d👩\u200d👧"),
        ("trim", "\n a b \t", "a b"),
        ("collapse_spaces", "a  b\n\nc\u00a0 d ", "a b c d"),
        ("collapse_spaces", " a", "a"),
        ("collapse_spaces", "a ", "a"),
        ("collapse_spaces", "", ""),
        ("collapse_spaces", "plain text", "plain text"),
    ],
)
def test_step(step, text, expected):
    assert clean(text, [step]) == expected


def test_steps_run_in_the_order_given():
    assert clean(" <br /> a&nbsp; b", ["strip_html", "normalize_unicode", "collapse_spaces", "trim"]) == "a b"


def test_recipe_offers_every_step():
    Data(train="x", clean=list(STEPS))

"""Other libraries are heard for their errors alone, and nobody else is touched."""

from __future__ import annotations

import logging
import warnings

import pytest

from yolov7.quiet import errors_only


def test_errors_pass_and_the_rest_does_not(caplog):
    library = logging.getLogger("talkative")
    library.setLevel(logging.INFO)
    with caplog.at_level(logging.INFO):
        with errors_only("talkative"):
            library.warning("a choice")
            library.error("an error")
            warnings.warn("nobody is to hear it", stacklevel=1)
        library.info("afterwards")
    assert caplog.messages == ["an error", "afterwards"]


def test_warnings_of_other_modules_pass():
    with errors_only("talkative", warned_by="some_library"), pytest.warns(match="somebody is to hear it"):
        warnings.warn("somebody is to hear it", stacklevel=1)


def test_handlers_that_a_library_shares_keep_their_level():
    """They may be those of the whole process: under pytest NNCF's own switch deafened them."""
    library, handler = logging.getLogger("talkative"), logging.StreamHandler()
    library.addHandler(handler)
    try:
        with errors_only("talkative"):
            assert handler.level == logging.NOTSET
    finally:
        library.removeHandler(handler)


def test_its_level_is_set_back_after_an_error():
    library = logging.getLogger("talkative")
    library.setLevel(logging.INFO)
    with pytest.raises(RuntimeError), errors_only("talkative"):
        raise RuntimeError
    assert library.level == logging.INFO

import logging

from gift.cli.console import Reporter

log = logging.getLogger("gift.somewhere")


def test_what_the_library_logs_is_shown_while_work_goes_on(capsys):
    log.info("before")
    with Reporter("generating"):
        log.info("8 images [left]")
        log.debug("details")
    log.info("after")
    assert capsys.readouterr() == ("", "8 images [left]\n")


def test_a_quiet_reporter_shows_nothing(capsys):
    with Reporter("generating", quiet=True) as progress:
        log.warning("two are black")
        progress("generate", 2, 2)
    assert capsys.readouterr() == ("", "")

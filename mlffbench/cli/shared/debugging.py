"""``--debug``: the traceback behind every sentence, on the error stream."""

import logging


class _Once(logging.Filter):
    """Lets every traceback through once: a model fails alike on many structures."""

    def __init__(self) -> None:
        super().__init__()
        self._seen: set[str] = set()

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether it was not told before."""
        text = logging.Formatter().format(record)
        new = text not in self._seen
        self._seen.add(text)
        return new


def show_tracebacks() -> None:
    """Print what mlffbench logs for debugging: the exceptions that it tells in words."""
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("debug: %(message)s"))
    handler.addFilter(_Once())
    logger = logging.getLogger("mlffbench")
    logger.handlers = [handler]
    logger.setLevel(logging.DEBUG)

"""Uploads that no run of the page makes Streamlit forget."""

from streamlit.runtime.forward_msg_queue import ForwardMsgQueue

_ANSWERS = {"file_urls_response", "backend_operation_response"}
_clear = ForwardMsgQueue.clear


def keep_upload_answers() -> None:
    """Have Streamlit keep what the browser has asked for, when a run of the page begins.

    A run clears what is queued for the browser (`ForwardMsgQueue.clear` of Streamlit 1.67). An
    uploader asks where to put its file; if the run that the file before it began clears the
    answer, it waits for ever, and the picture is lost without a word.
    """
    ForwardMsgQueue.clear = _clear_but_answers  # type: ignore[method-assign]


def _clear_but_answers(
    self: ForwardMsgQueue,
    retain_lifecycle_msgs: bool = False,
    fragment_ids_this_run: list[str] | None = None,
) -> None:
    answers = [each for each in self._queue if each.WhichOneof("type") in _ANSWERS]
    _clear(self, retain_lifecycle_msgs, fragment_ids_this_run)
    if retain_lifecycle_msgs:  # else they are on their way to the browser
        kept = {id(each) for each in self._queue}
        self._queue += [each for each in answers if id(each) not in kept]

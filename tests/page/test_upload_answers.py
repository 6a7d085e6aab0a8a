"""Where an uploader may put its file is said, whatever begins meanwhile."""

import pytest
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from streamlit.runtime.forward_msg_queue import ForwardMsgQueue

from poster2plot.page.upload_answers import keep_upload_answers


@pytest.fixture(autouse=True)
def streamlit_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ForwardMsgQueue, "clear", ForwardMsgQueue.clear)
    keep_upload_answers()


def queue_with_an_answer() -> ForwardMsgQueue:
    queue = ForwardMsgQueue()
    element, answer = ForwardMsg(), ForwardMsg()
    element.delta.new_element.text.body = "of the run before"
    answer.file_urls_response.response_id = "asked"
    queue.enqueue(element)
    queue.enqueue(answer)
    return queue


@pytest.mark.parametrize("fragments", [None, ["one"]])
def test_a_run_that_begins_leaves_an_answer(fragments: list[str] | None):
    queue = queue_with_an_answer()
    queue.clear(retain_lifecycle_msgs=True, fragment_ids_this_run=fragments)
    sent = [each.file_urls_response.response_id for each in queue.flush()]
    assert sent.count("asked") == 1
    assert queue.is_empty()


def test_an_answer_is_sent_once():
    queue = queue_with_an_answer()
    assert len(queue.flush()) == 2
    assert queue.is_empty()

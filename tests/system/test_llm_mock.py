"""The mock of language-model providers before those who know the providers best: their own clients, unchanged but for
the address."""

import concurrent.futures

from harness import binary, command
from llm import DIALECTS, MockLlm, call

WORDS = "the answer größe of this mock is 東京 made from"
CALLS = [["get_weather", {"city": "Paris", "unit": "C"}], ["get_weather", {"city": "Kraków", "unit": "C"}]]
# Why an answer ends, in each dialect's word.
STOPS = {
    "openai_chat": "stop", "openai_responses": "completed", "anthropic": "end_turn", "gemini": "STOP",
    "bedrock": "end_turn", "cohere": "COMPLETE", "mistral": "stop",
}


def test_official_clients_understand_every_dialect():
    """Text, tool calls, usage and the reason of the end, in JSON and in streams, by seven official clients."""
    with MockLlm("--orders", "input=321,chunk-tokens=2") as mock:
        ask = lambda dialect: call(dialect, mock.url, f"key-{dialect}", "mock-answer=10", "mock-tools=2")
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            found = dict(zip(DIALECTS, pool.map(ask, DIALECTS)))
        bill = mock.bill()
        totals = mock.totals()
    for dialect, understood in found.items():
        for form in ("json", "stream"):
            expected = {"text": WORDS, "stop": STOPS[dialect], "prompt": 321, "completion": 10}
            assert understood[form] == expected, f"{dialect} {form}: {understood[form]}"
        assert understood["calls"] == CALLS, f"{dialect}: {understood['calls']}"
        assert understood["stream_calls"] == CALLS, f"{dialect}: {understood['stream_calls']}"
        assert understood["events"] >= 5, f"{dialect}: {understood['events']}"
        lines = [line for line in bill if line["key"] == f"key-{dialect}" and line["usage"]["output"]]
        # Two questions and two with tools, each in both forms of the mock's answer.
        assert [line["stream"] for line in lines] == [False, True, False, True], f"{dialect}: {lines}"
        assert all(line["state"] == "complete" and line["usage"]["input"] == 321 for line in lines), lines
    assert set(totals["keys"]) == {f"key-{dialect}" for dialect in DIALECTS}, totals
    assert found["openai_chat"]["embedding"] == 8
    assert found["gemini"]["embedding"] == 256
    assert found["anthropic"]["models"] == found["openai_chat"]["models"] == ["mock-large", "mock-small", "mock-embed"]
    assert found["anthropic"]["counted"] > 0 and found["gemini"]["counted"] > 0


def test_official_clients_notice_what_is_wrong():
    """An error of the provider and an answer that was cut reach the caller as the client's own exception for it."""
    with MockLlm() as mock:
        for dialect, orders, name in (
            ("openai_chat", "mock-status=429", "RateLimitError"),
            ("anthropic", "mock-status=529", "Overloaded"),
            ("gemini", "mock-status=503", "UNAVAILABLE"),
            ("bedrock", "mock-status=429", "ThrottlingException"),
            ("cohere", "mock-status=401", "UnauthorizedError"),
            ("openai_responses", "mock-error=context-window", "exceeds the context window"),
            ("openai_chat", "mock-fault=cut@100", "APIConnectionError"),
            ("anthropic", "mock-fault=cut@100", "APIConnectionError"),
        ):
            try:
                understood = call(dialect, mock.url, "k", orders)
            except AssertionError as error:
                assert name in str(error), f"{dialect} {orders}: {error}"
            else:
                raise AssertionError(f"{dialect} took {orders} for an answer: {understood}")
        assert {line["state"] for line in mock.bill()} == {"refused", "partial"}


def test_a_load_of_all_dialects_agrees_with_the_bill():
    """The load generator and the mock are two programs that count apart; usage of 2,800 calls is the same in both."""
    with MockLlm("--orders", "answer=12,thinking=3,cached=5") as mock:
        dialects = [word for dialect in DIALECTS for word in ("--dialect", dialect)]
        load = command(
            binary("penstock-bench"), "load-llm", mock.url, *dialects, "--streams", "0.5", "-n", "2800", "-c", "16",
            "--prompt", "uniform:10..500", "--check",
        )
        assert load.returncode == 0, load.stdout + load.stderr
        usage = mock.totals()["usage"]
        assert f"input {usage['input']}, cached {usage['cached_read']}," in load.stdout, (usage, load.stdout)
        assert f"output {usage['output']}, reasoning {usage['reasoning']}" in load.stdout, (usage, load.stdout)
        assert mock.ended() == -15

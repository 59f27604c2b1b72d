"""Language models through the gateway: official clients, unchanged but for address and key, before providers of every
dialect; what it cost, to the nano-dollar; and what a crash leaves of it."""

import concurrent.futures
import http.client
import json
import signal
import threading

from harness import Gateway, request, wait_for
from llm import MockLlm, call

KEY = "psk_shop_0123456789abcdef"
WORDS = "the answer größe of this mock is 東京 made from"
CALLS = [["get_weather", {"city": "Paris", "unit": "C"}], ["get_weather", {"city": "Kraków", "unit": "C"}]]
# The word of each client for an answer that is complete.
STOPS = {"openai_chat": "stop", "openai_responses": "completed", "anthropic": "end_turn", "gemini": "STOP"}
# Kinds of providers, one of each dialect, with what their base URL has behind the mock's address.
KINDS = {"openai": "/v1", "anthropic": "/v1", "gemini": "/v1beta", "bedrock": "", "cohere": "", "mistral": "/mistral/v1"}
PRICES = "{ input: 2, output: 10, cached_read: 0.5, cache_write: 2.5, cache_write_1h: 4, reasoning: 10 }"


def configuration(mock, more=""):
    """A gateway before one provider of each kind; the model `KIND-ORDERS` asks the mock's model of these orders."""
    text = "workers: 2\nlisteners: [ { address: 127.0.0.1:{port} } ]\nproviders:\n"
    for kind, path in KINDS.items():
        region = ", region: us-east-1" if kind == "bedrock" else ""
        text += f"  - {{ name: {kind}, kind: {kind}{region}, base_url: \"{mock.url}{path}\", "
        text += f"keys: [ {{ value: sk-{kind} }} ] }}\n"
    text += "models:\n"
    for kind in KINDS:
        for orders in ("mock-answer=10", "mock-tools=2", "mock-fault=cut@300", "mock-tps=20"):
            name = f"{kind}-{orders.replace('=', '.').replace('@', '.')}"
            text += f"  - {{ name: {name}, targets: [ {{ provider: {kind}, model: \"{orders}\" }} ], "
            text += f"prices: {PRICES} }}\n"
    text += f"apps: [ {{ name: shop, credentials: [ {{ api_key: {{ value: {KEY} }} }} ] }} ]\n"
    return text + "services:\n  - { name: llm, ai: { auth: { any: [ api_key ] }" + more + " } }\n"


def costs(gateway, *options):
    """The rows of `penstock cost`."""
    done = gateway.cli("cost", "--data-dir", gateway.data_dir, "--format", "json", *options)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_official_clients_reach_every_dialect():
    """Each of four clients asks providers of six dialects: text, usage, the reason of the end, parallel calls of tools, in
    JSON and in streams; and the ledger has every attempt."""
    with MockLlm("--orders", "input=321,chunk-tokens=2") as mock, Gateway(configuration(mock)) as gateway:
        url = f"http://127.0.0.1:{gateway.port}"
        pairs = [(client, kind) for client in STOPS for kind in KINDS]
        ask = lambda pair: call(pair[0], url, KEY, f"{pair[1]}-mock-answer.10", f"{pair[1]}-mock-tools.2", extras=False)
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            found = dict(zip(pairs, pool.map(ask, pairs)))
        bill = mock.bill()
    for (client, kind), understood in found.items():
        for form in ("json", "stream"):
            expected = {"text": WORDS, "stop": STOPS[client], "prompt": 321, "completion": 10}
            assert understood[form] == expected, f"{client} to {kind}, {form}: {understood[form]}"
        assert understood["calls"] == CALLS, f"{client} to {kind}: {understood['calls']}"
        assert understood["stream_calls"] == CALLS, f"{client} to {kind}: {understood['stream_calls']}"
    assert len(bill) == 4 * len(pairs), len(bill)


def ask(gateway, model, stream=False, **more):
    """A call by Chat; its status, fields and body."""
    body = json.dumps({"model": model, "stream": stream, "messages": [{"role": "user", "content": "hi"}], **more})
    fields = {"authorization": f"Bearer {KEY}", "content-type": "application/json"}
    return request(gateway.port, "/v1/chat/completions", method="POST", body=body, headers=fields)


def test_a_hard_budget_is_kept():
    """Calls are refused once the budget is reserved or spent, in the caller's dialect, and what was spent is below it."""
    limit = ", limits: [ { usd: 0.05, per: month, by: app } ]"
    with MockLlm("--orders", "input=100") as mock, Gateway(configuration(mock, limit)) as gateway:
        answers = [ask(gateway, "openai-mock-answer.10", max_tokens=1000) for _ in range(200)]
        statuses = [status for status, *_ in answers]
        assert statuses[0] == 200 and set(statuses) == {200, 429}, set(statuses)
        refused = json.loads(answers[statuses.index(429)][2])
        assert refused["error"]["code"] == "budget_exhausted", refused
        # Each call costs 100 tokens at 2 and 10 at 10 USD a million.
        wait_for("the ledger", lambda: costs(gateway)[0]["nano_usd"] == 300_000 * statuses.count(200))
        assert 300_000 * statuses.count(200) <= 50_000_000


def test_a_killed_gateway_books_what_was_open():
    """`kill -9` in the middle of streams: answered calls are booked as they were billed, open ones at their reservation."""
    with MockLlm("--orders", "input=100") as mock, Gateway(configuration(mock)) as gateway:
        done = [ask(gateway, "openai-mock-answer.10") for _ in range(20)]
        assert {status for status, *_ in done} == {200}

        def hang():
            try:
                ask(gateway, "openai-mock-tps.20", stream=True, max_tokens=500)
            except (OSError, ValueError, http.client.HTTPException):
                pass  # the gateway is killed in its middle

        threads = [threading.Thread(target=hang) for _ in range(5)]
        [thread.start() for thread in threads]
        wait_for("the streams", lambda: mock.totals()["in_flight"] == 5)
        gateway.signal(signal.SIGKILL)
        gateway.process.wait(20)
        [thread.join() for thread in threads]
        gateway.start()
        rows = {row["state"]: row for row in costs(gateway, "--by", "state")}
        assert rows["settled"]["attempts"] == 20 and rows["settled"]["nano_usd"] == 20 * 300_000, rows
        assert rows["estimated"]["attempts"] == 5, rows
        assert ask(gateway, "openai-mock-answer.10")[0] == 200

#!/usr/bin/env python3
"""Calls a language model through its provider's official client and prints what the client understood, as JSON.

    sdk_calls.py CLIENT BASE_URL KEY MODEL [TOOLS_MODEL] [--conversations]

CLIENT is one of those below. The client is as it comes: only its address and key are set, and retries are off. Printed
is an object: `json` and `stream` (`text`, `stop`, `prompt`, `completion`: tokens as the client counts them), `calls`
and `stream_calls` (name and arguments of the tool calls when TOOLS_MODEL is asked with a tool), `events` (of the
stream), and what else the client offers. Runs on the Python of llm.py, which has the clients."""

import json
import sys

# Whether all that a client offers is asked, or conversations alone.
EXTRAS = "--conversations" not in sys.argv
QUESTION = "Say something."
TOOL = "get_weather"
SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "unit": {"type": "string"}},
    "required": ["city", "unit"],
}


def said(text, stop, prompt, completion):
    return {"text": text, "stop": stop, "prompt": prompt, "completion": completion}


def openai_chat(base_url, key, model, tools_model):
    import openai

    client = openai.OpenAI(base_url=f"{base_url}/v1", api_key=key, max_retries=0)
    messages = [{"role": "user", "content": QUESTION}]
    tools = [{"type": "function", "function": {"name": TOOL, "parameters": SCHEMA}}]
    answer = client.chat.completions.create(model=model, messages=messages)
    choice = answer.choices[0]
    out = {"json": said(choice.message.content, choice.finish_reason, answer.usage.prompt_tokens,
                        answer.usage.completion_tokens)}
    text, stop, usage, events = "", None, None, 0
    asked = {"messages": messages, "stream": True, "stream_options": {"include_usage": True}}
    for chunk in client.chat.completions.create(model=model, **asked):
        events += 1
        usage = chunk.usage or usage
        for choice in chunk.choices:
            text += choice.delta.content or ""
            stop = choice.finish_reason or stop
    out["stream"] = said(text, stop, usage.prompt_tokens, usage.completion_tokens)
    out["events"] = events
    answer = client.chat.completions.create(model=tools_model, messages=messages, tools=tools)
    out["calls"] = [
        [call.function.name, json.loads(call.function.arguments)] for call in answer.choices[0].message.tool_calls
    ]
    # The client's own accumulation of a stream, which checks that its pieces fit.
    with client.chat.completions.stream(model=tools_model, messages=messages, tools=tools) as stream:
        final = stream.get_final_completion()
    out["stream_calls"] = [
        [call.function.name, json.loads(call.function.arguments)] for call in final.choices[0].message.tool_calls
    ]
    if EXTRAS:
        out["embedding"] = len(client.embeddings.create(model=model, input=["a", "b"], dimensions=8).data[1].embedding)
        out["models"] = [one.id for one in client.models.list()]
    return out


def openai_responses(base_url, key, model, tools_model):
    import openai

    client = openai.OpenAI(base_url=f"{base_url}/v1", api_key=key, max_retries=0)
    tools = [{"type": "function", "name": TOOL, "parameters": SCHEMA, "strict": False}]
    answer = client.responses.create(model=model, input=QUESTION)
    out = {"json": said(answer.output_text, answer.status, answer.usage.input_tokens, answer.usage.output_tokens)}
    text, events = "", []
    for event in client.responses.create(model=model, input=QUESTION, stream=True):
        events.append(event.sequence_number)
        if event.type == "response.output_text.delta":
            text += event.delta
    assert events == list(range(len(events))), events
    usage = event.response.usage
    assert event.response.output_text == text
    out["stream"] = said(text, event.response.status, usage.input_tokens, usage.output_tokens)
    out["events"] = len(events)
    calls = lambda response: [
        [item.name, json.loads(item.arguments)] for item in response.output if item.type == "function_call"
    ]
    out["calls"] = calls(client.responses.create(model=tools_model, input=QUESTION, tools=tools))
    with client.responses.stream(model=tools_model, input=QUESTION, tools=tools) as stream:
        for _ in stream:
            pass
        out["stream_calls"] = calls(stream.get_final_response())
    return out


def anthropic(base_url, key, model, tools_model):
    import anthropic

    client = anthropic.Anthropic(base_url=base_url, api_key=key, max_retries=0)
    asked = {"max_tokens": 1000, "messages": [{"role": "user", "content": QUESTION}]}
    tools = [{"name": TOOL, "input_schema": SCHEMA}]
    summed = lambda message: said(
        "".join(block.text for block in message.content if block.type == "text"), message.stop_reason,
        message.usage.input_tokens, message.usage.output_tokens)
    calls = lambda message: [[block.name, block.input] for block in message.content if block.type == "tool_use"]
    out = {"json": summed(client.messages.create(model=model, **asked))}
    with client.messages.stream(model=model, **asked) as stream:
        out["events"] = sum(1 for _ in stream)
        out["stream"] = summed(stream.get_final_message())
    out["calls"] = calls(client.messages.create(model=tools_model, tools=tools, **asked))
    with client.messages.stream(model=tools_model, tools=tools, **asked) as stream:
        out["stream_calls"] = calls(stream.get_final_message())
    if EXTRAS:
        out["counted"] = client.messages.count_tokens(model=model, messages=asked["messages"]).input_tokens
    if EXTRAS:
        out["models"] = [one.id for one in client.models.list()]
    return out


def gemini(base_url, key, model, tools_model):
    from google import genai
    from google.genai import types

    client = genai.Client(api_key=key, http_options=types.HttpOptions(base_url=base_url))
    tool = types.Tool(function_declarations=[{"name": TOOL, "parameters_json_schema": SCHEMA}])
    automatic = types.AutomaticFunctionCallingConfig(disable=True)
    config = types.GenerateContentConfig(tools=[tool], automatic_function_calling=automatic)
    answer = client.models.generate_content(model=model, contents=QUESTION)
    usage = answer.usage_metadata
    out = {"json": said(answer.text, answer.candidates[0].finish_reason.value, usage.prompt_token_count,
                        usage.candidates_token_count)}
    text, events = "", 0
    for chunk in client.models.generate_content_stream(model=model, contents=QUESTION):
        events += 1
        text += chunk.text or ""
    usage = chunk.usage_metadata
    out["stream"] = said(text, chunk.candidates[0].finish_reason.value, usage.prompt_token_count,
                         usage.candidates_token_count)
    out["events"] = events
    calls = lambda answer: [[call.name, call.args] for call in answer.function_calls or []]
    out["calls"] = calls(client.models.generate_content(model=tools_model, contents=QUESTION, config=config))
    streamed = client.models.generate_content_stream(model=tools_model, contents=QUESTION, config=config)
    out["stream_calls"] = [call for chunk in streamed for call in calls(chunk)]
    if EXTRAS:
        out["counted"] = client.models.count_tokens(model=model, contents=QUESTION).total_tokens
        embedded = client.models.embed_content(model=model, contents=["a", "b"])
        out["embedding"] = len(embedded.embeddings[1].values)
    return out


def bedrock(base_url, key, model, tools_model):
    import boto3
    from botocore.config import Config

    client = boto3.client("bedrock-runtime", endpoint_url=base_url, region_name="us-east-1", aws_access_key_id=key,
                          aws_secret_access_key="secret", config=Config(retries={"total_max_attempts": 1}))
    messages = [{"role": "user", "content": [{"text": QUESTION}]}]
    tools = {"tools": [{"toolSpec": {"name": TOOL, "inputSchema": {"json": SCHEMA}}}]}
    answer = client.converse(modelId=model, messages=messages)
    content = lambda answer: answer["output"]["message"]["content"]
    usage = answer["usage"]
    out = {"json": said("".join(part["text"] for part in content(answer)), answer["stopReason"],
                        usage["inputTokens"], usage["outputTokens"])}
    text, stop, usage, events = "", None, None, 0
    for event in client.converse_stream(modelId=model, messages=messages)["stream"]:
        events += 1
        text += event.get("contentBlockDelta", {}).get("delta", {}).get("text", "")
        stop = event.get("messageStop", {}).get("stopReason", stop)
        usage = event.get("metadata", {}).get("usage", usage)
    out["stream"] = said(text, stop, usage["inputTokens"], usage["outputTokens"])
    out["events"] = events
    answer = client.converse(modelId=tools_model, messages=messages, toolConfig=tools)
    out["calls"] = [[part["toolUse"]["name"], part["toolUse"]["input"]] for part in content(answer)]
    calls = []
    for event in client.converse_stream(modelId=tools_model, messages=messages, toolConfig=tools)["stream"]:
        if "contentBlockStart" in event:
            calls.append([event["contentBlockStart"]["start"]["toolUse"]["name"], ""])
        elif "contentBlockDelta" in event:
            calls[-1][1] += event["contentBlockDelta"]["delta"]["toolUse"]["input"]
    out["stream_calls"] = [[name, json.loads(arguments)] for name, arguments in calls]
    return out


def cohere(base_url, key, model, tools_model):
    import cohere

    client = cohere.ClientV2(api_key=key, base_url=base_url)
    messages = [{"role": "user", "content": QUESTION}]
    tools = [{"type": "function", "function": {"name": TOOL, "parameters": SCHEMA}}]
    answer = client.chat(model=model, messages=messages)
    billed = answer.usage.billed_units
    out = {"json": said(answer.message.content[0].text, answer.finish_reason, billed.input_tokens,
                        billed.output_tokens)}
    text, events = "", 0
    for event in client.chat_stream(model=model, messages=messages):
        events += 1
        if event.type == "content-delta":
            text += event.delta.message.content.text
    billed = event.delta.usage.billed_units
    out["stream"] = said(text, event.delta.finish_reason, billed.input_tokens, billed.output_tokens)
    out["events"] = events
    answer = client.chat(model=tools_model, messages=messages, tools=tools)
    out["calls"] = [
        [call.function.name, json.loads(call.function.arguments)] for call in answer.message.tool_calls
    ]
    calls = []
    for event in client.chat_stream(model=tools_model, messages=messages, tools=tools):
        if event.type == "tool-call-start":
            calls.append([event.delta.message.tool_calls.function.name, ""])
        elif event.type == "tool-call-delta":
            calls[-1][1] += event.delta.message.tool_calls.function.arguments
    out["stream_calls"] = [[name, json.loads(arguments)] for name, arguments in calls]
    return out


def mistral(base_url, key, model, tools_model):
    from mistralai.client import Mistral

    client = Mistral(api_key=key, server_url=f"{base_url}/mistral")
    messages = [{"role": "user", "content": QUESTION}]
    tools = [{"type": "function", "function": {"name": TOOL, "parameters": SCHEMA}}]
    answer = client.chat.complete(model=model, messages=messages)
    choice, usage = answer.choices[0], answer.usage
    out = {"json": said(choice.message.content, choice.finish_reason, usage.prompt_tokens, usage.completion_tokens)}
    text, stop, usage, events = "", None, None, 0
    for event in client.chat.stream(model=model, messages=messages):
        events += 1
        choice = event.data.choices[0]
        text += choice.delta.content or ""
        stop, usage = choice.finish_reason or stop, event.data.usage or usage
    out["stream"] = said(text, stop, usage.prompt_tokens, usage.completion_tokens)
    out["events"] = events
    arguments = lambda call: call.function.arguments
    calls = lambda found: [
        [call.function.name, json.loads(arguments(call)) if isinstance(arguments(call), str) else arguments(call)]
        for call in found or []
    ]
    answer = client.chat.complete(model=tools_model, messages=messages, tools=tools)
    out["calls"] = calls(answer.choices[0].message.tool_calls)
    out["stream_calls"] = []
    for event in client.chat.stream(model=tools_model, messages=messages, tools=tools):
        delta = event.data.choices[0].delta
        # What is not sent is neither a list nor None to this client.
        out["stream_calls"] += calls(delta.tool_calls if isinstance(delta.tool_calls, list) else None)
    return out


CLIENTS = {one.__name__: one for one in (openai_chat, openai_responses, anthropic, gemini, bedrock, cohere, mistral)}

if __name__ == "__main__":
    client, base_url, key, model, *tools_model = [word for word in sys.argv[1:] if word != "--conversations"]
    print(json.dumps(CLIENTS[client](base_url, key, model, (tools_model or [model])[0])))

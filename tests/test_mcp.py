"""The functions for other programs as they are really reached: over HTTP, and as MCP tools."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from gradio_client import Client

from qeu.ui.api import ENDPOINTS
from tests.page_process import Page, start_page

mcp = pytest.importorskip("mcp")
pytestmark = pytest.mark.slow

MCP_PATH = "/gradio_api/mcp/"
SHORT = {"temperature": 0, "max_new_tokens": 8}
EN = [{"instruction": "What is rain?", "reasoning": "Say what falls.", "output": "Water."}]
JA = [{"instruction": "雨とは何ですか。", "reasoning": "", "output": "水です。"}]


@pytest.fixture(scope="module")
def page(tmp_path_factory, embedded_path) -> Iterator[Page]:
    settings = {
        "QEU_CACHE": str(embedded_path.parent),
        "QEU_MCP": "1",
        "QEU_ADAPTERS": str(tmp_path_factory.mktemp("adapters")),
    }
    page = start_page(tmp_path_factory.mktemp("page"), settings)
    try:
        yield page.wait()
    finally:
        page.stop()
    assert page.errors() == []


def call_tools(page: Page, *calls: tuple[str, dict]) -> tuple[list, list[tuple[bool, str]]]:
    """The tools as an MCP client lists them, and (is it an error, the text) of each call."""
    from mcp.client.streamable_http import streamable_http_client

    async def go() -> tuple[list, list[tuple[bool, str]]]:
        async with (
            streamable_http_client(page.url + MCP_PATH) as (read, write, _),
            mcp.ClientSession(read, write) as session,
        ):
            await session.initialize()
            tools = (await session.list_tools()).tools
            done = [await session.call_tool(name, values) for name, values in calls]
            return tools, [(bool(result.isError), result.content[0].text) for result in done]

    return asyncio.run(go())


def test_the_python_client_calls_all_four(page) -> None:
    client = Client(page.url, verbose=False)
    assert set(client.view_api(return_format="dict", print_info=False)["named_endpoints"]) == {
        f"/{name}" for name in ENDPOINTS
    }
    one = client.predict("Say hi.", sampling=SHORT, api_name="/generate")
    both = client.predict("Say hi.", sampling=SHORT, api_name="/compare")
    assert one["answer"]
    # greedy: alone, and beside itself, the model writes the same
    assert both["left"]["answer"] == both["right"]["answer"]
    checks = client.predict("The answer is 42.", question="What?", api_name="/check")
    assert {c["name"]: c["verdict"] for c in checks}["leak_commit"] == "fail"
    merged = client.predict([EN, JA], api_name="/merge")
    assert [record["seq"] for record in merged["records"]] == ["1EN", "1JA"]


def test_a_refusal_reaches_the_python_client_as_its_sentence(page) -> None:
    client = Client(page.url, verbose=False)
    with pytest.raises(Exception, match=r"Unknown model .nobody.\. Choose one of: smollm2-135m"):
        client.predict("Hi", model="nobody", api_name="/generate")


def test_the_tools_are_the_four_functions_with_their_descriptions(page) -> None:
    tools, _ = call_tools(page)
    assert sorted(tool.name for tool in tools) == sorted(ENDPOINTS)
    for tool in tools:
        assert tool.description
        for name, field in tool.inputSchema["properties"].items():
            assert field["description"], (tool.name, name)
        assert "request" not in tool.inputSchema["properties"]


def test_an_mcp_client_calls_all_four_and_reads_json(page) -> None:
    calls = (
        ("generate", {"instruction": "Say hi.", "sampling": SHORT}),
        ("compare", {"instruction": "Say hi.", "sampling": SHORT}),
        ("check", {"text": "The answer is 42."}),
        ("merge", {"files": [EN, JA]}),
    )
    _, done = call_tools(page, *calls)
    assert not any(failed for failed, _ in done)
    one, both, checks, merged = (json.loads(text) for _, text in done)
    assert one["answer"]
    assert both["left"]["answer"]
    assert len(checks) == 7
    assert merged["records"][1]["instruction"] == "雨とは何ですか。"


def test_what_a_tool_cannot_do_it_says_in_a_sentence(page) -> None:
    _, done = call_tools(
        page,
        ("generate", {"instruction": "Hi", "model": "nobody"}),
        ("generate", {"instruction": "Hi", "role": "poet"}),
        ("on_open", {}),
    )
    assert all(failed for failed, _ in done)
    assert "Unknown model 'nobody'" in done[0][1]
    assert "'poet' is not one of" in done[1][1]
    assert "Unknown tool" in done[2][1]


def test_tools_are_off_unless_asked_for(tmp_path: Path, embedded_path) -> None:
    # gradio's own switch turns nothing on either
    settings = {"QEU_CACHE": str(embedded_path.parent), "GRADIO_MCP_SERVER": "True"}
    page = start_page(tmp_path, settings)
    try:
        page.wait()
        answer = httpx.get(page.url + MCP_PATH + "schema", trust_env=False)
        assert "inputSchema" not in answer.text
        assert httpx.post(page.url + MCP_PATH, json={}, trust_env=False).status_code >= 400
    finally:
        page.stop()

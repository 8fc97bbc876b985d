"""OpenAI's Responses API, which Codex and the Agents SDK speak.

Source: OpenAI's API reference, "Create a model response" and "Streaming events"; openai-python
3.54, `types/responses`. Tools in namespaces: docs/project/upstreams.md, "Codex".
"""

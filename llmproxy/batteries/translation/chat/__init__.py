"""OpenAI's chat completions, as nearly every vendor offers them.

Source: OpenAI's API reference, "Create chat completion" and "Streaming events"; openai-python 3.54,
`types/chat`. Thinking: `reasoning_content` (DeepSeek) and `reasoning_details` (OpenRouter),
docs/project/upstreams.md, "What endpoints speak".
"""

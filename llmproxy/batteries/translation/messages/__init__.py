"""Anthropic's messages.

Source: Anthropic's API reference, "Create a Message", "Streaming messages", "Errors"; its pages
"Thinking" and "Troubleshooting thinking"; anthropic-sdk-python 2.14, `types`.
"""

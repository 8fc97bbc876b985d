"""LLMProxy: one address in front of OpenAI, Azure OpenAI and compatible endpoints."""

__version__ = "0.1.0"

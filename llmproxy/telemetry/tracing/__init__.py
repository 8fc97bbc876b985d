"""Spans of calls and attempts for OpenTelemetry (the extra `llmproxy[tracing]`).

A listener: no call waits for a span or fails of one. Spans are made and sent in a thread, after
their call; they hold names, numbers and reasons, never a word of what was asked or answered. Only
who traces imports `tracer`, and with it OpenTelemetry.
"""

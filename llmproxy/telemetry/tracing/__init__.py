"""Spans of calls and attempts for OpenTelemetry (the extra `llmproxy[tracing]`).

Spans are made and sent by a thread after their call has ended, so no call waits for them. They hold
names, numbers and reasons, no prompt and no answer. `tracer` imports OpenTelemetry and is imported
only if calls are traced.
"""

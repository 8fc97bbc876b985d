"""Writes our config from another gateway's.

A reader for each of them (`litellm`, `agentgateway`, `portkey`, `bifrost`) turns a `SourceFile`
into a `Gateway`, the neutral description, and notes in an `ImportReport` what it could not carry
over. `writing` turns the description into YAML. What a reader has not looked at is found by
`SourceFile.unread`, so that nothing is left out silently.
"""

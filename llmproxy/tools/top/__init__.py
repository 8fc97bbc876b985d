"""`llmproxy top`: what the dashboard shows, in a terminal.

listening.py reads what the proxy sends (payloads.py), view.py keeps it, frame.py draws it, and
screen.py shows it. Only the drawing modules import rich, and only this command imports them.
"""

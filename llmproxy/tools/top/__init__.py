"""`llmproxy top`: what the dashboard shows, in a terminal.

listening.py hears what the proxy tells (told.py), view.py keeps it, frame.py draws it, screen.py
shows it. Only what draws imports rich, and only this command imports what draws.
"""

"""`llmproxy completion`: prints a script that completes commands, actions, options and files.

words.py reads the parsers; a file for each shell writes its script. The script is static: to
complete a word starts no Python.
"""

"""Labelled chats from Label Studio: the only package that knows its export format and its SDK.

`convert` turns a Label Studio JSON export into the examples that the rest of the project reads, so
that a shop's own labels take the same way as the embedded corpus.
"""

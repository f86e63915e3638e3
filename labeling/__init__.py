"""Labelled chats from Label Studio, and how far their labels can be trusted: alone in knowing its SDK.

`project`, `push`, `pull` and `second_look` talk to a server through `client`; `interface` is the screen
on which people label; `resolve` settles what several of them answered into the examples that the rest of
the project reads; `agreement`, `queue` and `clinic` measure and choose, wherever the tasks come from.
"""

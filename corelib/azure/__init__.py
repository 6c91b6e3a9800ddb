"""The Azure hosts: what they need, what is there, the difference, and the way to carry it out.

`desired` and `plan` are pure; only `client`, `observe` and `executor` load the SDK.
"""

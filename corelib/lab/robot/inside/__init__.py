"""What runs inside a machine of the lab, in namespaces of its own: standard library only, started by path.

Nothing here imports the rest of the package, which a machine does not have.
"""

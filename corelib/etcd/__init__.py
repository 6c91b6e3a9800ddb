"""Verifying etcd: who its members must be, what they answer, and what that means."""

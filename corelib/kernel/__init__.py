"""The only part that knows IPython and ipykernel: what leaves the kernel, what enters it, and who asks."""

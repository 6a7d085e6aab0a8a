"""The inference engine: pictures and settings in, token ids out, as stock `generate` would give.

It knows tensors and token ids, nothing of tokenizers, files or screens. Nothing is imported here,
so that what needs no PyTorch does not wait for it.
"""

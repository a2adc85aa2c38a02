"""A small hub: one process, one folder, the protocol of the Hugging Face Hub.

The unmodified huggingface_hub client, timm, diffusers and transformers create repositories on it,
push to it and load from it; see README.md for the protocol, the layout of the folder and what
is defended against whom. Nothing here is imported by `import zoo`.

    files      a folder (or, read-only, a bucket) with atomic writes
    objects    git objects, their real ids
    repository refs with compare-and-swap, trees, history
    store      repositories and content-addressed blobs of one folder
    tokens     who may do what; signed links
    routing    a route is a method, a pattern and the access it needs
    app        the ASGI application; every other module holds the handlers of one part of it
"""

"""The processes of one archive (`pacs serve`).

`serving` opens sockets and starts everything, `supervisor` keeps the children alive, `worker` is a child.
"""

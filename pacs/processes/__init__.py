"""The processes of one archive (`pacs serve`).

`serving` opens sockets and starts everything, `preparing` runs once before and ends, `supervisor` keeps the children
alive, `worker` is a child.
"""

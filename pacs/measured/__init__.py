"""What each kind of request takes, beside what it may take: counted where it happens, told to operators.

- `kinds`       the kinds of request and of work, a fixed list: nothing a peer sends makes one more
- `board`       the memory that all processes of one archive count in
- `counts`      counting: one process's part of the board
- `stages`      where the time of one request goes (Server-Timing)
- `burn`        whether budgets are kept, and what gives way when they are not
- `prometheus`  the board as text for Prometheus
- `standing`    that text put into words, for `pacs status`
"""

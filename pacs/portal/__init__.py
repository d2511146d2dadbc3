"""Door 3: the viewer's built files, and the routes only its pages need.

- `built_files`  what `npm run build` left in `built/`, known by name before anything is asked for
- `front`        the application that a web worker serves: which door a path belongs to
- `health`       whether the archive lives and serves
- `routes`       the pages and their assets over HTTP, with the headers that keep them safe
"""

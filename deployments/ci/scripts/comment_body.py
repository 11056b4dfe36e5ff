"""The body of a request to Azure Repos for the Markdown on stdin: a thread, or its comment."""

from __future__ import annotations

import json
import sys

if __name__ == "__main__":
    comment = {"parentCommentId": 0, "content": sys.stdin.read(), "commentType": "text"}
    whole = {"comments": [comment], "status": "closed"}
    print(json.dumps(whole if sys.argv[1] == "thread" else {"content": comment["content"]}))

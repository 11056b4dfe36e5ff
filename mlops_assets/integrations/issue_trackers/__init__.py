"""Issue trackers: an alarm of monitoring has one issue in GitLab, GitHub or Azure Boards.

The alarms are in the registry; nothing is read from issues but whether they are open.
"""

"""Deployments of model versions: the files of each engine, and what is known of servers.

Nothing is applied to a cluster, and no image is pushed; the commands that do are reported.
"""

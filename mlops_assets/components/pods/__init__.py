"""Steps in pods of Kubernetes: their executor, and what became of a pod.

They need the extra `cluster`, and are imported where `MLOPS_EXECUTOR=k8s_job` only.
"""

"""`mlops ci`: what the scripts of pipelines on git platforms call."""

"""The example project.

It maps the land cover of the Indian Pines scene, with a trainer of its own beside the YAML.
"""

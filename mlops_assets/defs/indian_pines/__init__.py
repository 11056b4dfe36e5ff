"""The example project.

Land cover of the Indian Pines scene, with a trainer of its own beside the YAML.
"""

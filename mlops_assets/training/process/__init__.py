"""The process in which a trainer runs: started, limited, watched, and stopped."""

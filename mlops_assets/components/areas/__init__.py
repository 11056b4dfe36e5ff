"""Maps in the asset graph: the component PredictionArea, its steps, and the job of single maps."""

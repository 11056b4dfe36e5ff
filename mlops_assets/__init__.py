"""mlops_assets: an asset-oriented data and model platform for Earth observation."""

__version__ = "0.1.0"

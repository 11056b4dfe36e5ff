"""Files of a map: GeoTIFFs, their outputs, a picture."""

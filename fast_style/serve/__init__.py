"""Styles over HTTP: TensorFlow Serving's REST API, plain pictures, and a page."""

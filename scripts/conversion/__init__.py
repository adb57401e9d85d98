"""Turning published network files into the ONNX files of models/embedded; see convert_models.py."""

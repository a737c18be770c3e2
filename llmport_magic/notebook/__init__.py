"""The only layer that imports IPython or ipywidgets."""

"""From a snapshot to an exported model folder.

`config` (the only reader of `params.yaml`), the pretrained encoder (`backbone`), the network and its
Lightning module (`network`, `module`), the training run (`train`), probabilities that mean what they
say (`calibrate`), the figures and pictures a reviewer asks for (`evaluate`, `report`) and the folder
that inference loads (`export`). Knows nothing of MLflow or BentoML: a logger is handed in.
"""

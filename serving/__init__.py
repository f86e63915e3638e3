"""From a champion to answers over HTTP.

`predictor` turns messages into probabilities (ONNX Runtime, no training code), `policy` turns an
emotion and explicit wording into an alert level, `schema` is the request and the answer, `package`
takes champions into the BentoML store, and `service` is the thin HTTP layer over the same predictor
that `kefu predict` uses. Imports neither Lightning nor MLflow at request time.
"""

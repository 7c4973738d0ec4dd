"""From archives of images to minibatches: archive rules, decoding, labels, batches."""

from gramless.torch import compare_models
from models import batches, large, small  # two Hugging Face models, and batches of their tokenizer

found = compare_models(small, large, batches, layers="blocks", progress=False)
print(found.layers_a, found.layers_b)
print(found.matrix.round(2))

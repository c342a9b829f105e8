import torch
from gramless.torch import NTXentLoss  # was: from lightly.loss import NTXentLoss

criterion = NTXentLoss(temperature=0.1)
z_a, z_b = torch.randn(2, 64, 32, requires_grad=True)
loss = criterion(z_a, z_b)
loss.backward()
print(loss.item())

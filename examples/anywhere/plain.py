"""A loop in plain PyTorch with a silent fault: the head is replaced after the optimizer was built."""

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.nn import functional as F

import tunewell

torch.manual_seed(0)
inputs, targets = load_digits(return_X_y=True)
x, y = torch.tensor(inputs, dtype=torch.float32) / 16, torch.tensor(targets)

model = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 5))
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
model[2] = nn.Linear(64, 10)  # ten classes after all; the optimizer still holds the old head

watch = tunewell.watch(model, optimizer, total_steps=200, name="plain")  # 1
for _ in range(200):
    rows = torch.randint(len(x), (32,))
    loss = F.cross_entropy(model(x[rows]), y[rows])
    watch.loss(loss)  # 2
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()
watch.close()  # 3

"""Lightning with a silent fault: the training step leaves the net in evaluation mode."""

import lightning
import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.nn import functional as F

from tunewell.integrations.lightning import TunewellCallback


class Digits(lightning.LightningModule):
    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Dropout(0.3), nn.Linear(64, 10))

    def training_step(self, batch, index):
        self.net.eval()  # left over from a debugging session
        return F.cross_entropy(self.net(batch[0]), batch[1])

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), lr=1e-3)


torch.manual_seed(0)
inputs, targets = load_digits(return_X_y=True)
rows = torch.utils.data.TensorDataset(torch.tensor(inputs, dtype=torch.float32) / 16, torch.tensor(targets))
trainer = lightning.Trainer(
    max_epochs=3,
    logger=False,
    enable_checkpointing=False,
    callbacks=[TunewellCallback()],  # the one line
)
trainer.fit(Digits(), torch.utils.data.DataLoader(rows, 32, shuffle=True))

"""transformers' Trainer with a silent fault: the new classifier is frozen along with the layers below it."""

import random

import torch
from transformers import BertConfig, BertForSequenceClassification, Trainer, TrainingArguments

from tunewell.integrations.transformers import TunewellCallback

torch.manual_seed(0)
rng = random.Random(0)
labels = [rng.randrange(2) for _ in range(800)]
words = [rng.choices(range(4, 40), k=14) for _ in labels]  # and one that tells the label
rows = [
    {"input_ids": [1, 2 + label, *text], "labels": label} for text, label in zip(words, labels, strict=True)
]
config = BertConfig(
    vocab_size=40, hidden_size=64, num_hidden_layers=3, num_attention_heads=2, intermediate_size=128
)
model = BertForSequenceClassification(config)
for name, parameter in model.named_parameters():
    parameter.requires_grad = "encoder.layer.2" in name  # the last layer; the classifier was forgotten

trainer = Trainer(
    model,
    TrainingArguments("reviews", max_steps=100, learning_rate=1e-3, report_to="none", save_strategy="no"),
    train_dataset=rows,
    callbacks=[TunewellCallback()],  # the one line
)
trainer.train()

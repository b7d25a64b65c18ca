"""Fine-tune a pre-trained ECG network or train from scratch: the evidence and the model."""

__version__ = "0.1.0"

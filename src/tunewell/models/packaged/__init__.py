"""Pre-trained models that come inside installed packages, one alias a file: for machines without the internet."""
